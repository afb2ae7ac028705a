"""The parent of one container: starts it, keeps its streams, and records how it ended.

One single-threaded process, forked from the spawner; it needs neither the spawner nor caisd afterwards.
"""

import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from cais.errors import CaisError
from cais.linux import credentials
from cais.linux.fs import close_from
from cais.runtime.cgroups.interface import Cgroup, Hierarchy
from cais.runtime.channel import Channel, ChannelClosed, Message
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.execs import Execs, Task, close_all, make_pipes
from cais.runtime.first import FirstProcess
from cais.runtime.log import JsonFileLog
from cais.runtime.messages import (
    SOCKET_NAME,
    Detached,
    ExecExited,
    ExecRequest,
    Exited,
    Hello,
    Oom,
    OomFigures,
    Outline,
    Record,
    StreamOptions,
)
from cais.runtime.poller import Poller
from cais.runtime.streams import Streams

_EVENTS = {Exited: "exited", ExecExited: "exec-exited", Detached: "detached", Oom: "oom"}
_HELD_BACK_SECONDS = 0.5
_OOM_SECONDS = 2.0  # how long after it told of a lack of memory the kernel may take to kill a process …
_OOM_COUNT_SECONDS = 0.02  # … and how often it is asked whether it has
_LAST_WORDS_SECONDS = 30.0  # how long clients may take for what is left when the container has ended


class _NoGroup(StartFailed):
    """The start failed before it had control groups: a group of that name is somebody else's."""


