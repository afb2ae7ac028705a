"""The process that will be a container's first, forked before it is known what it becomes (`cais.runtime.init`)."""

import os
import signal

from cais.linux import namespaces
from cais.runtime import init
from cais.runtime.cgroups.interface import Hierarchy
from cais.runtime.channel import Channel, pair


class FirstProcess:
    """A process, just forked, that will be the first one of a container. pid_namespace: as in `Outline`."""

    def __init__(self, hierarchy: Hierarchy, pid_namespace: str | None) -> None:
        """Raises: OSError."""
        self.pid_namespace = pid_namespace
        mine, theirs = pair()
        with theirs:
            self.pid = _fork_into(pid_namespace)
            if self.pid == 0:
                mine.close()
                init.run(hierarchy, theirs)
        self.channel = Channel(mine)

    def end(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _fork_into(pid_namespace: str | None) -> int:
    """Fork a child in that PID namespace; later forks stay in this process's own."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if pid_namespace:
            fd = os.open(pid_namespace, os.O_RDONLY | os.O_CLOEXEC)
            namespaces.setns(fd, namespaces.CLONE_NEWPID)
            os.close(fd)
        elif pid_namespace is not None:
            namespaces.unshare(namespaces.CLONE_NEWPID)
        pid = os.fork()
        if pid and pid_namespace is not None:
            namespaces.setns(own, namespaces.CLONE_NEWPID)
        return pid
    finally:
        os.close(own)
