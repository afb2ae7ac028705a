"""The engine's side of the runtime: starts containers and talks to their monitors. asyncio, one event loop."""

import asyncio
import contextlib
import json
import logging
import os
import shutil
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
from cais.runtime.messages import (
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
from cais.runtime.monitor import SOCKET_NAME

_log = logging.getLogger("cais.runtime")
_EVENTS: dict[str, type[Exited | ExecExited | Detached | Oom]] = {
    "exited": Exited,
    "exec-exited": ExecExited,
    "detached": Detached,
    "oom": Oom,
}
_HELLO_SECONDS = 5.0

OnEvent = Callable[["Monitor", Event], None]


class Runtime:
    """Owns the spawner. run_root: the folder that holds containers/ID, the bundles."""

    def __init__(self, run_root: Path) -> None:
        self._run_root = run_root
        self._spawner: _Spawner | None = None

    async def open(self) -> None:
        """Start the spawner. Raises: StartFailed where it does not come up."""
        await self._living_spawner()

    async def close(self) -> None:
        """Let the spawner end. Running containers go on."""
        if self._spawner:
            self._spawner.close()
            self._spawner = None

    @property
    def spawner_pid(self) -> int | None:
        """The spawner's process id, None before `open`."""
        return self._spawner.pid if self._spawner else None

    async def start(self, request: StartRequest, attachments: Sequence[Attachment], on_event: OnEvent) -> "Monitor":
        """Start a container; returns when its first process has been executed.

        attachments: clients that get its output from the first byte. on_event is called in the event loop.
        Raises: StartFailed, when nothing of the container is left.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(request.exit_file)
        for attempt in (1, 2):
            spawner = await self._living_spawner()
            monitor = Monitor(request.id, request.bundle, request.exit_file, on_event)
            try:
                await monitor.start(spawner, request, attachments)
                return monitor
            except ChannelClosed:
                await asyncio.to_thread(bury, request.bundle)
                if spawner.alive or attempt == 2:
                    raise StartFailed(Reason.INTERNAL, "the container's monitor ended while starting it") from None
        raise AssertionError("not reached")

    async def adopt(self, container_id: str, exit_file: str, on_event: OnEvent) -> "Monitor | None":
        """The monitor of a container that an earlier caisd started, None where none listens."""
        monitor = Monitor(container_id, str(self._run_root / "containers" / container_id), exit_file, on_event)
        return monitor if await monitor.connect() else None

    async def _living_spawner(self) -> "_Spawner":
        if self._spawner is None or not self._spawner.alive:
            if self._spawner:
                _log.warning("the spawner (pid %d) is gone; starting another", self._spawner.pid)
            self._spawner = await asyncio.to_thread(_Spawner, self._run_root)
            self._spawner.watch(asyncio.get_running_loop())
        return self._spawner


class _Spawner:
    """The spawner's process and the channel to it. Making one waits until it is ready."""

    def __init__(self, run_root: Path) -> None:
        mine, theirs = pair()
        program = sealed_copy(os.path.realpath(sys.executable))
        package_root = str(Path(__file__).parents[2])
        code = f"import sys; sys.path.insert(0, {package_root!r}); from cais.runtime.spawner import main; main({{fd}})"
        with theirs, open(run_root / "spawner.log", "ab") as log:
            self._process = subprocess.Popen(
                # The base interpreter's path as argv[0]: the standard library is found by it.
                [getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-X", "utf8", "-c",
                 code.format(fd=theirs.fileno())],
                executable=f"/proc/self/fd/{program}",
                pass_fds=(theirs.fileno(), program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_library_path(),
            )  # fmt: skip
        os.close(program)
        self.pid = self._process.pid
        self._channel = Channel(mine)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.alive = True
        try:
            self._channel.receive()
        except ChannelClosed:
            self._process.wait()
            raise StartFailed(Reason.INTERNAL, f"the spawner does not start: see {run_root / 'spawner.log'}") from None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Notice the spawner's end."""
        self._loop = loop
        loop.add_reader(self._channel.fileno(), self._on_readable)

    def send(self, message: Message, descriptors: Sequence[int]) -> None:
        """Send a message. Raises: ChannelClosed."""
        try:
            self._channel.send(message, descriptors)
        except ChannelClosed:
            self._on_end()
            raise

    def close(self) -> None:
        """End the spawner."""
        if self.alive:
            self._on_end()

    def _on_readable(self) -> None:
        try:
            self._channel.receive_available()
        except ChannelClosed:
            self._on_end()

    def _on_end(self) -> None:
        if self.alive:
            self.alive = False
            if self._loop:
                self._loop.remove_reader(self._channel.fileno())
            self._channel.close()
            self._process.wait()


def _library_path() -> dict[str, str]:
    """Where the sealed copy finds the interpreter's library, if it is built as one: its own $ORIGIN is nowhere."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")[2]
            if os.path.basename(path).startswith("libpython"):
                return {"LD_LIBRARY_PATH": "/" + os.path.dirname(path)}
    return {}


class Monitor:
    """A running container: the connection to its monitor."""

    def __init__(self, container_id: str, bundle: str, exit_file: str, on_event: OnEvent) -> None:
        self.id = container_id
        self.pid = 0
        self.started_at_ns = 0
        self.execs: list[RunningExec] = []  # those that were known when an earlier caisd's container was adopted
        self._bundle = bundle
        self._exit_file = exit_file
        self._on_event = on_event
        self._channel: Channel | None = None
        self._greeting: asyncio.Future[Message] | None = None
        self._replies: dict[int, asyncio.Future[Message]] = {}
        self._sequence = 0
        self._exited = False
        self._burial: asyncio.Task[None] | None = None

    async def start(self, spawner: _Spawner, request: StartRequest, attachments: Sequence[Attachment]) -> None:
        """Have the spawner make the monitor. Raises: StartFailed, ChannelClosed."""
        mine, theirs = pair()
        with theirs, _listener(request.bundle) as listener:
            message = {
                "type": "start",
                "outline": Outline.of_config(_read_config(request.bundle)).to_json(),
                "request": request.to_json(),
                "attachments": [item.options.to_json() for item in attachments],
            }
            greeting = self._use(mine)
            spawner.send(message, [theirs.fileno(), listener.fileno(), *(item.fd for item in attachments)])
        answer = await greeting
        if answer["type"] == "failed":
            self.detach()
            raise StartFailed(Reason(answer["reason"]), answer["message"])
        self.pid, self.started_at_ns = answer["pid"], answer["started_at_ns"]

    async def connect(self) -> bool:
        """Find the monitor again; whether it is there."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with in_folder(self._bundle, SOCKET_NAME) as address:
                connection.connect(address)
            greeting = self._use(connection)
            hello = Hello.from_json(await asyncio.wait_for(greeting, _HELLO_SECONDS))
        except (OSError, ChannelClosed, TimeoutError):
            connection.close()
            self.detach()
            return False
        self.pid, self.started_at_ns, self.execs = hello.pid, hello.started_at_ns, hello.execs
        return True

    async def attach(self, attachment: Attachment) -> None:
        """Give a client's stream to the monitor. Raises: StartFailed, ChannelClosed."""
        await self._call({"type": "attach", "options": attachment.options.to_json()}, [attachment.fd])

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of the container's terminal."""
        await self._call({"type": "resize", "rows": rows, "columns": columns})

    async def resize_exec(self, exec_id: str, rows: int, columns: int) -> None:
        """Change the size of a further process's terminal."""
        await self._call({"type": "resize", "exec_id": exec_id, "rows": rows, "columns": columns})

    async def signal(self, number: int) -> None:
        """Send a signal to the container's first process."""
        await self._call({"type": "signal", "number": number})

    async def exec(self, request: ExecRequest, attachment: Attachment | None) -> int:
        """Start a further process; its pid on the host. Raises: StartFailed."""
        message: Message = {"type": "exec", "request": request.to_json()}
        if attachment:
            message["options"] = attachment.options.to_json()
        answer = await self._call(message, [attachment.fd] if attachment else [])
        return int(answer["pid"])

    async def pids(self) -> list[int]:
        """The pids on the host of all the container's processes."""
        return list((await self._call({"type": "pids"}))["pids"])

    async def freeze(self) -> None:
        """Stop every process of the container."""
        await self._call({"type": "freeze"})

    async def thaw(self) -> None:
        """Let the processes go on."""
        await self._call({"type": "thaw"})

    def poll(self) -> None:
        """Handle, now, whatever the monitor has already sent."""
        if self._channel:
            self._on_readable()

    def detach(self) -> None:
        """Drop the connection; the container goes on."""
        if self._channel:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
            self._fail_waiting()

    def _use(self, connection: socket.socket) -> asyncio.Future[Message]:
        """Take the connection into use; the result is the monitor's first message."""
        loop = asyncio.get_running_loop()
        self._channel = Channel(connection)
        self._greeting = loop.create_future()
        loop.add_reader(connection.fileno(), self._on_readable)
        return self._greeting

    async def _call(self, message: Message, descriptors: Sequence[int] = ()) -> Message:
        if self._channel is None:
            raise StartFailed(Reason.INVALID, f"container {self.id} is not running")
        self._sequence += 1
        future = asyncio.get_running_loop().create_future()
        self._replies[self._sequence] = future
        try:
            self._channel.send({**message, "seq": self._sequence}, descriptors)
            answer: Message = await future
        except ChannelClosed:
            raise StartFailed(Reason.INVALID, f"container {self.id} is not running") from None
        finally:
            self._replies.pop(self._sequence, None)
        if "error" in answer:
            raise StartFailed(Reason(answer["reason"]), answer["error"])
        return answer

    def _on_readable(self) -> None:
        if self._channel is None:
            return
        try:
            messages = self._channel.receive_available()
        except ChannelClosed:
            self._on_closed()
            return
        for message, _ in messages:
            self._on_message(message)

    def _on_message(self, message: Message) -> None:
        kind = message["type"]
        if kind == "reply":
            future = self._replies.pop(message["seq"], None)
            if future and not future.done():
                future.set_result(message)
        elif kind in _EVENTS:
            event: Event = _EVENTS[kind].from_json(message)
            self._exited = self._exited or isinstance(event, Exited)
            self._on_event(self, event)
        elif self._greeting and not self._greeting.done():
            self._greeting.set_result(message)

    def _on_closed(self) -> None:
        started = self._greeting is not None and self._greeting.done()
        self.detach()
        if started and not self._exited and self.pid:
            self._burial = asyncio.get_running_loop().create_task(self._bury(), name=f"bury {self.id[:12]}")

    async def _bury(self) -> None:
        """The monitor is gone: end what is left of the container, and say so."""
        event: Event | None = read_exit_record(self._exit_file)
        if event is None:
            await asyncio.to_thread(bury, self._bundle)
            event = Lost(time.time_ns())
        self._on_event(self, event)

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
    except (FileNotFoundError, ValueError, TypeError):
        return None


def bury(bundle: str) -> None:
    """Kill and remove what is left of a container whose monitor is gone. Blocks; for a thread."""
    try:
        path = Outline.of_config(_read_config(bundle)).cgroups_path
    except (OSError, ValueError):
        path = ""
    if path:
        group = cgroups.open_hierarchy().open(path)
        try:
            group.kill()
            group.remove()
        except CaisError as error:
            _log.error("remove the control groups %s: %s", path, error.message)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(bundle, SOCKET_NAME))


def sweep(run_root: Path, cgroup_parent: str, keep: set[str]) -> None:
    """Kill and remove what dead monitors left: control groups below `cgroup_parent` and bundles. Blocks; for a thread.

    keep: the ids of containers whose monitors live.
    """
    for path in cgroups.sweep(cgroup_parent, keep):
        _log.warning("swept the control groups %s", path)
    bundles = run_root / "containers"
    for bundle in bundles.iterdir() if bundles.is_dir() else ():
        if bundle.name not in keep:
            shutil.rmtree(bundle, ignore_errors=True)


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