class Monitor:
    """The monitor's state and its event loop."""

    def __init__(
        self,
        hierarchy: Hierarchy,
        first: FirstProcess,
        outline: Outline,
        request: str,
        *,
        control: Channel,
        listener: socket.socket,
    ) -> None:
        """request: the JSON text of a `StartRequest`."""
        self._hierarchy = hierarchy
        self._first = first
        self._root_fds: list[int] = []
        self._request = request
        self._outline = outline
        self._control: Channel | None = control
        self._listener = listener
        self._poller = Poller()
        self._cgroup: Cgroup
        self._execs: Execs
        self._main: Task
        self._started_at_ns = 0
        self._oom_kills = 0
        self._oom_figures: OomFigures | None = None
        self._oom_told_at = 0.0
        self._oom_fd: int | None = None
        self._told_exit = False

    def run(self, attachments: list[tuple[int, StreamOptions]]) -> None:
        """Start the container and stay with it until it has ended and everything is told."""
        try:
            self._start(attachments)
        except StartFailed as error:
            if self._control:
                with contextlib.suppress(ChannelClosed):
                    self._control.send({"type": "failed", "reason": error.reason, "message": error.message})
            return
        self._poller.add(self._listener.fileno(), select.EPOLLIN, lambda _: self._accept())
        self._tell({"type": "started", "pid": self._main.pid, "started_at_ns": self._started_at_ns})
        self._watch_oom()
        while self._main.exit_code is None:
            patience = self._patience_seconds()
            self._poller.run_once(patience)
            if patience is not None:
                self._look_again()
        self._finish()

    def _patience_seconds(self) -> float | None:
        """How long nothing need happen before `_look_again`; None where it is not needed."""
        if self._oom_told_at:
            return _OOM_COUNT_SECONDS
        if any(task.streams.held_back for task in self._tasks()):
            return _HELD_BACK_SECONDS
        return self._execs.due_seconds()

    def _look_again(self) -> None:
        self._execs.tend()
        for task in self._tasks():
            task.streams.reconsider()
        if self._oom_told_at:
            self._count_oom_kills()

    # Starting

    def _start(self, attachments: list[tuple[int, StreamOptions]]) -> None:
        outline = self._outline
        try:
            self._cgroup = self._hierarchy.open(outline.cgroups_path)
            self._execs = Execs(self._poller, outline.id, self._cgroup, self._new_exec_streams, self._tell_exec_end)
            log = JsonFileLog(outline.log) if outline.log else None
            streams = self._new_streams(log, None, close_stdin_once=outline.stdin_once)
            for fd, options in attachments:
                streams.attach(fd, options)
            self._main = self._start_first(streams)
        except BaseException as error:
            self._stop_listening()
            if isinstance(error, CaisError):
                raise StartFailed(Reason.INVALID, error.message) from error
            if isinstance(error, OSError):
                raise StartFailed(Reason.INTERNAL, f"start the container: {error}") from error
            raise

    def _start_first(self, streams: Streams) -> Task:
        try:
            os.mkdir(f"{self._outline.bundle}/rootfs", 0o700)
        except FileExistsError:
            pass
        theirs, ours = (None, None) if self._outline.terminal else make_pipes(self._outline.open_stdin)
        first = self._launch(theirs or ())
        close_all(theirs)
        try:
            self._await_exec(first.channel, streams)
            self._started_at_ns = time.time_ns()
            task = Task(first.pid, os.pidfd_open(first.pid), streams)
        except BaseException as error:
            first.end()
            if not isinstance(error, _NoGroup):
                self._remove_group()
            raise
        finally:
            first.channel.close()
        self._poller.add(task.pidfd, select.EPOLLIN, lambda _: self._on_main_end())
        if ours:
            streams.use_pipes(*ours)
        return task

    def _launch(self, stdio: tuple[int, ...]) -> FirstProcess:
        """Tell the first process, which waits, what it becomes; another one if this one does not fit or is gone."""
        message = {"type": "launch", "request": self._request}
        if self._outline.pid_namespace == self._first.pid_namespace:
            try:
                self._first.channel.send(message, stdio)
                return self._first
            except ChannelClosed:
                pass  # it was killed while it waited
        self._first.channel.close()
        self._first.end()
        first = FirstProcess(self._hierarchy, self._outline.pid_namespace)
        first.channel.send(message, stdio)
        return first

    def _await_exec(self, channel: Channel, streams: Streams) -> None:
        """Wait until nothing is left to the first process but exec.

        The command has been found executable by then; should exec fail all the same (a wrong format), the process
        says so on its standard error and ends with 255, as in Docker.
        Raises: StartFailed.
        """
        while True:
            try:
                message, descriptors = channel.receive()
            except ChannelClosed:
                text = "the process ended before it could be executed"
                raise StartFailed(Reason.INTERNAL, text) from None
            if message["type"] == "terminal" and descriptors:
                streams.use_terminal(descriptors[0], with_input=True)
            elif message["type"] == "root":
                # Kept to the end: the file system below an overlay is synced when the last reference to the mount
                # goes, and without this one that would be before the kernel tells of the first process's end.
                self._root_fds = descriptors
            elif message["type"] == "resolver":
                self._pass_on(message, descriptors)
            elif message["type"] == "failed":
                kind = StartFailed if message["has_group"] else _NoGroup
                raise kind(Reason(message["reason"]), message["message"])
            elif message["type"] == "executing":
                return

    def _pass_on(self, message: Message, descriptors: list[int]) -> None:
        """Give what the first process has for caisd to caisd."""
        if self._control:
            with contextlib.suppress(ChannelClosed):
                self._control.send(message, descriptors)
        close_all(tuple(descriptors))

    def _remove_group(self) -> None:
        try:
            self._cgroup.kill()
            self._cgroup.remove()
        except CaisError as error:
            self._complain("remove the control groups", error.message)

    def _new_streams(self, log: JsonFileLog | None, exec_id: str | None, *, close_stdin_once: bool) -> Streams:
        return Streams(
            self._poller,
            os.path.dirname(self._outline.exit_file),  # beside the container's own data: the bundle is in memory
            log,
            close_stdin_once=close_stdin_once,
            on_detached=lambda: self._announce(Detached(exec_id)),
        )

    def _new_exec_streams(self, exec_id: str) -> Streams:
        return self._new_streams(None, exec_id, close_stdin_once=True)

    # Talking to caisd

    def _stop_listening(self) -> None:
        self._poller.remove(self._listener.fileno())
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._outline.bundle, SOCKET_NAME))

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self._drop_control()
        self._control = Channel(connection)
        hello = Hello(self._outline.id, self._main.pid, self._started_at_ns, self._execs.outline())
        self._tell({"type": "hello", **hello.to_json()})

    def _drop_control(self) -> None:
        if self._control:
            self._poller.remove(self._control.fileno())
            self._control.close()
            self._control = None
            self._execs.forget_prepared()

    def _on_control(self, events: int) -> None:
        if self._control is None:
            return
        messages: list[tuple[Message, list[int]]] = []
        try:
            if events & select.EPOLLOUT:
                self._watch_control(self._control.flush())
            if events & ~select.EPOLLOUT:
                messages = self._control.receive_available()
        except ChannelClosed:
            self._drop_control()
        for message, descriptors in messages:
            self._handle(message, descriptors)

    def _handle(self, message: Message, descriptors: list[int]) -> None:
        control, sequence = self._control, message.get("seq")

        def reply(answer: Message) -> None:
            if control is self._control:  # else it is another caisd, which asked nothing
                self._tell({"type": "reply", "seq": sequence, **answer})

        try:
            self._perform(message, descriptors, reply)
        except StartFailed as error:
            reply({"reason": error.reason, "error": error.message})
        except CaisError as error:
            reply({"reason": Reason.INTERNAL, "error": error.message})
        except OSError as error:
            reply({"reason": Reason.INTERNAL, "error": error.strerror or str(error)})
        except Exception as error:  # noqa: BLE001  a request that makes no sense must not end the container
            reply({"reason": Reason.INVALID, "error": f"{type(error).__name__}: {error}"})
        finally:
            close_all(tuple(descriptors))

    def _perform(self, message: Message, descriptors: list[int], reply: Callable[[Message], None]) -> None:
        """Do what is asked. Descriptors that are made use of are taken from the list."""
        kind = message["type"]
        answer: Message = {}
        if kind == "attach":
            answer = self._attach(message, descriptors)
        elif kind == "resize":
            self._find(message.get("exec_id")).streams.resize(message["rows"], message["columns"])
        elif kind == "signal":
            signal.pidfd_send_signal(self._find(message.get("exec_id")).pidfd, message["number"])
        elif kind == "pids":
            answer = {"pids": sorted(set(self._cgroup.pids()) - self._execs.joiners)}
        elif kind == "freeze":
            self._cgroup.freeze()
        elif kind == "thaw":
            self._cgroup.thaw()
        elif kind == "exec":
            self._exec(message, descriptors, reply)
            return
        elif kind == "prepare":
            self._execs.prepare(ExecRequest.from_json(message["request"]), self._find(None).pidfd)
            return
        elif kind == "forget":
            self._execs.forget(message["exec_id"])
            return
        else:
            raise StartFailed(Reason.INVALID, f"this monitor does not know the request {kind!r}")
        reply(answer)

    def _attach(self, message: Message, descriptors: list[int]) -> Message:
        options = StreamOptions.from_json(message["options"])
        streams = self._find(None).streams
        if not message.get("after_log"):
            streams.attach(descriptors[0], options)
            del descriptors[:1]
            return {}
        client, gate = descriptors[:2]
        del descriptors[:2]
        return {"log_size": streams.attach_behind(client, options, gate)}

    def _exec(self, message: Message, descriptors: list[int], reply: Callable[[Message], None]) -> None:
        def done(result: int | StartFailed) -> None:
            if isinstance(result, StartFailed):
                reply({"reason": result.reason, "error": result.message})
            else:
                reply({"pid": result})

        if self._control:  # what it was told can be forgotten
            self._execs.forget_ended()
        request = ExecRequest.from_json(message["request"])
        options = StreamOptions.from_json(message["options"]) if "options" in message else None
        client = descriptors[0] if options else None
        self._execs.start(request, self._find(None).pidfd, client, options, done)
        descriptors.clear()

    def _find(self, exec_id: str | None) -> Task:
        if exec_id is not None:
            return self._execs.find(exec_id)
        if self._main.exit_code is not None:
            raise StartFailed(Reason.INVALID, f"container {self._outline.id} is not running")
        return self._main

    def _tasks(self) -> list[Task]:
        return [self._main, *self._execs.tasks]

    def _tell(self, message: Message) -> None:
        """Send a message to caisd, which may be gone, or slow: that must not stop the container."""
        if self._control:
            try:
                self._watch_control(self._control.post(message))
            except ChannelClosed:
                self._drop_control()

    def _watch_control(self, all_sent: bool) -> None:
        if self._control is None:
            return
        if self._told_exit and all_sent:
            self._drop_control()
        else:
            events = (0 if self._told_exit else select.EPOLLIN) | (0 if all_sent else select.EPOLLOUT)
            self._poller.set(self._control.fileno(), events, self._on_control)

    def _announce(self, event: Record) -> None:
        self._tell({"type": _EVENTS[type(event)], **event.to_json()})

    def _tell_exec_end(self, exec_id: str, exit_code: int) -> None:
        self._announce(ExecExited(exec_id, exit_code))

    # Ends

    def _on_main_end(self) -> None:
        if self._main.reap():
            self._poller.remove(self._main.pidfd)
            os.close(self._main.pidfd)

    def _watch_oom(self) -> None:
        try:
            fd = self._oom_fd = self._cgroup.oom_event_fd()
        except CaisError as error:
            self._complain("watch for a lack of memory", error.message)
            return
        if fd is not None:
            self._poller.add(fd, select.EPOLLIN, lambda _: self._on_oom(fd))
            self._count_oom_kills()  # those before the kernel was asked to tell

    def _stop_watching_oom(self) -> None:
        if self._oom_fd is not None:
            self._poller.remove(self._oom_fd)
            os.close(self._oom_fd)
            self._oom_fd = None
        self._count_oom_kills()

    def _on_oom(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(fd, 4096)
        self._oom_told_at = time.monotonic()
        self._count_oom_kills()

    def _count_oom_kills(self) -> None:
        """Tell of processes that were killed. Of a lack of memory, the kernel tells before it kills and counts."""
        kills = self._cgroup.oom_kills()
        if kills > self._oom_kills:
            self._oom_kills = kills
            self._announce(Oom())
        elif time.monotonic() - self._oom_told_at < _OOM_SECONDS:
            return
        self._oom_told_at = 0.0

    def _finish(self) -> None:
        """The first process has ended: end the rest, record it, tell caisd, and let the clients have what is left."""
        finished_at_ns = time.time_ns()
        problems = []
        steps = (
            self._kill_rest, self._stop_watching_oom, self._keep_oom_figures, self._main.streams.drain,
            self._cgroup.remove,
        )  # fmt: skip
        for step in steps:
            try:
                step()
            except CaisError as error:
                problems.append(error.message)
        exited = Exited(
            self._main.exit_code or 0,
            self._oom_kills > 0,
            finished_at_ns,
            "; ".join(problems),
            self._main.signal,
            self._oom_figures,
        )
        try:
            _write_atomically(self._outline.exit_file, exited.to_json())
        except OSError as failure:  # a full disk: caisd, if there is one, is told all the same
            self._complain("record the exit", str(failure))
        self._stop_listening()
        self._told_exit = True
        self._announce(exited)
        self._main.streams.end()
        deadline = time.monotonic() + _LAST_WORDS_SECONDS
        while not self._all_is_told() and (left := deadline - time.monotonic()) > 0:
            self._poller.run_once(left)
            if self._main.streams.clients_wait:  # what they get first may be long
                deadline = time.monotonic() + _LAST_WORDS_SECONDS

    def _keep_oom_figures(self) -> None:
        """What the control groups tell of a lack of memory, while they are still there."""
        if self._oom_kills:
            stats = self._cgroup.stats()
            self._oom_figures = OomFigures(
                stats.memory_limit_bytes, stats.memory_max_usage_bytes, self._oom_kills, stats.memory_failures
            )

    def _kill_rest(self) -> None:
        try:
            if self._outline.pid_namespace != "":
                self._cgroup.kill()  # with a PID namespace of its own, the kernel has done so
        finally:
            self._execs.end_all()

    def _all_is_told(self) -> bool:
        return self._control is None and all(task.streams.clients_served for task in self._tasks())

    def _complain(self, operation: str, problem: str) -> None:
        _write_to_log(f"monitor of {self._outline.id}: {operation}: {problem}\n")


def main(hierarchy: Hierarchy, connection: socket.socket) -> NoReturn:
    """Be a monitor, in a process just forked from the spawner; `connection` brings the container. Never returns.

    The first process is forked at once too, in a PID namespace of its own as most containers want it: when the
    container comes, two forks are behind it.
    """
    status = 1
    name = "of no container yet"
    try:
        os.setsid()
        close_from(3, connection.fileno())  # a connection of another container would never be seen to end
        credentials.set_name("cais-monitor")
        first = FirstProcess(hierarchy, "")
        channel = Channel(connection)
        message, descriptors = channel.receive()
        channel.close()
        outline = Outline.from_json(message["outline"])
        name = f"of {outline.id}"
        options = [StreamOptions.from_json(item) for item in message["attachments"]]
        control, listener = (socket.socket(fileno=fd) for fd in descriptors[:2])
        attachments = list(zip(descriptors[2:], options, strict=True))
        monitor = Monitor(hierarchy, first, outline, message["request"], control=Channel(control), listener=listener)
        monitor.run(attachments)
        status = 0
    except ChannelClosed:
        pass  # the spawner ended; the first process sees the end of its own channel
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        _write_to_log(f"monitor {name}: {type(error).__name__}: {error}\n")
    os._exit(status)


def _write_to_log(line: str) -> None:
    try:
        sys.stderr.write(line)
        sys.stderr.flush()
    except OSError:
        pass


def _write_atomically(path: str, value: dict[str, Any]) -> None:
    temporary = path + ".new"
    data = json.dumps(value).encode()
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), temporary)
    finally:
        os.close(fd)
    os.rename(temporary, path)
