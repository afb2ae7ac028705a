"""A tree of files as a tar archive, in pieces: the opposite of unpacking.

Whoever wrote the tree may be changing it meanwhile: each folder and file is opened by openat2(2) beneath the tree,
following no link, and is known for what it is before it is read, so that no device or FIFO is ever opened. A file gives
exactly the bytes that its header announces, whatever has become of it. pax format (POSIX.1-2001); sockets, which no
archive can hold, are left out.

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
from cais.storage.tarheader import Header

PIECE_BYTES: Final = 1 << 20
_OWN_BYTES: Final = 1 << 16  # a piece of that length is not copied
EMPTY: Final = bytes(2 * tarfile.BLOCKSIZE)
"""An archive of nothing."""

_WHITEOUT: Final = ".wh."
_OPAQUE_MARK: Final = ".wh..wh..opq"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_ENTRY: Final = os.O_PATH | os.O_NOFOLLOW
_BELOW: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
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

    It ends where other file systems are mounted.
    layer: the folder is a read-write layer of overlayfs. Without changes its archive is `EMPTY`.
    Pieces are of any size up to about a megabyte. Blocks between them. Raises OSError when a folder cannot be read.
    """
    return _joined(_Packing(root, "", _BELOW | RESOLVE_NO_XDEV, layer).run())


def pack_one(entry: int, name: str) -> Iterator[bytes]:
    """The archive of the one file, link or folder with all that is in it, mounts too, that `entry` has open (O_PATH).

    name: what it is called in the archive; what is in a folder has names below that. Pieces are those of `pack`.
    """
    return _joined(_one(entry, name))


def _one(entry: int, name: str) -> Iterator[bytes]:
    packing = _Packing(entry, name if name.endswith("/") else f"{name}/", _BELOW, layer=False)
    if not stat.S_ISDIR(os.fstat(entry).st_mode):
        yield from packing.entry(os.dup(entry), name, os.fstat(entry))
        return
    folder = openat2(entry, ".", _FOLDER)
    try:
        yield from packing.entry(os.dup(folder), name, os.fstat(folder))
        yield from packing.run()
    finally:
        os.close(folder)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The archive that is made of the pieces, in larger ones."""
    buffer = bytearray()
    for piece in pieces:
        if len(piece) < _OWN_BYTES:
            buffer += piece
        if buffer and (len(buffer) >= PIECE_BYTES or len(piece) >= _OWN_BYTES):
            yield bytes(buffer)
            buffer.clear()
        if len(piece) >= _OWN_BYTES:
            yield piece
    buffer += EMPTY
    yield bytes(buffer)


class _Packing:
    """prefix: what the names in the archive begin with. resolve: how far openat2(2) may go."""

    def __init__(self, root: int, prefix: str, resolve: int, layer: bool) -> None:
        self._root = root
        self._prefix = prefix
        self._resolve = resolve
        self._layer = layer
        self._linked: dict[tuple[int, int], str] = {}

    def run(self) -> Iterator[bytes]:
        """Everything below the root."""
        waiting = ["."]
        while waiting:
            folder = waiting.pop()
            try:
                descriptor = openat2(self._root, folder, _FOLDER, resolve=self._resolve)
            except OSError:
                if folder == ".":
                    raise
                continue  # it is gone, or no folder any more
            try:
                below: list[str] = []
                yield from self._folder(descriptor, folder, below)
                waiting += reversed(below)
            finally:
                os.close(descriptor)

    def _folder(self, descriptor: int, folder: str, below: list[str]) -> Iterator[bytes]:
        """What is in a folder; its own folders are noted in `below`."""
        if self._layer and folder != "." and is_opaque(descriptor):
            yield _mark(f"{folder}/{_OPAQUE_MARK}")
        for name in sorted(os.listdir(descriptor)):
            path = name if folder == "." else f"{folder}/{name}"
            if self._layer and name.startswith(_WHITEOUT):
                continue
            try:
                entry = self._open(descriptor, name)
            except OSError:
                continue  # it is gone, or another file system's
            info = os.fstat(entry)
            if self._layer and is_whiteout(info):
                os.close(entry)
                yield _mark(path.removesuffix(name) + _WHITEOUT + name)
                continue
            if stat.S_ISDIR(info.st_mode):
                below.append(path)
            yield from self.entry(entry, self._prefix + path, info)

    def _open(self, folder: int, name: str) -> int:
        """What has a name in a folder (O_PATH): a single name leads nowhere else, but to what is mounted there."""
        if self._resolve & RESOLVE_NO_XDEV:
            return openat2(folder, name, _ENTRY, resolve=self._resolve)
        return os.open(name, _ENTRY | os.O_CLOEXEC, dir_fd=folder)

    def entry(self, entry: int, name: str, info: os.stat_result) -> Iterator[bytes]:
        """One entry without what is below it, by its descriptor (O_PATH), which is closed."""
        content = -1
        try:
            kind = _TYPES.get(stat.S_IFMT(info.st_mode))
            if kind is None:
                return
            header = Header(name, kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns)
            try:
                if kind == tarfile.REGTYPE:
                    content = os.open(f"/proc/self/fd/{entry}", os.O_RDONLY | os.O_CLOEXEC)
                    header.xattrs = _attributes(content)
                    self._measure(header, info)
                elif kind == tarfile.DIRTYPE:
                    header.xattrs = _attributes(f"/proc/self/fd/{entry}")
                elif kind == tarfile.SYMTYPE:
                    header.link = os.readlink("", dir_fd=entry)
                elif kind != tarfile.FIFOTYPE:
                    header.device = (os.major(info.st_rdev), os.minor(info.st_rdev))
            except OSError:
                return  # it cannot be read
            yield header.encode()
            if header.size:
                yield from _content(content, header.size)
        finally:
            os.close(entry)
            if content >= 0:
                os.close(content)

    def _measure(self, header: Header, info: os.stat_result) -> None:
        """A file's size; a further name of a file that is in the archive already becomes a link to it."""
        header.size = info.st_size
        if info.st_nlink > 1:
            first = self._linked.setdefault((info.st_dev, info.st_ino), header.name)
            if first != header.name:
                header.kind, header.link, header.size = tarfile.LNKTYPE, first, 0


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


def _attributes(file: int | str) -> dict[str, str]:
    """The extended attributes that belong to a file's content, as pax headers."""
    try:
        names = os.listxattr(file)
        return {f"SCHILY.xattr.{name}": _value(file, name) for name in names if name.startswith(_KEPT_ATTRIBUTES)}
    except OSError:
        return {}  # a file system without attributes


def _value(file: int | str, name: str) -> str:
    return os.getxattr(file, name).decode("utf-8", "surrogateescape")
