"""A further process of a running container (`exec`).

Two processes, because of CVE-2016-9962: the joiner, single-threaded, non-dumpable and still in the host's PID
namespace where nothing of the container sees it, joins the other namespaces, gives up every right that the
container does not have and closes every descriptor but the process's own; only then does it fork into the
container's PID namespace. That child is made with CLONE_PARENT, so that the monitor reaps it; the joiner ends. The
child goes straight to exec.

To fork takes longer than to exec. So a process that is prepared before a client asks for its start may be forked
ahead as well, and wait inside the container, for a signal: it has no descriptor that it would not have afterwards.

All this, but for the control groups, a joiner can do without knowing what it is to run, for a process that is like
another in everything but its arguments and its environment. So one can be made ahead. What it found in the container
may have changed when it learns them; then it ends, and another begins anew.

The child can be looked at by a process of the container that may trace, and what it has could be taken from it: a
process that is the container's in everything. It has no way to talk to the monitor: its pid, or why there is none, is
left in memory that the monitor and the joiner share, and that the child does not have.
"""

import contextlib
import errno
import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import Any, NoReturn

from cais.errors import CaisError
from cais.linux import credentials, namespaces, tty
from cais.linux.fs import DEVPTS_SUPER_MAGIC, close_from, filesystem_type, open_in_root
from cais.linux.shared import SharedNumbers
from cais.runtime import process, users
from cais.runtime.cgroups.files import enter
from cais.runtime.cgroups.interface import Cgroup
from cais.runtime.channel import Channel, ChannelClosed
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.init import report
from cais.runtime.messages import ExecRequest
from cais.runtime.spec import Process, parse_process, with_command

# What is where in the shared memory. GOES: a client has asked for the start. WAITS: the process waits for the signal.
PID, ERRNO, GOES, WAITS = range(4)
_GO_BYTES = 4096
_NO_DESCRIPTOR = 2**30  # above all that there can be
# Starts a process that waits inside the container; whoever else sends it does no harm, since it is ignored otherwise
START_SIGNAL = signal.SIGCONT


@dataclass(frozen=True, slots=True)
class Kind:
    """What a joiner must know of a process before it gives up its rights. seccomp: as in `ExecRequest`.

    rest: an OCI process object without what can be told later.
    """

    open_stdin: bool
    seccomp: str | None
    rest: dict[str, Any]

    @staticmethod
    def of(request: ExecRequest) -> "Kind":
        rest = {key: value for key, value in request.process.items() if key not in ("args", "env")}
        return Kind(request.open_stdin, request.seccomp, rest)

    @property
    def terminal(self) -> bool:
        """Whether it has one."""
        return bool(self.rest.get("terminal"))


@dataclass(frozen=True, slots=True)
class Joining:
    """What the monitor hands to the joiner. namespaces_fd: a pidfd of the container's first process.

    process: an OCI process object. inside: it is to wait for its start in the container. spare: a message brings that,
    and other arguments and another environment.
    """

    container_id: str
    cgroup: Cgroup
    namespaces_fd: int
    namespace_flags: int
    kind: Kind
    process: dict[str, Any]
    inside: bool
    spare: bool
    stdio: tuple[int, int, int] | None
    connection: socket.socket
    shared: SharedNumbers


def run(joining: Joining) -> NoReturn:
    """Join and start the process. Never returns, in neither process."""
    channel = Channel(joining.connection)
    try:
        _run(joining, channel)
    except StartFailed as error:
        report(channel, error)
    except CaisError as error:
        report(channel, StartFailed(Reason.INVALID, error.message))
    except ChannelClosed:
        pass
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        report(channel, StartFailed(Reason.INTERNAL, f"{type(error).__name__}: {error}"))
    os._exit(process.EXIT_EXEC_FAILED)


