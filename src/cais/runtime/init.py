"""A container's first process, from its fork to its exec.

It is forked ahead of time and waits to be told which container it becomes. It runs alone in its new PID namespace, so
nothing can look at it; whatever fails is told to the monitor as a message, and the process ends; the monitor removes
the control groups. Order: control groups, namespaces, root, terminal, pivot, identity, exec.
"""

import json
import os
import socket
from typing import NoReturn

from cais.errors import CaisError
from cais.linux import credentials, mount, namespaces, tty
from cais.linux.fs import close_from
from cais.linux.namespaces import CLONE_NEWNS, CLONE_NEWPID
from cais.runtime import links, plan, process, reaper, rootfs, sysctls, users
from cais.runtime.cgroups.files import enter
from cais.runtime.cgroups.interface import Cgroup, Hierarchy
from cais.runtime.cgroups.resources import Resources
from cais.runtime.channel import Channel, ChannelClosed
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import StartRequest
from cais.runtime.rootfs import Root
from cais.runtime.spec import Spec, load

Stdio = tuple[int, int, int]


def run(hierarchy: Hierarchy, connection: socket.socket) -> NoReturn:
    """Wait for the monitor's `launch`, and become the container's first process. Never returns, whatever happens.

    The message carries the ends of the pipes for streams 0 to 2; none where a terminal is asked for.
    """
    channel = Channel(connection)
    has_group = False
    try:
        message, descriptors = channel.receive()
        request = StartRequest.from_json(json.loads(message["request"]))
        stdio = (descriptors[0], descriptors[1], descriptors[2]) if descriptors else None
        spec = load(request.bundle)
        sysctls.check(spec)
        cgroup = hierarchy.create(spec.cgroups_path, Resources.from_oci(spec.resources))
        has_group = True
        planned = None
        if request.network and spec.has_new("network"):
            network = links.NetworkPlan.from_json(request.network)
            planned = network, links.HostSide(network)
        _enter_groups(cgroup, spec)
        if spec.has_new("network"):
            _set_up_network(planned, channel)
        _run(request, spec, cgroup, stdio, channel)
    except StartFailed as error:
        report(channel, error, has_group)
    except CaisError as error:
        report(channel, StartFailed(Reason.INVALID, error.message), has_group)
    except ChannelClosed:
        pass  # the monitor is gone: there is nobody to tell
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        report(channel, StartFailed(Reason.INTERNAL, f"{type(error).__name__}: {error}"), has_group)
    os._exit(process.EXIT_EXEC_FAILED)


def report(channel: Channel, error: StartFailed, has_group: bool = True) -> None:
    """Tell the monitor why the process does not start. has_group: whether its control groups were made."""
    try:
        channel.send({"type": "failed", "reason": error.reason, "message": error.message, "has_group": has_group})
    except ChannelClosed:
        pass


def _enter_groups(cgroup: Cgroup, spec: Spec) -> None:
    """Join the control groups, then the namespaces: a private cgroup namespace is rooted where the caller is."""
    enter(cgroup.entries())
    os.setsid()
    os.umask(0)
    process.set_oom_score(spec.process.oom_score_adj)
    _enter_namespaces(spec)


def _set_up_network(planned: tuple[links.NetworkPlan, links.HostSide] | None, channel: Channel) -> None:
    """The loopback link, and what else the container's own network namespace is to have."""
    namespaces.loopback_up()
    sockets = links.set_up(*planned) if planned is not None else []
    if sockets:
        channel.send({"type": "resolver"}, [item.fileno() for item in sockets])
    for item in sockets:
        item.close()


def _run(request: StartRequest, spec: Spec, cgroup: Cgroup, stdio: Stdio | None, channel: Channel) -> NoReturn:
    seccomp_program = process.read_program(request.seccomp)
    credentials.new_session_keyring(f"_ses.{request.id}")
    if request.init:
        credentials.set_name(reaper.NAME)
        credentials.set_command_line(" ".join((reaper.NAME, "--", *spec.process.args)))
    _name_host(spec)
    planned = plan.of_spec(spec)
    root = rootfs.assemble(request.rootfs, os.path.join(request.bundle, "rootfs"), planned.steps)
    root.apply(planned, cgroup, spec.devices)
    stdio = stdio or _open_terminal(root, request, channel)
    os.close(_make_working_folder(root, spec.process.cwd))
    user = users.resolve(root.fd, spec.process.user, spec.process.additional_groups)
    if spec.readonly_root:
        root.seal()
    channel.send({"type": "root"}, [root.fd])
    mount.pivot_root(root.fd)
    process.own_streams(stdio, user.uid)
    # From here on paths that the image chose are followed: nothing of the host may be within their reach.
    close_from(3, channel.fileno())
    path, env = process.prepare(spec.process, user, seccomp_program)
    channel.send({"type": "executing"})
    if request.init:
        channel.close()
        reaper.run(lambda: process.execute(path, spec.process, env), spec.process.terminal)
    process.execute(path, spec.process, env)


def _enter_namespaces(spec: Spec) -> None:
    """Make the namespaces of its own and join those that are given by path.

    The PID namespace was made or joined by the monitor before the fork.
    """
    joined = [(os.open(item.path, os.O_RDONLY | os.O_CLOEXEC), item.flag) for item in spec.namespaces
              if item.path and item.flag != CLONE_NEWPID]  # fmt: skip
    for fd, flag in joined:
        namespaces.setns(fd, flag)
        os.close(fd)
    namespaces.unshare(spec.new_namespaces() & ~CLONE_NEWPID | CLONE_NEWNS)


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


def _open_terminal(root: Root, request: StartRequest, channel: Channel) -> Stdio:
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
    from_root = os.path.normpath("/" + cwd.lstrip("/"))
    try:
        return root.make_directories(from_root)
    except NotADirectoryError as error:
        raise StartFailed(Reason.INVALID, f"Cannot mkdir: {from_root} is not a directory") from error
    except OSError as error:
        text = f"mkdir {error.filename or cwd}: {(error.strerror or '').lower()}"
        raise StartFailed(Reason.INVALID, text) from error
