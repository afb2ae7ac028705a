"""The engine's side of the runtime: starts containers and talks to their monitors. asyncio, one event loop."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cais.errors import CaisError
from cais.linux.fs import sealed_copy
from cais.runtime import cgroups
from cais.runtime.channel import Channel, ChannelClosed, Message, in_folder, pair
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.links import NetworkPlan
from cais.runtime.messages import (
    SOCKET_NAME,
    Attachment,
    Detached,
    Event,
    ExecExited,
    ExecRequest,
    Exited,
    Hello,
    Lost,
    Oom,
    Outline,
    RunningExec,
    StartRequest,
)

_log = logging.getLogger("cais.runtime")
_EVENTS: dict[str, type[Exited | ExecExited | Detached | Oom]] = {
    "exited": Exited,
    "exec-exited": ExecExited,
    "detached": Detached,
    "oom": Oom,
}
_ATTEMPTS = 5  # at a start while the spawner is killed again and again
_HELLO_SECONDS = 5.0
_GRACE_SECONDS = 0.2  # between the end of a process's connections and its own
_END_SECONDS = 5.0

OnEvent = Callable[["Monitor", Event], None]


class Runtime:
    """Owns the spawner. run_root: the folder that holds containers/ID, the bundles."""

    def __init__(self, run_root: Path) -> None:
        self._run_root = run_root
        self._spawner: _Spawner | None = None
        self._spawning = asyncio.Lock()

    async def open(self) -> None:
        """Start the spawner. Raises: StartFailed where it does not come up."""
        await self._living_spawner()

    async def close(self) -> None:
        """Let the spawner end. Running containers go on."""
        async with self._spawning:
            spawner, self._spawner = self._spawner, None
            if spawner:
                spawner.drop()
                await asyncio.to_thread(spawner.wait)

    @property
    def spawner_pid(self) -> int | None:
        """The spawner's process id, None before `open`."""
        return self._spawner.pid if self._spawner else None

    async def start(self, request: StartRequest, attachments: Sequence[Attachment], on_event: OnEvent) -> "Monitor":
        """Start a container; returns when nothing is left to its first process but exec.

        attachments: clients that get its output from the first byte. on_event is called in the event loop.
        Raises: StartFailed, when nothing of the container is left. Cancelled, it ends what has been started.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(request.exit_file)
        for attempt in range(_ATTEMPTS):
            try:
                spawner = await self._living_spawner()
            except StartFailed:  # it may have been killed before it was ready
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            monitor = Monitor(request.id, request.bundle, request.exit_file, on_event)
            try:
                await monitor.start(spawner, request, attachments)
                return monitor
            except ChannelClosed:
                await asyncio.to_thread(bury, request.bundle)
                if not await spawner.has_ended():
                    break
            except asyncio.CancelledError:
                monitor.abandon()
                raise
        raise StartFailed(Reason.INTERNAL, "the container's monitor ended while starting it")

    async def change_network(self, namespace: int, plan: NetworkPlan) -> list[socket.socket]:
        """Carry out a plan in the network namespace of a running container, a descriptor.

        Returns: the sockets of the resolver that the plan asks for; they are the caller's. Raises: StartFailed.
        """
        spawner = await self._living_spawner()
        loop = asyncio.get_running_loop()
        mine, theirs = pair()
        answered: asyncio.Future[tuple[Message, list[int]]] = loop.create_future()

        def take(message: Message, descriptors: list[int]) -> None:
            if answered.done():
                _close(descriptors)
            else:
                answered.set_result((message, descriptors))

        def gone() -> None:
            if not answered.done():
                answered.set_exception(StartFailed(Reason.INTERNAL, "the helper for the container's network is gone"))

        link = _Link(Channel(mine), take, gone)
        try:
            with theirs:
                spawner.send({"type": "network", "plan": plan.to_json()}, [theirs.fileno(), namespace])
            message, descriptors = await answered
        except ChannelClosed as error:
            raise StartFailed(Reason.INTERNAL, "the spawner is gone") from error
        finally:
            link.close()
        if message["type"] == "failed":
            _close(descriptors)
            raise StartFailed(Reason(message["reason"]), message["message"])
        return [socket.socket(fileno=fd) for fd in descriptors]

    async def adopt(self, container_id: str, exit_file: str, on_event: OnEvent) -> "Monitor | None":
        """The monitor of a container that an earlier caisd started, None where none listens."""
        monitor = Monitor(container_id, str(self._run_root / "containers" / container_id), exit_file, on_event)
        return monitor if await monitor.connect() else None

    async def _living_spawner(self) -> "_Spawner":
        async with self._spawning:
            if self._spawner is None or not self._spawner.alive:
                if self._spawner:
                    _log.warning("the spawner (pid %d) is gone; starting another", self._spawner.pid)
                self._spawner = await asyncio.to_thread(_Spawner, self._run_root)
                self._spawner.watch(asyncio.get_running_loop())
            return self._spawner


class _Link:
    """A channel in the care of the event loop: messages come by a callback, and sending never waits."""

    def __init__(
        self, channel: Channel, on_message: Callable[[Message, list[int]], None], on_closed: Callable[[], None]
    ) -> None:
        """on_message: gets a message and the descriptors that came with it, which are its own to close."""
        self._channel: Channel | None = channel
        self._on_message = on_message
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(channel.fileno(), self.receive)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message, now or when the other side takes it. Raises: ChannelClosed."""
        if self._channel is None:
            raise ChannelClosed("the channel is closed")
        if not self._channel.post(message, descriptors):
            self._loop.add_writer(self._channel.fileno(), self._flush)

    def receive(self) -> None:
        """Handle what has arrived."""
        try:
            messages = self._channel.receive_available() if self._channel else []
        except ChannelClosed:
            self.close()
            self._on_closed()
            return
        for message, descriptors in messages:
            self._on_message(message, descriptors)

    def close(self) -> None:
        """Let go of the channel; nothing is called back any more."""
        if self._channel:
            self._loop.remove_reader(self._channel.fileno())
            self._loop.remove_writer(self._channel.fileno())
            self._channel.hang_up()
            self._channel = None

    def _flush(self) -> None:
        try:
            done = self._channel is None or self._channel.flush()
        except ChannelClosed:
            done = True  # the reader will learn it, after what the other side said last
        if done and self._channel:
            self._loop.remove_writer(self._channel.fileno())


