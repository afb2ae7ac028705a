"""A further process of a running container (`exec`).

Two processes, because of CVE-2016-9962: the joiner, single-threaded, non-dumpable and still in the host's PID
namespace where nothing of the container sees it, joins the other namespaces and gives up every right that the
container does not have; only then does it fork into the container's PID namespace, and that child goes straight
to exec. The child is made with CLONE_PARENT, so that the monitor reaps it; the joiner ends.
"""

import os
import socket
from dataclasses import dataclass
from typing import NoReturn

from cais.errors import CaisError
from cais.linux import credentials, namespaces, tty
from cais.linux.fs import DEVPTS_SUPER_MAGIC, filesystem_type, open_in_root
from cais.runtime import process, users
from cais.runtime.cgroups.interface import Cgroup
from cais.runtime.channel import Channel, ChannelClosed
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.init import report
from cais.runtime.messages import ExecRequest
from cais.runtime.spec import parse_process


@dataclass(frozen=True, slots=True)
class Joining:
    """What the monitor hands to the joiner. namespaces_fd: a pidfd of the container's first process."""

    container_id: str
    cgroup: Cgroup
    namespaces_fd: int
    namespace_flags: int
    request: ExecRequest
    stdio: tuple[int, int, int] | None
    connection: socket.socket


def run(joining: Joining) -> NoReturn:
    """Join and start the process. Never returns, in neither process."""
    channel = Channel(joining.connection)
    try:
        _run(joining, channel)
    except StartFailed as error:
        report(channel, error)
    except (KeyError, TypeError, ValueError) as error:
        report(channel, StartFailed(Reason.INVALID, f"the process is not valid: {error!r}"))
    except CaisError as error:
        report(channel, StartFailed(Reason.INVALID, error.message))
    except ChannelClosed:
        pass
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        report(channel, StartFailed(Reason.INTERNAL, f"{type(error).__name__}: {error}"))
    os._exit(process.EXIT_EXEC_FAILED)


def _run(joining: Joining, channel: Channel) -> NoReturn:
    wanted = parse_process(joining.request.process)
    seccomp_program = process.read_program(joining.request.seccomp)
    os.umask(0)
    process.limit(wanted)
    joining.cgroup.join()
    credentials.new_session_keyring(f"_ses.{joining.container_id}")
    namespaces.setns(joining.namespaces_fd, joining.namespace_flags)
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stdio = joining.stdio or _open_terminal(root_fd, joining, channel)
    user = users.resolve(root_fd, wanted.user, wanted.additional_groups)
    os.close(root_fd)
    process.own_streams(stdio, user.uid)
    process.become(wanted, user, seccomp_program)
    process.enter_working_folder(wanted.cwd)
    env = process.environment(wanted, user.home)
    path = process.find_command(wanted.args[0], env)
    process.reset_signals()
    try:
        pid = namespaces.fork_sibling()
    except OSError as error:
        raise StartFailed(Reason.INVALID, f"start a process in the container: {error.strerror}") from error
    if pid == 0:
        _lead_session(wanted.terminal)
        process.execute(path, wanted, env)
    channel.send({"type": "executing", "pid": pid})
    os._exit(0)


def _open_terminal(root_fd: int, joining: Joining, channel: Channel) -> tuple[int, int, int]:
    devpts_fd = open_in_root(root_fd, "/dev/pts", os.O_RDONLY | os.O_DIRECTORY)
    try:
        if filesystem_type(devpts_fd) != DEVPTS_SUPER_MAGIC:
            raise StartFailed(Reason.INVALID, "/dev/pts of the container is no devpts")
        master_fd, slave_fd = tty.open_pair(devpts_fd)
    finally:
        os.close(devpts_fd)
    channel.send({"type": "terminal"}, [master_fd])
    os.close(master_fd)
    if joining.request.terminal_size:
        tty.set_size(slave_fd, *joining.request.terminal_size)
    return slave_fd, slave_fd, slave_fd


def _lead_session(terminal: bool) -> None:
    """The joiner ends at once, and a session whose leader ends loses its terminal: the child leads one of its own."""
    try:
        os.setsid()
        if terminal:
            tty.make_controlling(0)
    except OSError:
        os._exit(process.EXIT_EXEC_FAILED)
