"""A tree of files as a tar archive, in pieces: the opposite of unpacking.

Whoever wrote the tree may be changing it meanwhile: each folder and file is opened by openat2(2) beneath the tree,
following no link and entering no other file system, and a file gives exactly the bytes that its header announces,
whatever has become of it. pax format (POSIX.1-2001); sockets, which no archive can hold, are left out.

A read-write layer of overlayfs is packed as a layer: what overlayfs has for hidden names and opaque folders becomes
".wh.NAME" and ".wh..wh..opq" (OCI image specification, layer.md). A file whose own name begins so is left out, since an
archive cannot say it.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Final

from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from cais.storage.overlay import is_opaque, is_whiteout

PIECE_BYTES: Final = 1 << 20
EMPTY: Final = bytes(2 * tarfile.BLOCKSIZE)
"""An archive of nothing."""

_WHITEOUT: Final = ".wh."
_OPAQUE_MARK: Final = ".wh..wh..opq"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_INSIDE: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_TYPES: Final = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}
_KEPT_ATTRIBUTES: Final = ("security.capability", "user.")


def pack(root: int, *, layer: bool = False) -> Iterator[bytes]:
    """The archive of everything below the folder that `root` has open, the folder itself left out.

    layer: the folder is a read-write layer of overlayfs. Without changes its archive is `EMPTY`.
    Pieces are of any size up to about a megabyte. Blocks between them. Raises OSError when a folder cannot be read.
    """
    buffer = bytearray()
    for piece in _Packing(root, layer).run():
        buffer += piece
        if len(buffer) >= PIECE_BYTES:
            yield bytes(buffer)
            buffer.clear()
    buffer += EMPTY
    yield bytes(buffer)


class _Packing:
    def __init__(self, root: int, layer: bool) -> None:
        self._root = root
        self._layer = layer
        self._linked: dict[tuple[int, int], str] = {}

    def run(self) -> Iterator[bytes]:
        waiting = ["."]
        while waiting:
            folder = waiting.pop()
            try:
                descriptor = openat2(self._root, folder, _FOLDER, resolve=_INSIDE)
            except OSError:
                if folder == ".":
                    raise
                continue  # it is gone, or no folder any more
            try:
                below = []
                if self._layer and folder != "." and is_opaque(descriptor):
                    yield _mark(f"{folder}/{_OPAQUE_MARK}")
                for name in sorted(os.listdir(descriptor)):
                    path = name if folder == "." else f"{folder}/{name}"
                    try:
                        info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if self._layer and name.startswith(_WHITEOUT):
                        continue
                    if stat.S_ISDIR(info.st_mode):
                        below.append(path)
                    if self._layer and is_whiteout(info):
                        yield _mark(path.removesuffix(name) + _WHITEOUT + name)
                        continue
                    yield from self._entry(descriptor, name, path, info)
                waiting += reversed(below)
            finally:
                os.close(descriptor)

    def _entry(self, folder: int, name: str, path: str, info: os.stat_result) -> Iterator[bytes]:
        kind = _TYPES.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return
        header = tarfile.TarInfo(path)
        header.mode = stat.S_IMODE(info.st_mode)
        header.uid, header.gid = info.st_uid, info.st_gid
        header.mtime = info.st_mtime_ns // 1_000_000_000
        header.type = kind
        file = -1
        try:
            if kind in {tarfile.CHRTYPE, tarfile.BLKTYPE}:
                header.devmajor, header.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
            elif kind == tarfile.SYMTYPE:
                header.linkname = os.readlink(name, dir_fd=folder)
            elif kind in {tarfile.REGTYPE, tarfile.DIRTYPE}:
                file = openat2(folder, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, resolve=_INSIDE)
                header.pax_headers = _attributes(file)
            if kind == tarfile.REGTYPE:
                self._measure(header, path, os.fstat(file))
        except OSError:
            if file >= 0:
                os.close(file)
            return  # it went, or became something else, while it was looked at
        try:
            yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if header.type == tarfile.REGTYPE:
                yield from _content(file, header.size)
        finally:
            if file >= 0:
                os.close(file)

    def _measure(self, header: tarfile.TarInfo, path: str, info: os.stat_result) -> None:
        """A file's size; a further name of a file that is in the archive already becomes a link to it."""
        if not stat.S_ISREG(info.st_mode):
            raise FileNotFoundError(path)
        header.size = info.st_size
        if info.st_nlink > 1:
            first = self._linked.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                header.type, header.linkname, header.size = tarfile.LNKTYPE, first, 0


def _mark(path: str) -> bytes:
    """An empty file whose name says what is hidden."""
    return tarfile.TarInfo(path).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(file: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, filled up with zeros where the file has become shorter, and the padding of the block."""
    left = size
    while left:
        data = os.read(file, min(left, PIECE_BYTES)) or bytes(min(left, PIECE_BYTES))
        left -= len(data)
        yield data
    yield bytes(-size % tarfile.BLOCKSIZE)


def _attributes(file: int) -> dict[str, str]:
    """The extended attributes that belong to a file's content, as pax headers."""
    found = {}
    for name in os.listxattr(file):
        if name.startswith(_KEPT_ATTRIBUTES):
            value = os.getxattr(file, name)
            found[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    return found
