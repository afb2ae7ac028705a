"""The zygote: a small process that has imported all that a start needs and forks a monitor for each container, ahead.

It runs from a sealed copy of the interpreter, so that no container can reach the host's Python through
/proc/PID/exe (CVE-2019-5736), cannot be traced, and can import nothing any more (CVE-2019-14271): what its
children do inside a container never loads a file of the container.
"""

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from typing import NoReturn

from cais.linux import credentials
from cais.runtime import links, monitor
from cais.runtime.cgroups import open_hierarchy
from cais.runtime.cgroups.interface import Hierarchy
from cais.runtime.channel import Channel, ChannelClosed, Message, pair
from cais.runtime.errors import Reason, StartFailed


def main(connection_fd: int) -> NoReturn:
    """Serve caisd on the connected socket `connection_fd` until it closes its end."""
    os.setsid()
    credentials.set_name("cais-spawner")
    # It holds paths of the host, which are nothing for a container to see.
    credentials.set_command_line("cais-runtime")
    credentials.set_dumpable(False)
    reset_signals()
    _raise_open_files()
    _ignore_children()
    hierarchy = open_hierarchy()
    channel = Channel(socket.socket(fileno=connection_fd))
    os.set_inheritable(connection_fd, False)
    forbid_imports()
    gc.collect()
    plugs = _fill_holes()
    gc.freeze()
    gc.disable()
    spares = _Spares(hierarchy)
    try:
        channel.send({"type": "ready"})
        while True:
            message, descriptors = channel.receive()
            try:
                if message["type"] == "start":
                    spares.start(message, descriptors)
                elif message["type"] == "network":
                    _change_network(message, descriptors)
            finally:
                for fd in descriptors:
                    os.close(fd)
            spares.provide()
    except ChannelClosed:
        plugs.clear()
        os._exit(0)


def reset_signals() -> None:
    """Default actions, nothing blocked, whatever caisd had: a container's first process finds them without work."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _raise_open_files() -> None:
    """As many descriptors as this host allows, which is what containers have unless they are given a limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _ignore_children() -> None:
    """Have the kernel reap the monitors, and reap those that ended when it did not."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def forbid_imports() -> None:
    """From now on every import of a module that is not loaded fails, in this process and its children."""
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()


def _fill_holes() -> list[list[bytes]]:
    """Take the free blocks that imports have left all over the heap, for as long as the result is kept.

    What a monitor allocates later then lies together in new pages, instead of making a page of its own out of each
    of some eighty shared ones (300 KB a monitor, measured). Blocks come in multiples of 16 bytes up to 512, from
    pools of 16 KiB (Objects/obmalloc.c); three pools of each size suffice.
    """
    header_bytes = sys.getsizeof(b"")
    return [[bytes(size - header_bytes) for _ in range(3 * 16384 // size)] for size in range(48, 513, 16)]


class _Spares:
    """Monitors forked ahead: one is always waiting for a container, so that no start waits for its forks."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        self._spare: Channel | None = None
        self.provide()

    def start(self, message: Message, descriptors: list[int]) -> None:
        """Give a container to a monitor. Where there can be none, caisd is told why in its place."""
        if len(descriptors) != 2 + len(message["attachments"]):
            _refuse(descriptors, "the spawner may open no more files")
            return
        try:
            if not self._hand_over(message, descriptors):
                self._fork()
                self._hand_over(message, descriptors)
        except OSError as error:
            _refuse(descriptors, f"fork a monitor: {error.strerror}")

    def provide(self) -> None:
        """Have a monitor wait for the next start."""
        if self._spare is None:
            with contextlib.suppress(OSError):  # the next start tries again, and has somebody to tell
                self._fork()

    def _hand_over(self, message: Message, descriptors: list[int]) -> bool:
        """Whether a monitor was there to take it; one that was killed while it waited is not."""
        spare, self._spare = self._spare, None
        if spare is None:
            return False
        with contextlib.closing(spare), contextlib.suppress(ChannelClosed):
            spare.send(message, descriptors)
            return True
        return False

    def _fork(self) -> None:
        """Fork a monitor that waits. Raises: OSError."""
        mine, theirs = pair()
        with theirs:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the monitor's: it waits for its children
            try:
                pid = os.fork()
            except OSError:
                mine.close()
                _ignore_children()
                raise
            if pid == 0:
                monitor.main(self._hierarchy, theirs)
            _ignore_children()
        self._spare = Channel(mine)


def _change_network(message: Message, descriptors: list[int]) -> None:
    """Fork a helper that carries out a plan in a container's network namespace, and tells caisd."""
    if len(descriptors) != 2:
        _refuse(descriptors, "the spawner may open no more files")
        return
    try:
        pid = os.fork()
    except OSError as error:
        _refuse(descriptors, f"fork a helper: {error.strerror}")
        return
    if pid:
        return
    try:
        channel = Channel(socket.socket(fileno=descriptors[0]))
        try:
            sockets = links.serve(descriptors[1], links.NetworkPlan.from_json(message["plan"]))
            channel.send({"type": "done"}, [item.fileno() for item in sockets])
        except StartFailed as error:
            channel.send({"type": "failed", "reason": error.reason, "message": error.message})
        except Exception as error:  # noqa: BLE001  a forked child must never return into its parent's code
            text = f"{type(error).__name__}: {error}"
            channel.send({"type": "failed", "reason": Reason.INTERNAL, "message": text})
    finally:
        os._exit(0)


def _refuse(descriptors: list[int], text: str) -> None:
    """Tell caisd, in the monitor's place, why there is none."""
    if descriptors:
        with contextlib.suppress(ChannelClosed):
            control = Channel(socket.socket(fileno=os.dup(descriptors[0])))
            control.send({"type": "failed", "reason": Reason.INTERNAL, "message": text})
            control.close()
