"""The zygote: a small process that has imported all that a start needs and forks a monitor for each container.

It runs from a sealed copy of the interpreter, so that no container can reach the host's Python through
/proc/PID/exe (CVE-2019-5736), cannot be traced, and can import nothing any more (CVE-2019-14271): what its
children do inside a container never loads a file of the container.
"""

import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from cais.linux import credentials
from cais.runtime import monitor
from cais.runtime.cgroups import open_hierarchy
from cais.runtime.cgroups.interface import Hierarchy
from cais.runtime.channel import Channel, ChannelClosed, Message
from cais.runtime.errors import Reason
from cais.runtime.messages import Outline, StartRequest, StreamOptions


def main(connection_fd: int) -> NoReturn:
    """Serve caisd on the connected socket `connection_fd` until it closes its end."""
    os.setsid()
    credentials.set_name("cais-spawner")
    credentials.set_dumpable(False)
    reset_signals()
    _ignore_children()
    hierarchy = open_hierarchy()
    channel = Channel(socket.socket(fileno=connection_fd))
    os.set_inheritable(connection_fd, False)
    forbid_imports()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        channel.send({"type": "ready"})
        while True:
            _serve(hierarchy, channel)
    except ChannelClosed:
        os._exit(0)


def reset_signals() -> None:
    """Default actions whatever caisd had, so that a container's first process finds them without further work."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        signal.signal(number, signal.SIG_DFL)


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


def _serve(hierarchy: Hierarchy, channel: Channel) -> None:
    message, descriptors = channel.receive()
    try:
        if message["type"] == "start":
            _fork_monitor(hierarchy, channel, message, descriptors)
    finally:
        for fd in descriptors:
            os.close(fd)


def _fork_monitor(hierarchy: Hierarchy, channel: Channel, message: Message, descriptors: list[int]) -> None:
    # Read here, not in the monitor: a page that only reading touches would be the monitor's own for its whole life.
    options = [StreamOptions.from_json(item) for item in message["attachments"]]
    request = StartRequest.from_json(message["request"])
    outline = Outline.from_json(message["outline"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the monitor's: it waits for its children
    try:
        pid = os.fork()
    except OSError as error:
        control = Channel(socket.socket(fileno=os.dup(descriptors[0])))
        control.send({"type": "failed", "reason": Reason.INTERNAL, "message": f"fork a monitor: {error.strerror}"})
        control.close()
        _ignore_children()
        return
    if pid == 0:
        channel.socket.close()
        control = Channel(socket.socket(fileno=descriptors[0]))
        listener = socket.socket(fileno=descriptors[1])
        attachments = list(zip(descriptors[2:], options, strict=True))
        monitor.main(monitor.Monitor(hierarchy, request, outline, control, listener), attachments)
    _ignore_children()
