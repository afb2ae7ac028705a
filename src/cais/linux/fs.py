"""Opening files without being led astray, and other calls on descriptors. openat2(2), close_range(2), statfs(2)."""

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from termios import FIONREAD
from typing import Self

from cais.linux.libc import check, libc, number, syscall

# <linux/openat2.h>
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# <linux/magic.h>
PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1
TMPFS_MAGIC = 0x01021994

_MAX_DESCRIPTOR = 0xFFFFFFFF  # close_range(2): "~0U"
_CLOSE_RANGE = ctypes.c_long(number("close_range"))

# <linux/falloc.h>
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2

# <linux/fs.h>; ioctl_iflags(2): both take an int, whatever their numbers say
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_FS_TOPDIR_FL = 0x00020000

_COPY_BYTES = 0x7FFFF000  # what sendfile(2) moves at most
_SEAL_SECONDS, _SEAL_WAIT_SECONDS = 5.0, 0.01
_RETRIES = 128
_MAX_LINKS = 40  # as in the kernel, path_resolution(7)


class OpenHow(ctypes.Structure):
    """struct open_how of <linux/openat2.h>."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(dir_fd: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` relative to `dir_fd` under the rules of `resolve`; the descriptor is close-on-exec. openat2(2).

    The kernel answers EAGAIN when a rename raced with the look-up; it is asked again, a bounded number of times.
    Raises: OSError with the path.
    """
    how = OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    for attempt in range(_RETRIES):
        try:
            return syscall("openat2", dir_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how), path=path)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR) or attempt == _RETRIES - 1:
                raise
    raise AssertionError("not reached")