class _Spawner:
    """The spawner's process and the channel to it. Making one waits until it is ready."""

    def __init__(self, run_root: Path) -> None:
        self.alive = True
        self._link: _Link | None = None
        self._reaping: asyncio.Future[None] | None = None
        mine, theirs = pair()
        self._channel = Channel(mine)
        try:
            with theirs:
                self._process = _start_spawner(run_root, theirs.fileno())
            self._channel.receive()
        except ChannelClosed:
            self.drop()
            self.wait()
            text = f"the spawner does not start: see {run_root / 'spawner.log'}"
            raise StartFailed(Reason.INTERNAL, text) from None
        except OSError as error:
            self.drop()
            raise StartFailed(Reason.INTERNAL, f"start the spawner: {error}") from error
        self.pid = self._process.pid

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Notice the spawner's end."""
        self._link = _Link(self._channel, lambda _, descriptors: _close(descriptors), lambda: self._on_end(loop))

    def send(self, message: Message, descriptors: Sequence[int]) -> None:
        """Send a message. Raises: ChannelClosed."""
        if self._link is None:
            raise ChannelClosed("the spawner is gone")
        self._link.send(message, descriptors)

    async def has_ended(self) -> bool:
        """Whether the spawner is gone, or just going."""
        return await asyncio.to_thread(self._wait, _GRACE_SECONDS)

    def drop(self) -> None:
        """Close the channel, by which the spawner ends."""
        self.alive = False
        if self._link:
            self._link.close()
            self._link = None
        self._channel.hang_up()

    def wait(self) -> None:
        """Wait until the process has ended; it is killed when that takes long. Blocks; for a thread."""
        if not self._wait(_END_SECONDS):
            self._process.kill()
            self._process.wait()

    def _wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _on_end(self, loop: asyncio.AbstractEventLoop) -> None:
        self.drop()
        self._reaping = loop.run_in_executor(None, self.wait)


