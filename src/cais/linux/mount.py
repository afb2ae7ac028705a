"""Mounts by descriptor: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

A mount is first made detached, known by its descriptor alone, given its attributes, and attached last; nobody
sees it half made, and what is never attached vanishes with its descriptor.
"""

import ctypes
import os

from cais.linux.libc import check, libc, syscall

AT_FDCWD = -100
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_NOFOLLOW = 0x100

# <linux/mount.h>
MS_RDONLY = 1
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_UNBINDABLE = 1 << 17
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x00
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6
_MOVE_MOUNT_F_EMPTY_PATH = 0x04
_MOVE_MOUNT_T_EMPTY_PATH = 0x40

# fsconfig(2) refuses longer strings (strndup_user in fs/fsopen.c).
FSCONFIG_STRING_BYTES = 256


class MountAttr(ctypes.Structure):
    """struct mount_attr of <linux/mount.h>."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def create_filesystem(
    fstype: str, options: list[tuple[str, str | None]], *, source: str = "", attributes: int = 0
) -> int:
    """Make a new instance of a file system and return the descriptor of its detached mount.

    `options` are the file system's own: a name with a value, or with None for a flag; a name may come twice.
    Raises: OSError with the type, and the kernel's own message where it left one.
    """
    context = syscall("fsopen", fstype.encode(), _FSOPEN_CLOEXEC, path=fstype)
    try:
        try:
            if source:
                syscall("fsconfig", context, _FSCONFIG_SET_STRING, b"source", source.encode(), 0)
            for key, value in options:
                if value is None:
                    syscall("fsconfig", context, _FSCONFIG_SET_FLAG, key.encode(), None, 0)
                else:
                    syscall("fsconfig", context, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
            syscall("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0)
            return syscall("fsmount", context, _FSMOUNT_CLOEXEC, attributes)
        except OSError as error:
            said = _messages(context)
            text = f"{error.strerror} ({said})" if said else error.strerror
            raise OSError(error.errno, text, fstype) from error
    finally:
        os.close(context)


def _messages(context: int) -> str:
    """What the kernel wrote of an error into a file system context: lines of "e text" or "w text"."""
    lines: list[str] = []
    try:
        while len(lines) < 8:
            lines.append(os.read(context, 1024).decode(errors="replace").strip()[2:])
    except OSError:
        pass
    return "; ".join(lines)


def open_tree(dir_fd: int, path: str, *, clone: bool = True, recursive: bool = False) -> int:
    """A detached copy of the mount at `path` (with those below it when `recursive`). open_tree(2).

    With an empty `path`, `dir_fd` itself is meant. Raises: OSError with the path.
    """
    flags = _OPEN_TREE_CLOEXEC | (_OPEN_TREE_CLONE if clone else 0) | (AT_RECURSIVE if recursive else 0)
    flags |= 0 if path else AT_EMPTY_PATH
    return syscall("open_tree", dir_fd, os.fsencode(path), flags, path=path or dir_fd)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount on what `target_fd` has open. move_mount(2)."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    syscall("move_mount", mount_fd, b"", target_fd, b"", flags)


def mount_setattr(
    mount_fd: int, *, attr_set: int = 0, attr_clr: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change attributes or propagation of the mount that `mount_fd` has open. mount_setattr(2)."""
    attributes = MountAttr(attr_set, attr_clr, propagation, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", mount_fd, b"", flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def mount(source: str, target: str, fstype: str | None, flags: int, data: str | None = None) -> None:
    """mount(2). Raises: OSError with the target."""
    encoded = None if data is None else os.fsencode(data)
    kind = None if fstype is None else fstype.encode()
    check(
        libc.mount(os.fsencode(source), os.fsencode(target), kind, ctypes.c_ulong(flags), encoded),
        target,
    )


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2). Raises: OSError with the target."""
    check(libc.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root_fd: int) -> None:
    """Make the mount at `new_root_fd` the root of this mount namespace and drop the old root. pivot_root(2).

    The current folder is "/" afterwards. The old root is put on top of the new one and unmounted from there, so
    that no folder for it is needed ("pivot_root . ." in the manual page).
    """
    old_root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(new_root_fd)
        syscall("pivot_root", b".", b".")
        os.fchdir(old_root_fd)
        mount("", ".", None, MS_SLAVE | MS_REC)  # nothing that is unmounted here may vanish on the host
        umount2(".", MNT_DETACH)
    finally:
        os.close(old_root_fd)
    os.chdir("/")
