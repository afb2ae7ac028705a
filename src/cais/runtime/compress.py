"""Compressing a file of a log that has been put aside: gzip (RFC 1952), in a process of its own.

The name in the header is the identity of the file that it was, so that who was reading that one knows where to go on.
"""

import os
import zlib
from typing import NoReturn

from cais.linux.fs import close_from

SUFFIX = ".gz"
TEMPORARY_SUFFIX = ".gz-new"

_CHUNK_BYTES = 256 * 1024
_NICENESS = 10
# ID1, ID2, CM (deflate), FLG (FNAME), MTIME, XFL, OS (Unix)
_HEADER = b"\x1f\x8b\x08\x08" + bytes(5) + b"\x03"


def identity(status: os.stat_result) -> str:
    """What a file that is written no more is known by, whatever its name, also when its inode serves another."""
    return f"{status.st_dev}-{status.st_ino}-{status.st_mtime_ns}"


def start(path: str) -> int:
    """Begin to replace `path` by `path`.gz; the pid of the child that does it. Raises: OSError."""
    pid = os.fork()
    if pid == 0:
        _run(path)
    return pid


def _run(path: str) -> NoReturn:
    status = 1
    try:
        close_from(3)  # nobody's stream may depend on how long this takes
        os.nice(_NICENESS)
        _compress(path, path + TEMPORARY_SUFFIX)
        os.rename(path + TEMPORARY_SUFFIX, path + SUFFIX)
        os.unlink(path)
        status = 0
    finally:  # whatever happened, a forked child must never return into its parent's code
        if status:  # a full disk: the file stays as it was
            _remove(path + TEMPORARY_SUFFIX)
        os._exit(status)


def _compress(source: str, target: str) -> None:
    input_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    output_fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    checksum, size = 0, 0
    _write(output_fd, _HEADER + identity(os.fstat(input_fd)).encode() + b"\0")
    while data := os.read(input_fd, _CHUNK_BYTES):
        checksum, size = zlib.crc32(data, checksum), size + len(data)
        _write(output_fd, packer.compress(data))
    _write(output_fd, packer.flush() + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little"))


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
