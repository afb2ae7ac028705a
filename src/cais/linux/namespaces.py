"""Namespaces. namespaces(7), unshare(2), setns(2), clone(2)."""

import ctypes
import signal
import socket
import struct
from fcntl import ioctl

from cais.linux.libc import check, libc, syscall_locked

# <linux/sched.h>
CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
_CLONE_PARENT = 0x00008000
_CLONE_PARENT_SETTID = 0x00100000

# <linux/sockios.h>, <linux/if.h>
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def unshare(flags: int) -> None:
    """Leave what is shared and named in `flags` for something of one's own: a namespace, or, with CLONE_FS, the umask
    and the working folder. unshare(2)."""
    check(libc.unshare(flags))


def setns(fd: int, flags: int) -> None:
    """Join the namespace that `fd` (a file of /proc/PID/ns, or a pidfd) stands for. setns(2)."""
    check(libc.setns(fd, flags))


def fork_sibling(pid_address: int) -> int:
    """Fork a child whose parent is the caller's own parent, which therefore reaps it. clone(2), CLONE_PARENT.

    pid_address: where the kernel writes the child's pid, an int, in the caller's memory, before the child runs.
    Returns: the child's pid in the caller, 0 in the child. Only for a single-threaded process: the
    interpreter's own after-fork work is not done, so the child should go straight to exec.
    """
    return syscall_locked("clone", _CLONE_PARENT | _CLONE_PARENT_SETTID | signal.SIGCHLD, 0, pid_address, 0, 0)


def sethostname(name: str) -> None:
    """sethostname(2)."""
    encoded = name.encode()
    check(libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), name)


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    encoded = name.encode()
    check(libc.setdomainname(encoded, ctypes.c_size_t(len(encoded))), name)


def loopback_up() -> None:
    """Bring up the loopback link of the current network namespace. netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", ioctl(link, _SIOCGIFFLAGS, request))[1]
        ioctl(link, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))