def open_in_root(root_fd: int, path: str, flags: int, *, mode: int = 0) -> int:
    """Open `path` as a process whose root is `root_fd` would, never following a link of /proc. RESOLVE_IN_ROOT."""
    try:
        return openat2(root_fd, path, flags, mode=mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    except BlockingIOError:
        # On a mount that is attached nowhere Linux answers EAGAIN for good to a link such as "/../x".
        with _Walk(root_fd) as walk:
            return walk.open(path, flags, mode)


def make_directories(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Make every missing folder of `path` inside `root_fd` and return an O_PATH descriptor of the last one.

    Links are followed inside the root, as the container would follow them, also to what they name and is missing.
    Raises: OSError with the part of the path that is in the way.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        with _Walk(root_fd) as walk:
            walk.enter(path, mode)
            return os.dup(walk.fd)


def make_file(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Return an O_PATH descriptor of the file `path` inside `root_fd`, made empty, with its folders, when missing.

    Links are followed as by `make_directories`. Raises: OSError.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        with _Walk(root_fd) as walk:
            return walk.make_file(path, mode)


class _Walk:
    """A way down from a root, a component at a time, by descriptors that follow nothing.

    The folders above are kept open, so that ".." leads back up and never beyond the root, whatever is renamed
    meanwhile. `fd` is the folder that was reached.
    """

    def __init__(self, root_fd: int) -> None:
        self._fds = [openat2(root_fd, ".", os.O_PATH | os.O_DIRECTORY)]
        self._names = [""]
        self._links = _MAX_LINKS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._back_to(0)

    @property
    def fd(self) -> int:
        return self._fds[-1]

    def open(self, path: str, flags: int, mode: int) -> int:
        """What is at `path`, opened."""
        folder, _, name = path.rstrip("/").rpartition("/")
        self.enter(f"/{folder}" if path.startswith("/") else folder, None)
        if name in ("", ".", ".."):
            self.enter(name, None)
            name = "."
        elif not flags & os.O_NOFOLLOW and self._follow_link(name):
            return self.open(self._target, flags, mode)
        if path.endswith("/"):
            flags |= os.O_DIRECTORY
        return openat2(self.fd, name, flags, mode=mode, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

    def enter(self, path: str, mode: int | None) -> None:
        """Go to the folder `path`, making what is missing with that mode; nothing is made where it is None."""
        for name in self._components(path):
            if self._follow_link(name):
                self.enter(self._target, mode)
            else:
                self._enter_folder(name, mode)

    def make_file(self, path: str, mode: int) -> int:
        """The file `path`, made with its folders where it is missing."""
        folder, _, name = path.rstrip("/").rpartition("/")
        self.enter(f"/{folder}" if path.startswith("/") else folder, 0o755)
        if self._follow_link(name):
            return self.make_file(self._target, mode)
        try:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.fd))
        except FileExistsError:
            pass  # someone else made it meanwhile
        return openat2(self.fd, name, os.O_PATH, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

    def _components(self, path: str) -> Iterator[str]:
        if path.startswith("/"):
            self._back_to(1)
        for name in path.split("/"):
            if name == "..":
                self._back_to(max(1, len(self._fds) - 1))
            elif name not in ("", "."):
                yield name

    def _follow_link(self, name: str) -> bool:
        """Whether `name` is a link; what it names is in `_target` then."""
        try:
            self._target = os.readlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EINVAL:  # it is no link
                return False
            raise
        self._links -= 1
        if self._links < 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        return True

    def _enter_folder(self, name: str, mode: int | None) -> None:
        self._names.append(name)
        try:
            try:
                if mode is not None:
                    os.mkdir(name, mode, dir_fd=self.fd)
            except FileExistsError:
                pass
            flags = os.O_PATH | os.O_DIRECTORY
            self._fds.append(openat2(self.fd, name, flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS))
        except OSError as error:
            raise OSError(error.errno, error.strerror, "/".join(self._names)) from error

    def _back_to(self, count: int) -> None:
        while len(self._fds) > count:
            os.close(self._fds.pop())
        del self._names[count:]


def read_regular(root_fd: int, path: str, limit_bytes: int) -> bytes:
    """The content of a regular file inside `root_fd`.

    Raises: OSError (EINVAL for what is not a regular file, EFBIG above `limit_bytes`). Never blocks on a FIFO.
    """
    fd = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        pieces, total = [], 0
        while piece := os.read(fd, 65536):
            pieces.append(piece)
            total += len(piece)
            if total > limit_bytes:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return b"".join(pieces)
    finally:
        os.close(fd)


def close_from(first: int, *keep: int) -> None:
    """Close every descriptor from `first` on but those in `keep`. close_range(2)."""
    for fd in sorted(keep):
        if fd > first:
            _close_range(first, fd - 1)
        if fd >= first:
            first = fd + 1
    _close_range(first, _MAX_DESCRIPTOR)


def _close_range(first: int, last: int) -> None:
    # Not through `syscall`: this is called in processes whose every page costs, and looks at fewer like this.
    check(libc.syscall(_CLOSE_RANGE, ctypes.c_long(first), ctypes.c_long(last), ctypes.c_long(0)))


def readable_bytes(fd: int) -> int:
    """How much can be read from a pipe at this moment. FIONREAD, pipe(7)."""
    return int(struct.unpack("i", fcntl.ioctl(fd, FIONREAD, bytes(4)))[0])


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give the space of a part of a file back; it reads as zeros. Not every file system can: that is no error.

    fallocate(2), FALLOC_FL_PUNCH_HOLE.
    """
    libc.fallocate(fd, _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(length))


def filesystem_type(fd: int) -> int:
    """The magic number of the file system that `fd` is on. fstatfs(2)."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs has 120 bytes; its first member is the type, a long
    check(libc.fstatfs(fd, buffer))
    return ctypes.c_long.from_buffer(buffer).value


def sealed_copy(path: str) -> int:
    """A memfd with the content of the program `path`, sealed against every change. memfd_create(2), fcntl(2).

    Returns: a close-on-exec descriptor that can be executed through /proc/self/fd.
    """
    fd = _memfd(os.path.basename(path))
    try:
        with open(path, "rb", buffering=0) as program:
            while os.sendfile(fd, program.fileno(), None, _COPY_BYTES):
                pass
        fcntl_add_seals(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(name: str) -> int:
    mfd_exec = 0x10  # <linux/memfd.h>, since Linux 6.3; older kernels answer EINVAL and always allow execution
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | mfd_exec)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def fcntl_add_seals(fd: int) -> None:
    """Forbid growing, shrinking, writing and unsealing of a memfd. fcntl(2), F_ADD_SEALS.

    The kernel answers EBUSY while somebody may be writing, and on a busy machine also where it still has hold of a page
    itself: that passes. Raises: OSError when it does not within seconds.
    """
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    deadline = time.monotonic() + _SEAL_SECONDS
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(_SEAL_WAIT_SECONDS)


def spread_folders(path: str | os.PathLike[str]) -> None:
    """Ask the file system to place each folder made in `path` by itself, as the root of a tree of its own.

    Without it, ext4 puts new trees beside old ones, where making files is ten times slower for some time after many
    were deleted. A file system that has no such hint is left as it is. ioctl_iflags(2), FS_TOPDIR_FL; chattr(1), "T".
    Raises: OSError when the folder cannot be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            (flags,) = struct.unpack("I", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(4)))
            if not flags & _FS_TOPDIR_FL:
                fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("I", flags | _FS_TOPDIR_FL))
    finally:
        os.close(fd)
