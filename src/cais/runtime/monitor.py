"""The parent of one container: starts it, keeps its streams, and records how it ended.

One single-threaded process, forked from the spawner; it needs neither the spawner nor caisd afterwards.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from cais.errors import CaisError
from cais.linux import credentials, namespaces
from cais.runtime import init, joiner
from cais.runtime.cgroups.interface import Cgroup, Hierarchy
from cais.runtime.channel import Channel, ChannelClosed, Message, pair
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.log import JsonFileLog
from cais.runtime.messages import (
    Detached,
    ExecExited,
    ExecRequest,
    Exited,
    Hello,
    Oom,
    Outline,
    Record,
    RunningExec,
    StartRequest,
    StreamOptions,
)
from cais.runtime.poller import Poller
from cais.runtime.streams import Streams

SOCKET_NAME = "monitor.sock"
_EVENTS = {Exited: "exited", ExecExited: "exec-exited", Detached: "detached", Oom: "oom"}
_HELD_BACK_SECONDS = 0.5
_LAST_WORDS_SECONDS = 30.0  # how long clients may take for what is left when the container has ended
_NAMESPACES = (
    namespaces.CLONE_NEWNS | namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWCGROUP
)  # fmt: skip


@dataclass(slots=True)
class _Task:
    """A process of the container that this monitor started: its first one, or one of `exec`."""

    pid: int
    pidfd: int
    streams: Streams
    exit_code: int | None = None


class Monitor:
    """The monitor's state and its event loop."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        request: StartRequest,
        outline: Outline,
        control: Channel,
        listener: socket.socket,
    ) -> None:
        self._hierarchy = hierarchy
        self._request = request
        self.container_id = request.id
        self._outline = outline
        self._control: Channel | None = control
        self._poller = Poller()
        self._cgroup: Cgroup = hierarchy.open(outline.cgroups_path)
        self._main: _Task
        self._execs: dict[str, _Task] = {}
        self._started_at_ns = 0
        self._oom_kills = 0
        self._oom_fd: int | None = None
        self._listener = listener

    def run(self, attachments: list[tuple[int, StreamOptions]]) -> None:
        """Start the container and stay with it until it has ended and everything is told."""
        try:
            self._start(attachments)
        except StartFailed as error:
            self._tell({"type": "failed", "reason": error.reason, "message": error.message})
            return
        self._watch_control()
        self._poller.add(self._listener.fileno(), select.EPOLLIN, lambda _: self._accept())
        self._tell({"type": "started", "pid": self._main.pid, "started_at_ns": self._started_at_ns})
        self._watch_oom()
        while self._main.exit_code is None:
            held = any(task.streams.held_back for task in self._tasks())
            self._poller.run_once(_HELD_BACK_SECONDS if held else None)
            if held:
                for task in self._tasks():
                    task.streams.reconsider()
        self._finish()

    # Starting

    def _start(self, attachments: list[tuple[int, StreamOptions]]) -> None:
        request = self._request
        try:
            log = JsonFileLog(request.log) if request.log else None
            streams = self._new_streams(log, None, close_stdin_once=request.stdin_once)
            for fd, options in attachments:
                streams.attach(fd, options)
            self._main = self._start_first(streams)
        except BaseException as error:
            self._cgroup.kill()
            self._cgroup.remove()
            self._stop_listening()
            if isinstance(error, OSError):
                raise StartFailed(Reason.INTERNAL, f"start the container: {error}") from error
            raise

    def _start_first(self, streams: Streams) -> _Task:
        os.makedirs(os.path.join(self._request.bundle, "rootfs"), mode=0o700, exist_ok=True)
        theirs, ours = (None, None) if self._outline.terminal else _make_pipes(self._request.open_stdin)
        mine, child_end = pair()
        launch = init.Launch(self._request, self._hierarchy, theirs, child_end)
        pid = self._fork_into_pid_namespace(lambda: init.run(launch), mine)
        child_end.close()
        _close_all(theirs)
        channel = Channel(mine)
        try:
            task = self._await_exec(channel, streams, pid, None)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        if ours:
            streams.use_pipes(*ours)
        return task

    def _fork_into_pid_namespace(self, child: Any, mine: socket.socket) -> int:
        """Fork a process whose PID namespace is the container's; later forks stay in this one."""
        path = self._outline.pid_namespace
        own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if path:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                namespaces.setns(fd, namespaces.CLONE_NEWPID)
                os.close(fd)
            elif path is not None:
                namespaces.unshare(namespaces.CLONE_NEWPID)
            pid = os.fork()
            if pid == 0:
                mine.close()
                child()
                os._exit(255)
            if path is not None:
                namespaces.setns(own, namespaces.CLONE_NEWPID)
            return pid
        finally:
            os.close(own)

    def _await_exec(self, channel: Channel, streams: Streams, pid: int, helper: int | None) -> _Task:
        """Wait until nothing is left to the process but exec. helper: the joiner, which ends by itself.

        The command has been found executable by then; should exec fail all the same (a wrong format), the process
        says so on its standard error and ends with 255, as in Docker.
        Raises: StartFailed.
        """
        executing = False
        try:
            while not executing:
                message, descriptors = channel.receive()
                if message["type"] == "terminal":
                    streams.use_terminal(descriptors[0], with_input=True)
                elif message["type"] == "failed":
                    raise StartFailed(Reason(message["reason"]), message["message"])
                elif message["type"] == "executing":
                    executing = True
                    pid = message.get("pid", pid)
        except ChannelClosed:
            raise StartFailed(Reason.INTERNAL, "the process ended before it could be executed") from None
        finally:
            channel.close()
            if helper is not None:
                self._reap_later(helper)
        self._started_at_ns = self._started_at_ns or time.time_ns()
        task = _Task(pid, os.pidfd_open(pid), streams)
        self._poller.add(task.pidfd, select.EPOLLIN, lambda _: self._on_end(task))
        return task

    def _reap_later(self, pid: int) -> None:
        """Reap a child that is about to end."""
        fd = os.pidfd_open(pid)

        def reap(_: int) -> None:
            self._poller.remove(fd)
            os.close(fd)
            os.waitpid(pid, 0)

        self._poller.add(fd, select.EPOLLIN, reap)

    def _new_streams(self, log: JsonFileLog | None, exec_id: str | None, *, close_stdin_once: bool) -> Streams:
        return Streams(
            self._poller,
            self._request.bundle,
            log,
            close_stdin_once=close_stdin_once,
            on_detached=lambda: self._announce(Detached(exec_id)),
        )

    # Talking to caisd

    def _stop_listening(self) -> None:
        self._poller.remove(self._listener.fileno())
        self._listener.close()
        _unlink_if_there(os.path.join(self._request.bundle, SOCKET_NAME))

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self._drop_control()
        self._control = Channel(connection)
        self._watch_control()
        execs = [RunningExec(exec_id, task.pid, task.exit_code) for exec_id, task in self._execs.items()]
        hello = Hello(self._request.id, self._main.pid, self._started_at_ns, execs)
        self._tell({"type": "hello", **hello.to_json()})

    def _watch_control(self) -> None:
        if self._control:
            self._poller.add(self._control.fileno(), select.EPOLLIN, lambda _: self._on_control())

    def _drop_control(self) -> None:
        if self._control:
            self._poller.remove(self._control.fileno())
            self._control.close()
            self._control = None

    def _on_control(self) -> None:
        try:
            messages = self._control.receive_available() if self._control else []
        except ChannelClosed:
            self._drop_control()
            return
        for message, descriptors in messages:
            self._handle(message, descriptors)

    def _handle(self, message: Message, descriptors: list[int]) -> None:
        reply: Message = {"type": "reply", "seq": message.get("seq")}
        try:
            reply |= self._perform(message, descriptors)
        except StartFailed as error:
            reply |= {"reason": error.reason, "error": error.message}
        except OSError as error:
            reply |= {"reason": Reason.INTERNAL, "error": error.strerror or str(error)}
        except CaisError as error:
            reply |= {"reason": Reason.INTERNAL, "error": error.message}
        self._tell(reply)

    def _perform(self, message: Message, descriptors: list[int]) -> Message:
        kind = message["type"]
        if kind == "attach":
            self._main.streams.attach(descriptors[0], StreamOptions.from_json(message["options"]))
        elif kind == "resize":
            self._find(message.get("exec_id")).streams.resize(message["rows"], message["columns"])
        elif kind == "signal":
            signal.pidfd_send_signal(self._find(message.get("exec_id")).pidfd, message["number"])
        elif kind == "pids":
            return {"pids": self._cgroup.pids()}
        elif kind == "freeze":
            self._cgroup.freeze()
        elif kind == "thaw":
            self._cgroup.thaw()
        elif kind == "exec":
            options = StreamOptions.from_json(message["options"]) if descriptors else None
            return {"pid": self._exec(ExecRequest.from_json(message["request"]), options, descriptors)}
        else:
            raise StartFailed(Reason.INVALID, f"this monitor does not know the request {kind!r}")
        return {}

    def _tell(self, message: Message) -> None:
        if self._control:
            try:
                self._control.send(message)
            except ChannelClosed:
                self._drop_control()

    def _announce(self, event: Record) -> None:
        self._tell({"type": _EVENTS[type(event)], **event.to_json()})

    # Further processes

    def _exec(self, request: ExecRequest, options: StreamOptions | None, descriptors: list[int]) -> int:
        self._forget_ended()
        streams = self._new_streams(None, request.id, close_stdin_once=True)
        wants_input = bool(options and options.stdin)
        theirs, ours = (None, None) if request.process.get("terminal") else _make_pipes(wants_input)
        mine, child_end = pair()
        joining = joiner.Joining(
            container_id=self._request.id,
            cgroup=self._cgroup,
            namespaces_fd=self._main.pidfd,
            namespace_flags=_NAMESPACES,
            request=request,
            stdio=theirs,
            connection=child_end,
        )
        helper = os.fork()
        if helper == 0:
            mine.close()
            joiner.run(joining)
        child_end.close()
        _close_all(theirs)
        try:
            task = self._await_exec(Channel(mine), streams, -1, helper)
        except StartFailed:
            _close_all(ours)
            raise
        self._execs[request.id] = task
        if options:
            streams.attach(descriptors[0], options)
        if ours:
            streams.use_pipes(*ours)
        return task.pid

    def _forget_ended(self) -> None:
        """Drop the processes whose end caisd was told and whose clients have everything."""
        if self._control:
            self._execs = {
                key: task for key, task in self._execs.items()
                if task.exit_code is None or not task.streams.clients_served
            }  # fmt: skip

    def _find(self, exec_id: str | None) -> _Task:
        if exec_id is None:
            return self._main
        task = self._execs.get(exec_id)
        if task is None or task.exit_code is not None:
            raise StartFailed(Reason.INVALID, f"exec {exec_id} is not running")
        return task

    def _tasks(self) -> list[_Task]:
        return [self._main, *self._execs.values()]

    # Ends

    def _on_end(self, task: _Task) -> None:
        result = os.waitid(os.P_PIDFD, task.pidfd, os.WEXITED)
        if result is None:
            return
        self._poller.remove(task.pidfd)
        os.close(task.pidfd)
        signalled = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        task.exit_code = 128 + result.si_status if signalled else result.si_status
        if task is self._main:
            return
        exec_id = next(key for key, value in self._execs.items() if value is task)
        self._announce(ExecExited(exec_id, task.exit_code))  # before the client sees its stream end
        task.streams.finish()

    def _watch_oom(self) -> None:
        self._oom_fd = self._cgroup.oom_event_fd()
        if self._oom_fd is not None:
            fd = self._oom_fd
            self._poller.add(fd, select.EPOLLIN, lambda _: self._on_oom(fd))

    def _on_oom(self, fd: int) -> None:
        try:
            os.read(fd, 4096)
        except BlockingIOError:
            pass
        kills = self._cgroup.oom_kills()
        if kills > self._oom_kills:
            self._oom_kills = kills
            self._announce(Oom())

    def _finish(self) -> None:
        """The first process has ended: end the rest, record it, tell caisd, and let the clients have what is left."""
        exit_code = self._main.exit_code or 0
        finished_at_ns = time.time_ns()
        if self._outline.pid_namespace != "":
            self._cgroup.kill()  # with a PID namespace of its own, the kernel has done so
        for task in [task for task in self._execs.values() if task.exit_code is None]:
            self._on_end(task)
        if self._oom_fd is not None:
            self._on_oom(self._oom_fd)
            self._poller.remove(self._oom_fd)
            os.close(self._oom_fd)
        kills = max(self._oom_kills, self._cgroup.oom_kills())
        self._main.streams.finish()
        error = ""
        try:
            self._cgroup.remove()
        except CaisError as failure:
            error = failure.message
        exited = Exited(exit_code, kills > 0, finished_at_ns, error)
        try:
            _write_atomically(self._request.exit_file, exited.to_json())
        except OSError as failure:  # a full disk: caisd, if there is one, is told all the same
            sys.stderr.write(f"monitor of {self._request.id}: record the exit: {failure}\n")
            sys.stderr.flush()
        self._stop_listening()
        self._announce(exited)
        self._drop_control()
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while not all(task.streams.clients_served for task in self._tasks()) and time.monotonic() < deadline:
            self._poller.run_once(deadline - time.monotonic())


def main(monitor: Monitor, attachments: list[tuple[int, StreamOptions]]) -> NoReturn:
    """Be a monitor, in a process just forked from the spawner. Never returns."""
    status = 1
    try:
        os.setsid()
        credentials.set_name("cais-monitor")
        monitor.run(attachments)
        status = 0
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        sys.stderr.write(f"monitor of {monitor.container_id}: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    os._exit(status)


def _make_pipes(with_input: bool) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The ends of the container's process and our ends, for streams 0 to 2."""
    if with_input:
        stdin_read, stdin_write = os.pipe()
    else:
        stdin_read, stdin_write = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    return (stdin_read, stdout_write, stderr_write), (stdin_write, stdout_read, stderr_read)


def _close_all(descriptors: tuple[int, ...] | None) -> None:
    for fd in descriptors or ():
        if fd >= 0:
            os.close(fd)


def _write_atomically(path: str, value: dict[str, Any]) -> None:
    temporary = path + ".new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(value).encode())
    finally:
        os.close(fd)
    os.rename(temporary, path)


def _unlink_if_there(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
