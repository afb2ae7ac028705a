"""Opening files without being led astray, and other calls on descriptors. openat2(2), close_range(2), statfs(2)."""

import ctypes
import errno
import os
import stat

from cais.linux.libc import check, libc, syscall

# <linux/openat2.h>
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# <linux/magic.h>
PROC_SUPER_MAGIC = 0x9FA0
DEVPTS_SUPER_MAGIC = 0x1CD1

# <linux/close_range.h>
CLOSE_RANGE_CLOEXEC = 1 << 2

_RETRIES = 128


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
    return openat2(root_fd, path, flags, mode=mode, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def make_directories(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Make every missing folder of `path` inside `root_fd` and return an O_PATH descriptor of the last one.

    Links are followed inside the root, as the container would follow them.
    Raises: OSError with the part of the path that is in the way.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    parts = [part for part in path.split("/") if part not in ("", ".")]
    parent_fd = open_in_root(root_fd, "/", os.O_PATH | os.O_DIRECTORY)
    done = ""
    for part in parts:
        try:
            done += "/" + part
            try:
                child_fd = open_in_root(root_fd, done, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                os.mkdir(part, mode, dir_fd=parent_fd)
                child_fd = open_in_root(root_fd, done, os.O_PATH | os.O_DIRECTORY)
        finally:
            os.close(parent_fd)
        parent_fd = child_fd
    return parent_fd


def make_file(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Return an O_PATH descriptor of the file `path` inside `root_fd`, made empty, with its folders, when missing."""
    try:
        return open_in_root(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        pass
    folder, _, name = path.rstrip("/").rpartition("/")
    parent_fd = make_directories(root_fd, folder or "/")
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=parent_fd))
    finally:
        os.close(parent_fd)
    return open_in_root(root_fd, path, os.O_PATH)


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


def close_on_exec_from(first: int) -> None:
    """Mark every descriptor from `first` on close-on-exec. close_range(2)."""
    syscall("close_range", first, 0xFFFFFFFF, CLOSE_RANGE_CLOEXEC)


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
    with open(path, "rb", buffering=0) as program:
        left = os.fstat(program.fileno()).st_size
        while left > 0:
            left -= os.sendfile(fd, program.fileno(), None, left)
    fcntl_add_seals(fd)
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
    """Forbid growing, shrinking, writing and unsealing of a memfd. fcntl(2), F_ADD_SEALS."""
    import fcntl  # noqa: PLC0415  the spawner's children never come here

    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
