"""Bringing data to the disk. syncfs(2)."""

from cais.linux.libc import check, libc


def syncfs(fd: int) -> None:
    """Write everything that is still in memory for the file system that `fd` is on. syncfs(2).

    Raises: OSError, also for a write error of another process's data on that file system.
    """
    check(libc.syncfs(fd))