def _start_spawner(run_root: Path, channel_fd: int) -> "subprocess.Popen[bytes]":
    package_root = str(Path(__file__).parents[2])
    # At the end of the path, behind the standard library: beside the package there may be anything.
    code = f"import sys; sys.path.append({package_root!r}); from cais.runtime.spawner import main; main({channel_fd})"
    program = sealed_copy(os.path.realpath(sys.executable))
    try:
        with open(run_root / "spawner.log", "ab") as log:
            return subprocess.Popen(
                # The base interpreter's path as argv[0]: the standard library is found by it.
                [getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-X", "utf8", "-c", code],
                executable=f"/proc/self/fd/{program}",
                pass_fds=(channel_fd, program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={},
            )
    finally:
        os.close(program)


class Monitor:
    """A running container: the connection to its monitor."""

    def __init__(self, container_id: str, bundle: str, exit_file: str, on_event: OnEvent) -> None:
        self.id = container_id
        self.pid = 0
        self.started_at_ns = 0
        self.execs: list[RunningExec] = []  # those that were known when an earlier caisd's container was adopted
        self.resolver_sockets: list[socket.socket] = []  # of a start that asked for them; whoever takes them owns them
        self._bundle = bundle
        self._exit_file = exit_file
        self._on_event = on_event
        self._link: _Link | None = None
        self._greeting: asyncio.Future[Message] | None = None
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._sequence = 0
        self._exited = False
        self._abandoned = False
        self._early: list[Event] | None = []  # events that wait until a call has returned
        self._burial: asyncio.Task[None] | None = None

    async def start(self, spawner: _Spawner, request: StartRequest, attachments: Sequence[Attachment]) -> None:
        """Have the spawner make the monitor. Raises: StartFailed, ChannelClosed."""
        mine, theirs = pair()
        greeting = self._use(mine)
        try:
            message = {
                "type": "start",
                "outline": Outline.of(request, _read_config(request.bundle)).to_json(),
                "request": json.dumps(request.to_json()),
                "attachments": [item.options.to_json() for item in attachments],
            }
            with _listener(request.bundle) as listener:
                spawner.send(message, [theirs.fileno(), listener.fileno(), *(item.fd for item in attachments)])
        except ChannelClosed:
            self.detach()
            raise
        except (OSError, ValueError, AttributeError) as error:
            self.detach()
            raise StartFailed(Reason.INTERNAL, f"start container {self.id}: {error}") from error
        finally:
            theirs.close()
        answer = await greeting
        if answer["type"] == "failed":
            self.detach()
            self.close_resolver_sockets()
            raise StartFailed(Reason(answer["reason"]), answer["message"])
        asyncio.get_running_loop().call_soon(self._deliver_early)

    async def connect(self) -> bool:
        """Find the monitor again; whether it is there."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)  # a monitor that takes no connection must not stop caisd
            with in_folder(self._bundle, SOCKET_NAME) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            return False
        try:
            hello = Hello.from_json(await asyncio.wait_for(self._use(connection), _HELLO_SECONDS))
        except (ChannelClosed, TimeoutError, TypeError):
            self.detach()
            return False
        self.execs = hello.execs
        asyncio.get_running_loop().call_soon(self._deliver_early)
        return True

    async def attach(self, attachment: Attachment) -> None:
        """Give a client's stream to the monitor. Raises: StartFailed."""
        await self._call({"type": "attach", "options": attachment.options.to_json()}, [attachment.fd])

    async def attach_after_log(self, attachment: Attachment, gate_fd: int) -> int | None:
        """Give a client's stream to the monitor, which sends nothing until there is a byte to read at `gate_fd`.

        If nobody can write there any more, the stream ends instead.
        Returns: the size of the log's current file at which what the monitor sends begins; no other file is begun
            before that byte, or the stream's end. None where an older monitor sends at once.
        Raises: StartFailed.
        """
        message = {"type": "attach", "options": attachment.options.to_json(), "after_log": True}
        answer = await self._call(message, [attachment.fd, gate_fd])
        return answer.get("log_size")

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of the container's terminal. Raises: StartFailed."""
        await self._call({"type": "resize", "rows": rows, "columns": columns})

    async def resize_exec(self, exec_id: str, rows: int, columns: int) -> None:
        """Change the size of a further process's terminal. Raises: StartFailed."""
        await self._call({"type": "resize", "exec_id": exec_id, "rows": rows, "columns": columns})

    async def signal(self, number: int) -> None:
        """Send a signal to the container's first process. Raises: StartFailed."""
        await self._call({"type": "signal", "number": number})

    async def signal_exec(self, exec_id: str, number: int) -> None:
        """Send a signal to a further process. Raises: StartFailed."""
        await self._call({"type": "signal", "exec_id": exec_id, "number": number})

    async def exec(self, request: ExecRequest, attachment: Attachment | None) -> int:
        """Start a further process; its pid on the host. Raises: StartFailed."""
        message: Message = {"type": "exec", "request": request.to_json()}
        if attachment:
            message["options"] = attachment.options.to_json()
        answer = await self._call(message, [attachment.fd] if attachment else [])
        return int(answer["pid"])

    def prepare_exec(self, request: ExecRequest) -> None:
        """Say that `exec` will be called with this request, but for the terminal's size, so that it takes less time.

        What comes of it is `exec`'s to tell. Where `exec` does not follow, `forget_exec` should.
        """
        self._post({"type": "prepare", "request": request.to_json()})

    def forget_exec(self, exec_id: str) -> None:
        """Take back what `prepare_exec` said."""
        self._post({"type": "forget", "exec_id": exec_id})

    async def pids(self) -> list[int]:
        """The pids on the host of all the container's processes. Raises: StartFailed."""
        return list((await self._call({"type": "pids"}))["pids"])

    async def freeze(self) -> None:
        """Stop every process of the container. Raises: StartFailed."""
        await self._call({"type": "freeze"})

    async def thaw(self) -> None:
        """Let the processes go on. Raises: StartFailed."""
        await self._call({"type": "thaw"})

    def poll(self) -> None:
        """Handle, now, whatever the monitor has already sent."""
        self._deliver_early()
        if self._link:
            self._link.receive()

    def close_resolver_sockets(self) -> None:
        """Close the sockets that nobody has taken."""
        while self.resolver_sockets:
            self.resolver_sockets.pop().close()

    def detach(self) -> None:
        """Drop the connection; the container goes on."""
        if self._link:
            self._link.close()
            self._link = None
        self._fail_waiting()

    def abandon(self) -> None:
        """Nobody waits for this start any more: the container is killed as soon as it has started."""
        self._abandoned = True
        if self.pid:
            self._kill()

    def _use(self, connection: socket.socket) -> asyncio.Future[Message]:
        """Take the connection into use; the result is the monitor's first message."""
        self._greeting = asyncio.get_running_loop().create_future()
        self._link = _Link(Channel(connection), self._on_message, self._on_closed)
        return self._greeting

    def _post(self, message: Message) -> None:
        """Send what has no reply; a monitor that is gone needs it no more."""
        if self._link:
            with contextlib.suppress(ChannelClosed):
                self._link.send(message, ())

    async def _call(self, message: Message, descriptors: Sequence[int] = ()) -> Message:
        gone = StartFailed(Reason.INVALID, f"container {self.id} is not running")
        if self._link is None:
            raise gone
        self._sequence += 1
        sequence = self._sequence
        future = asyncio.get_running_loop().create_future()
        self._replies[sequence] = future
        try:
            self._link.send({**message, "seq": sequence}, descriptors)
            answer: Message = await future
        except ChannelClosed:
            raise gone from None
        finally:
            self._replies.pop(sequence, None)
        if "error" in answer:
            raise StartFailed(Reason(answer["reason"]), answer["error"])
        return answer

    def _on_message(self, message: Message, descriptors: list[int]) -> None:
        kind = message["type"]
        if kind == "resolver":
            self.resolver_sockets += [socket.socket(fileno=fd) for fd in descriptors]
            return
        _close(descriptors)
        if kind == "reply":
            future = self._replies.pop(message["seq"], None)
            if future and not future.done():
                future.set_result(message)
                self._hold_events()
        elif kind in _EVENTS:
            event: Event = _EVENTS[kind].from_json(message)
            self._exited = self._exited or isinstance(event, Exited)
            self._deliver(event)
        elif self._greeting and not self.pid:
            self.pid, self.started_at_ns = message.get("pid", 0), message.get("started_at_ns", 0)
            if not self._greeting.done():
                self._greeting.set_result(message)
            elif self._abandoned:
                self._kill()

    def _deliver(self, event: Event) -> None:
        if self._early is not None:
            self._early.append(event)
        elif not self._abandoned:
            self._on_event(self, event)

    def _hold_events(self) -> None:
        """Let who waits for what was just received go on before it is told of what happened after that."""
        if self._early is None:
            self._early = []
            asyncio.get_running_loop().call_soon(self._deliver_early)

    def _deliver_early(self) -> None:
        """Deliver what was held."""
        early, self._early = self._early, None
        for event in early or ():
            self._deliver(event)

    def _kill(self) -> None:
        with contextlib.suppress(ChannelClosed):
            if self._link:
                self._link.send({"type": "signal", "number": signal.SIGKILL, "seq": 0})

    def _on_closed(self) -> None:
        self.detach()
        if self.pid and not self._exited:
            self._burial = asyncio.get_running_loop().create_task(self._bury(), name=f"bury {self.id[:12]}")

    async def _bury(self) -> None:
        """The monitor is gone: end what is left of the container, and say so."""
        event: Event | None = read_exit_record(self._exit_file)
        if event is None:
            await asyncio.to_thread(bury, self._bundle)
            event = Lost(time.time_ns())
        self._deliver(event)

    def _fail_waiting(self) -> None:
        waiting = [*self._replies.values(), *([self._greeting] if self._greeting else [])]
        for future in waiting:
            if not future.done():
                future.set_exception(ChannelClosed("the monitor is gone"))
                future.exception()  # it may be that nobody awaits it


def read_exit_record(path: str) -> Exited | None:
    """How a container ended, as its monitor recorded it; None where there is no whole record."""
    try:
        with open(path, "rb") as file:
            return Exited.from_json(json.load(file))
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def bury(bundle: str) -> None:
    """Kill and remove what is left of a container whose monitor is gone. Blocks; for a thread."""
    try:
        path = str(_read_config(bundle).get("linux", {}).get("cgroupsPath", ""))
        group = cgroups.open_hierarchy().open(path)
        group.kill()
        group.remove()
    except (OSError, ValueError, AttributeError) as error:
        _log.error("bury %s: its config cannot be read: %s", bundle, error)
    except CaisError as error:
        _log.error("bury %s: %s", bundle, error.message)
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(bundle, SOCKET_NAME))


def sweep(run_root: Path, cgroup_parent: str, keep: set[str]) -> None:
    """Kill and remove what dead monitors left: control groups below `cgroup_parent` and bundles. Blocks; for a thread.

    keep: the ids of containers whose monitors live. Goes on to the end, then raises CaisError for what failed.
    """
    try:
        for path in cgroups.sweep(cgroup_parent, keep):
            _log.warning("swept the control groups %s", path)
    finally:
        bundles = run_root / "containers"
        for bundle in bundles.iterdir() if bundles.is_dir() else ():
            if bundle.name not in keep:
                shutil.rmtree(bundle, ignore_errors=True)


def _close(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _listener(bundle: str) -> socket.socket:
    """The socket at which a later caisd finds the monitor. It is made here: what the monitor does not do, it needs
    no memory for."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(bundle, SOCKET_NAME))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with in_folder(bundle, SOCKET_NAME) as address:
        listener.bind(address)
        os.chmod(address, 0o600)
    listener.listen(4)
    return listener


def _read_config(bundle: str) -> dict[str, Any]:
    with open(os.path.join(bundle, "config.json"), "rb") as file:
        config: dict[str, Any] = json.load(file)
    return config
