"""A container's first process, from its fork to its exec.

It runs alone in its new PID namespace, so nothing can look at it; whatever fails is told to the monitor as a
message, and the process ends; the monitor removes the control groups. Order: control groups, namespaces, root,
terminal, pivot, identity, exec.
"""

import os
import socket
from dataclasses import dataclass
from typing import NoReturn

from cais.errors import CaisError
from cais.linux import credentials, mount, namespaces, tty
from cais.linux.namespaces import CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWPID
from cais.runtime import plan, process, rootfs, users
from cais.runtime.cgroups.interface import Hierarchy
from cais.runtime.cgroups.resources import Resources
from cais.runtime.channel import Channel, ChannelClosed
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import StartRequest
from cais.runtime.rootfs import Root
from cais.runtime.spec import Spec, load


@dataclass(frozen=True, slots=True)
class Launch:
    """What the monitor hands to the process it forks. stdio: None where a terminal is asked for."""

    request: StartRequest
    hierarchy: Hierarchy
    stdio: tuple[int, int, int] | None
    connection: socket.socket


def run(launch: Launch) -> NoReturn:
    """Become the container's first process. Never returns, whatever happens."""
    channel = Channel(launch.connection)
    try:
        _run(launch, channel)
    except StartFailed as error:
        report(channel, error)
    except CaisError as error:
        report(channel, StartFailed(Reason.INVALID, error.message))
    except ChannelClosed:
        pass  # the monitor is gone: there is nobody to tell
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        report(channel, StartFailed(Reason.INTERNAL, f"{type(error).__name__}: {error}"))
    os._exit(process.EXIT_EXEC_FAILED)


def report(channel: Channel, error: StartFailed) -> None:
    """Tell the monitor why the process does not start."""
    try:
        channel.send({"type": "failed", "reason": error.reason, "message": error.message})
    except ChannelClosed:
        pass


def _run(launch: Launch, channel: Channel) -> NoReturn:
    request, version = launch.request, launch.hierarchy.version
    spec = load(request.bundle)
    seccomp_program = process.read_program(request.seccomp)
    cgroup = launch.hierarchy.create(spec.cgroups_path, Resources.from_oci(spec.resources))
    cgroup.join()
    os.setsid()
    os.umask(0)
    credentials.new_session_keyring(f"_ses.{request.id}")
    _enter_namespaces(spec, version)
    _name_host(spec)
    if spec.has_new("network"):
        namespaces.loopback_up()
    root = rootfs.assemble(request.rootfs, os.path.join(request.bundle, "rootfs"))
    root.apply(plan.of_spec(spec), cgroup, spec.devices)
    stdio = launch.stdio or _open_terminal(root, request, channel)
    os.close(_make_working_folder(root, spec.process.cwd))
    user = users.resolve(root.fd, spec.process.user, spec.process.additional_groups)
    if spec.readonly_root:
        root.seal()
    mount.pivot_root(root.fd)
    process.limit(spec.process)
    process.own_streams(stdio, user.uid)
    process.become(spec.process, user, seccomp_program)
    process.enter_working_folder(spec.process.cwd)
    env = process.environment(spec.process, user.home)
    path = process.find_command(spec.process.args[0], env)
    process.reset_signals()
    channel.send({"type": "executing"})
    process.execute(path, spec.process, env)


def _enter_namespaces(spec: Spec, cgroup_version: int) -> None:
    """Make the namespaces of its own and join those that are given by path.

    The PID namespace was made or joined by the monitor before the fork. A private cgroup namespace is rooted
    where the caller is, so the control groups have come first.
    """
    joined = [(os.open(item.path, os.O_RDONLY | os.O_CLOEXEC), item.flag) for item in spec.namespaces
              if item.path and item.flag != CLONE_NEWPID]  # fmt: skip
    for fd, flag in joined:
        namespaces.setns(fd, flag)
        os.close(fd)
    flags = spec.new_namespaces() & ~CLONE_NEWPID
    if cgroup_version == 1:
        flags &= ~CLONE_NEWCGROUP
    namespaces.unshare(flags | CLONE_NEWNS)


def _name_host(spec: Spec) -> None:
    if not spec.has_new("uts"):
        return
    try:
        if spec.hostname:
            namespaces.sethostname(spec.hostname)
        if spec.domainname:
            namespaces.setdomainname(spec.domainname)
    except OSError as error:
        raise StartFailed(Reason.INVALID, f"sethostname {spec.hostname!r}: {error.strerror}") from error


def _open_terminal(root: Root, request: StartRequest, channel: Channel) -> tuple[int, int, int]:
    """Open a terminal of the container's own devpts and give its master to the monitor."""
    master_fd, slave_fd = tty.open_pair(root.devpts_fd())
    channel.send({"type": "terminal"}, [master_fd])
    os.close(master_fd)
    root.bind_console(slave_fd)
    if request.terminal_size:
        tty.set_size(slave_fd, *request.terminal_size)
    tty.make_controlling(slave_fd)
    return slave_fd, slave_fd, slave_fd


def _make_working_folder(root: Root, cwd: str) -> int:
    from_root = os.path.normpath("/" + cwd)
    try:
        return root.make_directories(from_root)
    except OSError as error:
        text = f"mkdir {error.filename or cwd}: {(error.strerror or '').lower()}"
        raise StartFailed(Reason.INVALID, text) from error
