"""Watching files, inotify(7)."""

import ctypes
import os

from cais.linux.libc import check, libc

# include/uapi/linux/inotify.h
IN_CLOEXEC = os.O_CLOEXEC
IN_NONBLOCK = os.O_NONBLOCK
IN_MODIFY = 0x00000002
IN_ATTRIB = 0x00000004
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_DELETE_SELF = 0x00000400
IN_MOVE_SELF = 0x00000800
IN_IGNORED = 0x00008000

libc.inotify_init1.argtypes = (ctypes.c_int,)
libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def inotify_init1(flags: int = IN_CLOEXEC | IN_NONBLOCK) -> int:
    """A new descriptor, inotify_init1(2); the caller closes it. Raises OSError."""
    return check(libc.inotify_init1(flags))


def inotify_add_watch(descriptor: int, path: str, mask: int) -> int:
    """Watch `path` for the events of `mask`, inotify_add_watch(2); returns the watch's number. Raises OSError."""
    return check(libc.inotify_add_watch(descriptor, os.fsencode(path), mask), path)