def _run(joining: Joining, channel: Channel) -> NoReturn:
    seccomp_program = process.read_program(joining.kind.seccomp)
    os.umask(0)
    wanted = parse_process(joining.process)
    process.set_oom_score(wanted.oom_score_adj)
    groups = joining.cgroup.entries()
    close_from(3, channel.fileno(), joining.namespaces_fd, *groups, *(joining.stdio or ()))
    credentials.new_session_keyring(f"_ses.{joining.container_id}")
    _join_namespaces(joining)
    if joining.spare:
        ready = _prepare_ahead(joining, channel, wanted, seccomp_program, groups)
    else:
        ready = _prepare(joining, channel, wanted, seccomp_program, groups)
    shared = joining.shared
    waits = ready.inside and not shared.get(GOES)
    if waits:
        shared.put(WAITS, 1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {START_SIGNAL})
    # "go": a client has asked for the start; read(2), as filters allow it
    elif not ready.inside and not channel.holds_more and not os.read(channel.fileno(), _GO_BYTES):
        os._exit(0)
    shared.keep_from_children()
    close_from(3)
    try:
        pid = namespaces.fork_sibling(shared.address(PID))
    except OSError as error:
        shared.put(ERRNO, error.errno or errno.EIO)
        os._exit(process.EXIT_EXEC_FAILED)
    if pid == 0:
        _lead_session(wanted.terminal)
        if waits:
            _await_start(ready)
        process.execute(ready.path, ready.process, ready.env)
    os._exit(0)


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is left to be executed. inside: as in `Joining`."""

    process: Process
    path: str
    env: dict[bytes, bytes]
    inside: bool


def _prepare(
    joining: Joining, channel: Channel, wanted: Process, seccomp_program: bytes | None, groups: list[int]
) -> _Ready:
    root_fd = _open_root()
    enter(groups)
    user = users.resolve(root_fd, wanted.user, wanted.additional_groups)
    process.own_streams(joining.stdio or _open_terminal(channel), user.uid)
    close_from(3, channel.fileno())
    path, env = process.prepare(wanted, user, seccomp_program)
    return _Ready(wanted, path, env, joining.inside)


def _prepare_ahead(
    joining: Joining, channel: Channel, like: Process, seccomp_program: bytes | None, groups: list[int]
) -> _Ready:
    """Do all that can be done, and wait for the message that says which process it is to be.

    What comes then is rehearsed: each page that is looked at for the first time since the fork has to be copied (a
    reference count changes), and that takes longer than the work itself.
    """
    files = users.state_of_files()
    user = users.resolve(_open_root(), like.user, like.additional_groups)
    if joining.stdio:
        process.own_streams(joining.stdio, user.uid)
    close_from(3, channel.fileno(), *groups)
    process.prepare_ahead(like, user, seccomp_program)
    with contextlib.suppress(StartFailed):
        _complete(like, json.loads(json.dumps({**joining.process, "inside": False})), user)
    close_from(_NO_DESCRIPTOR)
    message = channel.receive()[0]
    if users.state_of_files() != files or not process.stands_in(like.cwd):
        os._exit(0)
    enter(groups)
    if not joining.stdio:
        process.own_streams(_open_terminal(channel), user.uid)
    return _complete(like, message, user)


def _complete(like: Process, told: dict[str, Any], user: users.User) -> _Ready:
    wanted = with_command(like, told)
    env = process.environment(wanted, user.home)
    return _Ready(wanted, process.find_command(wanted.args[0], env), env, told["inside"])


def _await_start(ready: _Ready) -> None:
    """Wait for the signal. What comes then is rehearsed, as in `_prepare_ahead`."""
    with contextlib.suppress(OSError):
        os.execve("", ready.process.args, ready.env)  # noqa: S606  no file has this name
    signal.sigwait({START_SIGNAL})
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _join_namespaces(joining: Joining) -> None:
    try:
        namespaces.setns(joining.namespaces_fd, joining.namespace_flags)
    except ProcessLookupError as error:
        raise StartFailed(Reason.INVALID, f"container {joining.container_id} is not running") from error


def _open_root() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _open_terminal(channel: Channel) -> tuple[int, int, int]:
    devpts_fd = open_in_root(_open_root(), "/dev/pts", os.O_RDONLY | os.O_DIRECTORY)
    try:
        if filesystem_type(devpts_fd) != DEVPTS_SUPER_MAGIC:
            raise StartFailed(Reason.INVALID, "/dev/pts of the container is no devpts")
        master_fd, slave_fd = tty.open_pair(devpts_fd)
    finally:
        os.close(devpts_fd)
    channel.send({"type": "terminal"}, [master_fd])
    os.close(master_fd)
    return slave_fd, slave_fd, slave_fd


def _lead_session(terminal: bool) -> None:
    """The joiner ends at once, and a session whose leader ends loses its terminal: the child leads one of its own."""
    try:
        os.setsid()
        if terminal:
            tty.make_controlling(0)
    except OSError:
        os._exit(process.EXIT_EXEC_FAILED)
