"""Pseudoterminals of a given devpts instance. pts(4), ioctl_tty(2)."""

import os
import struct
from fcntl import ioctl
from termios import TIOCSCTTY, TIOCSWINSZ

# <asm-generic/ioctls.h>: the peer is opened by the kernel itself, without looking at any path.
_TIOCGPTPEER = 0x5441
_TIOCSPTLCK = 0x40045431


def open_pair(devpts_fd: int) -> tuple[int, int]:
    """A new terminal of the devpts instance mounted at `devpts_fd`: (master, slave) descriptors, close-on-exec."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master_fd = os.open("ptmx", flags, dir_fd=devpts_fd)
    try:
        ioctl(master_fd, _TIOCSPTLCK, struct.pack("i", 0))
        return master_fd, ioctl(master_fd, _TIOCGPTPEER, flags)
    except OSError:
        os.close(master_fd)
        raise


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set the window size of a terminal; its foreground processes get SIGWINCH. TIOCSWINSZ.

    The kernel has 16 bits for each number; of a larger one, as in Docker, the lower ones count.
    """
    ioctl(fd, TIOCSWINSZ, struct.pack("HHHH", rows & 0xFFFF, columns & 0xFFFF, 0, 0))


def make_controlling(fd: int) -> None:
    """Make the terminal `fd` the controlling terminal of this session, which must have none. TIOCSCTTY."""
    ioctl(fd, TIOCSCTTY, 0)
