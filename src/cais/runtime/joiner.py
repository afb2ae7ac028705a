"""A further process of a running container (`exec`).

Two processes, because of CVE-2016-9962: the joiner, single-threaded, non-dumpable and still in the host's PID
namespace where nothing of the container sees it, joins the other namespaces, gives up every right that the
container does not have and closes every descriptor but the process's own; only then does it fork into the
container's PID namespace. That child is made with CLONE_PARENT, so that the monitor reaps it; the joiner ends. The
child goes straight to exec.

To fork takes longer than to exec. So a process that is prepared before a client asks for its start may be forked
ahead as well, and wait inside the container, for a signal: it has no descriptor that it would not have afterwards.

A joiner comes as far as into the namespaces without knowing what it is to run, so one can be made ahead; it is in
no control group of the container until it knows.

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
from cais.runtime.spec import Process, parse_process

# What is where in the shared memory
PID, ERRNO = 0, 1
_GO_BYTES = 4096
# Starts a process that waits inside the container; whoever else sends it does no harm, since it is ignored otherwise
START_SIGNAL = signal.SIGCONT


@dataclass(frozen=True, slots=True)
class Kind:
    """What a joiner must know of a process before it enters the container. seccomp: as in `ExecRequest`."""

    terminal: bool
    open_stdin: bool
    seccomp: str | None
    oom_score_adj: int | None

    @staticmethod
    def of(request: ExecRequest) -> "Kind":
        process = request.process
        return Kind(bool(process.get("terminal")), request.open_stdin, request.seccomp, process.get("oomScoreAdj"))


@dataclass(frozen=True, slots=True)
class Joining:
    """What the monitor hands to the joiner. namespaces_fd: a pidfd of the container's first process.

    process: an OCI process object. inside: it is to wait for its start in the container. spare: both are but an
    example, and a message brings the real ones.
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
    process.set_oom_score(joining.kind.oom_score_adj)
    groups = joining.cgroup.entries()
    close_from(3, channel.fileno(), joining.namespaces_fd, *groups, *(joining.stdio or ()))
    credentials.new_session_keyring(f"_ses.{joining.container_id}")
    _join_namespaces(joining)
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    document, inside = joining.process, joining.inside
    if joining.spare:
        document, inside = _await_process(document, root_fd, channel)
    wanted = parse_process(document)
    enter(groups)
    stdio = joining.stdio or _open_terminal(root_fd, channel)
    user = users.resolve(root_fd, wanted.user, wanted.additional_groups)
    process.own_streams(stdio, user.uid)
    close_from(3, channel.fileno())
    path, env = process.prepare(wanted, user, seccomp_program)
    if inside:
        signal.pthread_sigmask(signal.SIG_BLOCK, {START_SIGNAL})
    # "go": a client has asked for the start; read(2), as filters allow it
    elif not channel.holds_more and not os.read(channel.fileno(), _GO_BYTES):
        os._exit(0)
    joining.shared.keep_from_children()
    close_from(3)
    try:
        pid = namespaces.fork_sibling(joining.shared.address(PID))
    except OSError as error:
        joining.shared.put(ERRNO, error.errno or errno.EIO)
        os._exit(process.EXIT_EXEC_FAILED)
    if pid == 0:
        _lead_session(wanted.terminal)
        if inside:
            _await_start(wanted, env)
        process.execute(path, wanted, env)
    os._exit(0)


def _await_start(wanted: Process, env: dict[bytes, bytes]) -> None:
    """Wait for the signal. What comes then is rehearsed, for the reason below."""
    with contextlib.suppress(OSError):
        os.execve("", wanted.args, env)  # noqa: S606  no file has this name
    signal.sigwait({START_SIGNAL})
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _await_process(example: dict[str, Any], root_fd: int, channel: Channel) -> tuple[dict[str, Any], bool]:
    """The process that a message brings, and whether it is to wait inside.

    What is to be done with it is rehearsed with an example: each page that is looked at for the first time since the
    fork has to be copied (a reference count changes), and that takes longer than the work itself.
    """
    with contextlib.suppress(StartFailed):
        process.rehearse(parse_process(json.loads(json.dumps(example))), root_fd)
    message = channel.receive()[0]
    return message["process"], message["inside"]


def _join_namespaces(joining: Joining) -> None:
    try:
        namespaces.setns(joining.namespaces_fd, joining.namespace_flags)
    except ProcessLookupError as error:
        raise StartFailed(Reason.INVALID, f"container {joining.container_id} is not running") from error


def _open_terminal(root_fd: int, channel: Channel) -> tuple[int, int, int]:
    devpts_fd = open_in_root(root_fd, "/dev/pts", os.O_RDONLY | os.O_DIRECTORY)
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
