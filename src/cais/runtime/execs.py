"""The further processes of a container, from the request to the end.

A joiner is not waited for: what it does inside the container may take as long as the container's files let it, and
the monitor has other things to do. It can begin ahead: between a client's two requests, to create an exec and to
start it, there is time for most of its work. And who executes one command often executes another soon: a spare joiner,
for a process of the same kind, is made when one has ended, and waits for a while, unless a filter may keep it from
what it has to do then.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from cais.linux import namespaces, tty
from cais.linux.shared import SharedNumbers
from cais.runtime import joiner
from cais.runtime.cgroups.interface import Cgroup
from cais.runtime.channel import Channel, ChannelClosed, pair
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import ExecRequest, RunningExec, StreamOptions
from cais.runtime.poller import Poller
from cais.runtime.streams import Streams

_NAMESPACES = (
    namespaces.CLONE_NEWNS | namespaces.CLONE_NEWUTS | namespaces.CLONE_NEWIPC | namespaces.CLONE_NEWNET
    | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWCGROUP
)  # fmt: skip
_END_SECONDS = 10.0  # how long a killed process may take to end
_KILLED = 128 + signal.SIGKILL
_PID_LOOKS, _PID_SECONDS = 20, 0.0001
_MOST_AHEAD = 8  # joiners that wait for a start
_SPARE_AFTER_SECONDS, _SPARE_SECONDS = 0.01, 15.0  # when a spare is made, and how long it waits

Pipes = tuple[int, int, int]
# Called with the pid of the process, or with why there is none
Done = Callable[[int | StartFailed], None]


@dataclass(slots=True)
class Task:
    """A process of the container that the monitor started: its first one, or a further one."""

    pid: int
    pidfd: int
    streams: Streams
    exit_code: int | None = None
    signal: int = 0  # the number of the one that ended it

    def reap(self) -> bool:
        """Take the exit status, 128 + its number for a signal; False while the process runs. `pidfd` stays open."""
        result = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return False
        signalled = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
        self.signal = result.si_status if signalled else 0
        self.exit_code = 128 + result.si_status if signalled else result.si_status
        return True


@dataclass(slots=True)
class _Starting:
    """A process whose joiner is at work. client: the descriptor of its client, which belongs to this until it runs.

    request: None while the joiner is a spare. done: None until somebody has asked for the start. ahead: it was prepared
    before that. inside: the process waits for the start in the container; else the joiner does. goes: it may go on, and
    is told so when its terminal, if it is to have one, is here and has its size. told: it was. forks: the joiner has
    closed everything and forks now. waits: the process came before that and waits for a signal. pidfd: of the process
    itself; -1 before it is there.
    """

    kind: joiner.Kind
    request: ExecRequest | None
    main_pidfd: int
    channel: Channel
    shared: SharedNumbers
    pipes: Pipes | None
    joiner_pid: int
    joiner_fd: int
    inside: bool
    client: int | None = None
    options: StreamOptions | None = None
    done: Done | None = None
    ahead: bool = False
    goes: bool = False
    told: bool = False
    forks: bool = False
    waits: bool = False
    started: bool = False
    pid: int = 0
    pidfd: int = -1
    terminal_fd: int = -1
    failure: StartFailed | None = None


class Execs:
    """The further processes of one container."""

    def __init__(
        self,
        poller: Poller,
        container_id: str,
        cgroup: Cgroup,
        new_streams: Callable[[str], Streams],
        on_exited: Callable[[str, int], None],
    ) -> None:
        self._poller = poller
        self._container_id = container_id
        self._cgroup = cgroup
        self._new_streams = new_streams
        self._on_exited = on_exited
        self._starting: list[_Starting] = []
        self._tasks: dict[str, Task] = {}
        self._last: tuple[ExecRequest, int] | None = None  # what was started last: a spare is for such a one
        self._spare: _Starting | None = None
        self._due: float | None = None  # when a spare is to be made, or to go; time.monotonic()

    @property
    def tasks(self) -> list[Task]:
        """Those that run, and those that ended and are not forgotten yet."""
        return list(self._tasks.values())

    def outline(self) -> list[RunningExec]:
        """What a caisd that finds this monitor again is told."""
        return [RunningExec(exec_id, task.pid, task.exit_code) for exec_id, task in self._tasks.items()]

    @property
    def joiners(self) -> set[int]:
        """The pids of joiners and of what they made ahead, in the container's control groups and no processes of it."""
        ahead = {starting.pid for starting in self._starting if not starting.started}
        return ahead | {starting.joiner_pid for starting in self._starting}

    def find(self, exec_id: str) -> Task:
        """A process that runs. Raises: StartFailed."""
        task = self._tasks.get(exec_id)
        if task is None or task.exit_code is not None:
            raise StartFailed(Reason.INVALID, f"exec {exec_id} is not running")
        return task

    def forget_ended(self) -> None:
        """Drop the processes that ended and whose clients have everything."""
        self._tasks = {
            key: task for key, task in self._tasks.items() if task.exit_code is None or not task.streams.clients_served
        }

    def start(
        self, request: ExecRequest, main_pidfd: int, client: int | None, options: StreamOptions | None, done: Done
    ) -> None:
        """Start a process in the namespaces of the container's first one; `done` is called when that has come out.

        client: the descriptor of an attached client, which belongs to the process's streams from now on.
        Raises: OSError, and then the client is still the caller's.
        """
        starting = self._find_prepared(request.id)
        if starting is not None:
            starting.request = request  # with the terminal's size, which only the start knows
        if starting is None or not _let_go(starting):
            starting = self._begin(request, main_pidfd, inside=False)
            _let_go(starting)
        starting.client, starting.options, starting.done = client, options, done
        self._last = (request, main_pidfd) if request.waits_inside else None
        self._look_for_process(starting)

    def forget(self, exec_id: str) -> None:
        """End what was prepared and is not going to be started."""
        starting = self._find_prepared(exec_id)
        if starting is not None:
            starting.failure = StartFailed(Reason.INVALID, f"exec {exec_id} is not wanted any more")
            _end(starting)

    def forget_prepared(self) -> None:
        """End everything that waits for a start: who prepared it is gone."""
        for starting in list(self._starting):
            if starting.request is not None:
                self.forget(starting.request.id)

    def prepare(self, request: ExecRequest, main_pidfd: int) -> None:
        """Have a joiner do what can be done before the start, unless many wait already. Raises: OSError."""
        if self._waiting() < _MOST_AHEAD:
            self._begin(request, main_pidfd, inside=request.waits_inside).ahead = True

    def due_seconds(self) -> float | None:
        """How long `tend` need not be called; None: until something happens."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def tend(self) -> None:
        """Make the spare joiner when it is time to, or end it when it has waited for long enough."""
        if self._due is None or time.monotonic() < self._due:
            return
        self._due = None
        if self._spare is not None:
            _end(self._spare)
        elif self._last is not None and not self._waiting():
            try:
                self._spare = self._fork_joiner(*self._last, spare=True)
                _rehearse(self._last[0])
            except OSError:
                return  # the next one begins from the beginning
            self._last = None
            self._due = time.monotonic() + _SPARE_SECONDS

    def _waiting(self) -> int:
        """How many wait for a start."""
        return sum(starting.done is None for starting in self._starting)

    def _begin(self, request: ExecRequest, main_pidfd: int, *, inside: bool) -> _Starting:
        """Begin with a start, up to where the joiner waits to be told to go on. Raises: OSError."""
        spare, kind = self._spare, joiner.Kind.of(request)
        self._spare = self._due = None
        if spare is not None and spare.kind == kind and spare.failure is None:
            try:
                args, env = request.process["args"], request.process.get("env", [])
                spare.channel.send({"type": "process", "args": args, "env": env, "inside": inside})
            except ChannelClosed:
                pass  # it was killed while it waited
            else:
                spare.request, spare.inside, spare.ahead = request, inside, True
                return spare
        elif spare is not None:
            _end(spare)
        return self._fork_joiner(request, main_pidfd, inside=inside)

    def _fork_joiner(
        self, request: ExecRequest, main_pidfd: int, *, inside: bool = False, spare: bool = False
    ) -> _Starting:
        """Fork a joiner, or a spare one for requests like this. Raises: OSError."""
        kind = joiner.Kind.of(request)
        with ExitStack() as undo:
            mine, theirs = pair()
            undo.callback(mine.close)
            with theirs:
                shared = SharedNumbers()
                undo.callback(shared.close)
                their_pipes, pipes = (None, None) if kind.terminal else make_pipes(kind.open_stdin)
                undo.callback(close_all, pipes)
                try:
                    joining = joiner.Joining(
                        self._container_id, self._cgroup, main_pidfd, _NAMESPACES, kind, request.process, inside, spare,
                        their_pipes, theirs, shared,
                    )  # fmt: skip
                    pid = os.fork()
                    if pid == 0:
                        joiner.run(joining)
                    undo.callback(_kill, pid)
                    fd = os.pidfd_open(pid)
                finally:
                    close_all(their_pipes)
            undo.pop_all()
        starting = _Starting(
            kind, None if spare else request, main_pidfd, Channel(mine), shared, pipes, pid, fd, inside
        )  # fmt: skip
        self._starting.append(starting)
        self._poller.add(starting.channel.fileno(), select.EPOLLIN, lambda _: self._on_message(starting))
        self._poller.add(fd, select.EPOLLIN, lambda _: self._on_joiner_end(starting))
        return starting

    def _find_prepared(self, exec_id: str) -> _Starting | None:
        """What waits for the start of that process; None where nothing does, or the joiner found no way."""
        for starting in self._starting:
            request = starting.request
            if request is not None and request.id == exec_id and starting.done is None and starting.failure is None:
                return starting
        return None

    def end_all(self) -> None:
        """The container has ended: end what is left, and return when nothing is."""
        for starting in self._starting:
            _end(starting)
            starting.failure = StartFailed(Reason.INVALID, f"container {self._container_id} is not running")
        deadline = time.monotonic() + _END_SECONDS
        while self._starting or self._running():
            for _, task in self._running():
                _signal(task.pidfd, signal.SIGKILL)
            if (left := deadline - time.monotonic()) <= 0:
                break
            self._poller.run_once(left)
        for exec_id, task in self._running():  # they wait in the kernel for something that does not come
            task.exit_code = _KILLED
            self._announce_end(exec_id, task)

    def _running(self) -> list[tuple[str, Task]]:
        return [(exec_id, task) for exec_id, task in self._tasks.items() if task.exit_code is None]

    def _on_message(self, starting: _Starting) -> None:
        try:
            messages = starting.channel.receive_available()
        except ChannelClosed:
            self._poller.remove(starting.channel.fileno())
            starting.forks = True
            self._look_for_process(starting)
            return
        for message, descriptors in messages:
            if message["type"] == "terminal" and descriptors:
                starting.terminal_fd = descriptors[0]
                if starting.goes:
                    _let_go(starting)
            elif message["type"] == "failed":
                starting.failure = starting.failure or StartFailed(Reason(message["reason"]), message["message"])

    def _look_for_process(self, starting: _Starting) -> None:
        """A client waits for what a joiner forks just now: look for it before the end of the joiner, which takes as
        long as the fork; a joiner that is held up is not waited for."""
        if starting.pid:
            self._on_process(starting, starting.pid)
            return
        for _ in range(_PID_LOOKS if starting.forks and starting.told else 0):
            if starting.failure or starting.shared.get(joiner.ERRNO):
                return
            if pid := starting.shared.get(joiner.PID):
                starting.waits = bool(starting.shared.get(joiner.WAITS))
                self._on_process(starting, pid)
                return
            time.sleep(_PID_SECONDS)

    def _on_joiner_end(self, starting: _Starting) -> None:
        if os.waitpid(starting.joiner_pid, os.WNOHANG)[0] == 0:
            return
        self._on_message(starting)
        pid, errno = starting.shared.get(joiner.PID), starting.shared.get(joiner.ERRNO)
        starting.waits = bool(starting.shared.get(joiner.WAITS))
        for fd in (starting.channel.fileno(), starting.joiner_fd):
            self._poller.remove(fd)
        starting.channel.close()
        starting.shared.close()
        os.close(starting.joiner_fd)
        starting.joiner_pid, starting.joiner_fd = 0, -1
        if pid:
            self._on_process(starting, pid)
            if starting.started:
                self._starting.remove(starting)
            return
        if starting is self._spare:
            self._spare = self._due = None
        if errno:
            text = f"start a process in the container: {os.strerror(errno)}"
            starting.failure = starting.failure or StartFailed(Reason.INVALID, text)
        self._give_up(starting)

    def _give_up(self, starting: _Starting) -> None:
        """Nothing is going to run: give back what was to be its, and tell who waits, if there is no other way."""
        self._starting.remove(starting)
        close_all(starting.pipes)
        close_all((starting.terminal_fd,))
        if starting.done is None:
            return
        if starting.ahead and starting.failure is None and self._retry(starting):
            return
        close_all(None if starting.client is None else (starting.client,))
        starting.done(starting.failure or StartFailed(Reason.INTERNAL, "the process ended before it could be executed"))

    def _retry(self, starting: _Starting) -> bool:
        """What waited was killed, for want of memory perhaps, before that was noticed: make another."""
        if starting.request is None:
            return False
        try:
            again = self._fork_joiner(starting.request, starting.main_pidfd)
        except OSError:
            return False
        again.client, again.options, again.done = starting.client, starting.options, starting.done
        _let_go(again)
        return True

    def _on_process(self, starting: _Starting, pid: int) -> None:
        """The joiner has done its part: its sibling is a child of this process, which runs or waits for its start."""
        if not starting.pid:
            starting.pid, starting.pidfd = pid, os.pidfd_open(pid)
            self._poller.add(starting.pidfd, select.EPOLLIN, lambda _: self._on_early_end(starting))
        if starting.failure:
            _end(starting)
        elif starting.told and not starting.started:
            if starting.waits:
                _signal(starting.pidfd, joiner.START_SIGNAL)
            self._on_started(starting)

    def _on_early_end(self, starting: _Starting) -> None:
        """A process has ended that waited for its start."""
        if os.waitpid(starting.pid, os.WNOHANG)[0] == 0:
            return
        self._poller.remove(starting.pidfd)
        os.close(starting.pidfd)
        self._give_up(starting)

    def _on_started(self, starting: _Starting) -> None:
        if starting.request is None:
            raise RuntimeError("a spare joiner started a process")
        starting.started = True
        if not starting.joiner_pid:
            self._starting.remove(starting)
        exec_id = starting.request.id
        streams = self._new_streams(exec_id)
        task = Task(starting.pid, starting.pidfd, streams)
        self._tasks[exec_id] = task
        self._poller.set(task.pidfd, select.EPOLLIN, lambda _: self._on_end(exec_id, task))
        if starting.done is not None:
            starting.done(task.pid)
        if starting.client is not None and starting.options is not None:
            streams.attach(starting.client, starting.options)
        if starting.pipes is not None:
            streams.use_pipes(*starting.pipes)
        else:  # not before the client is attached, which would miss what is read by then
            streams.use_terminal(starting.terminal_fd, with_input=True)

    def _on_end(self, exec_id: str, task: Task) -> None:
        if task.reap():
            self._announce_end(exec_id, task)

    def _announce_end(self, exec_id: str, task: Task) -> None:
        self._poller.remove(task.pidfd)
        os.close(task.pidfd)
        task.streams.drain()
        self._on_exited(exec_id, task.exit_code or 0)  # before the client sees its stream end
        task.streams.end()
        if self._spare is None:
            self._due = time.monotonic() + _SPARE_AFTER_SECONDS


def make_pipes(with_input: bool) -> tuple[Pipes, Pipes]:
    """The ends of a container's process and our ends, for streams 0 to 2; our first is -1 without input.

    Raises: OSError.
    """
    opened: list[int] = []
    try:
        opened += os.pipe() if with_input else (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1)
        opened += os.pipe()
        opened += os.pipe()
    except OSError:
        close_all(tuple(opened))
        raise
    return (opened[0], opened[3], opened[5]), (opened[1], opened[2], opened[4])


def close_all(descriptors: tuple[int, ...] | None) -> None:
    """Close them; -1 stands for none."""
    for fd in descriptors or ():
        if fd >= 0:
            os.close(fd)


def _rehearse(request: ExecRequest) -> None:
    """Take a request like this from a channel, for nothing: each page that is looked at for the first time since a
    fork has to be copied, and that is better done before a client waits."""
    mine, theirs = map(Channel, pair())
    try:
        mine.send({"type": "prepare", "request": request.to_json()})
        message, _ = theirs.receive()
        joiner.Kind.of(ExecRequest.from_json(message["request"]))
    finally:
        mine.close()
        theirs.close()


def _signal(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def _let_go(starting: _Starting) -> bool:
    """Let the process start, now or when its terminal has come; False where it is gone."""
    starting.goes = True
    if starting.kind.terminal:
        if starting.terminal_fd < 0:
            return True
        if starting.request is not None and starting.request.terminal_size:
            tty.set_size(starting.terminal_fd, *starting.request.terminal_size)
    starting.told = True
    try:
        if starting.inside and not starting.pid:
            starting.shared.put(joiner.GOES, 1)
        elif not starting.inside:
            starting.channel.send({"type": "go"})
    except ChannelClosed:
        return False
    return True


def _end(starting: _Starting) -> None:
    """Kill the joiner, and the process if it is there."""
    for fd in (starting.joiner_fd, starting.pidfd):
        if fd >= 0:
            _signal(fd, signal.SIGKILL)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
