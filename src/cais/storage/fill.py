"""Copying a folder of an image into a volume, with owners, modes, times, links and attributes."""

import os
import stat
from collections.abc import Iterator
from typing import Final

from cais.linux.fs import open_in_root
from cais.storage import tartree
from cais.storage.tarstream import TarReader
from cais.storage.unpack import unpack

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY


def fill(root: int, path: str, target: str, scratch: str) -> bool:
    """Copy what is in the folder `path`, inside the tree that `root` has open, to the empty folder `target`.

    The folder itself gets the owner and the mode of the one that is copied. False when there is no such folder.
    scratch: a folder of ours for a temporary file. Raises: OSError, InvalidArgument, Unavailable.
    """
    try:
        source = open_in_root(root, path, _FOLDER)
    except OSError:
        return False
    try:
        unpack(TarReader(Pieces(tartree.pack(source))), target, (), scratch)
        info = os.fstat(source)
        os.chown(target, info.st_uid, info.st_gid)
        os.chmod(target, stat.S_IMODE(info.st_mode))
    finally:
        os.close(source)
    return True


class Pieces:
    """Pieces as a source."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end."""
        piece = self._rest or next(self._pieces, b"")
        self._rest = piece[size:]
        return piece[:size]
