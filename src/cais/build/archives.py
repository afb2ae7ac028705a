"""Archives that ADD unpacks, and that contexts come as."""

import os
import stat
from typing import Final

from cais.build.copying import Look
from cais.distribution.compression import decompressed
from cais.errors import CaisError
from cais.linux.fs import open_in_root
from cais.storage.tarstream import BLOCK, Entry, Source, TarReader
from cais.storage.unpack import Unpacker, translate

_MAGIC: Final = slice(257, 262)
_CAPABILITY: Final = b"security.capability"


class _File:
    """An open file as a source."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int, /) -> bytes:
        return os.read(self._descriptor, size)


def is_archive(root: int, path: str) -> bool:
    """Whether a path of a tree is a tar archive, compressed or not. Blocks."""
    try:
        file = open_in_root(root, path or ".", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return False
        return _begins_as_tar(file)
    except (OSError, CaisError):
        return False
    finally:
        os.close(file)


def _begins_as_tar(file: int) -> bool:
    source = decompressed(_File(file))
    head = b""
    while len(head) < BLOCK and (piece := source.read(BLOCK - len(head))):
        head += piece
    return len(head) == BLOCK and head[_MAGIC] == b"ustar"


def unpack_archive(root: int, path: str, folder: int, look: Look, scratch: str) -> None:
    """Unpack an archive of a tree into an open folder; owners and modes are the archive's, but for what `look` says.

    Nothing outside of the folder is reached, whatever the archive tries (`cais.storage.unpack`). Blocks.
    Raises: InvalidArgument for what an archive may not have; Unavailable when the disk is full.
    """
    file = open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        reader = TarReader(decompressed(_File(file)))
        with Unpacker(f"/proc/self/fd/{folder}/.", (), scratch) as unpacker:
            _add_all(unpacker, reader, look)
            unpacker.finish()
    finally:
        os.close(file)


def unpack_context(source: Source, folder: str, scratch: str) -> None:
    """Unpack a plain archive into an empty folder that nobody else can reach; everything belongs to root. Blocks.

    Raises: InvalidArgument for what an archive may not have; Unavailable when the disk is full.
    """
    reader = TarReader(source)
    look = Look(archive_owner=(0, 0))
    with Unpacker(folder, (), scratch) as unpacker:
        _add_all(unpacker, reader, look)
        unpacker.finish()
    reader.drain()


def _add_all(unpacker: Unpacker, reader: TarReader, look: Look) -> None:
    for entry in reader:
        try:
            unpacker.add(_dressed(entry, look), reader)
        except OSError as error:
            raise translate(error, entry) from error


def _dressed(entry: Entry, look: Look) -> Entry:
    """An entry with the owner and the time that a copy has."""
    uid, gid = look.archive_owner or (entry.uid, entry.gid)
    mtime_ns = entry.mtime_ns if look.time_ns is None else look.time_ns
    return Entry(
        entry.name, entry.kind, entry.mode, uid, gid, entry.size, mtime_ns, entry.link, entry.major, entry.minor,
        {name: value for name, value in entry.xattrs.items() if name == _CAPABILITY} if entry.xattrs else {},
    )  # fmt: skip
