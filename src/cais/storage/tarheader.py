"""The header of an entry of a tar archive, in the pax format (POSIX.1-2001).

Nearly all entries fit into one block of it, which is made here: `tarfile`, which makes the others, takes five times as
long, and that is most of the time that packing many small files takes.
"""

import tarfile
from struct import Struct
from typing import Final

# name mode uid gid size mtime checksum type linkname magic+version uname gname devmajor devminor prefix
_BLOCK: Final = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_LONGEST_NAME: Final = 100
_LARGEST_ID: Final = 0o7777777
_LARGEST_NUMBER: Final = 0o77777777777


class Header:
    """What a header says; `encode` gives its bytes. xattrs: what goes into an extended header, as pax names it."""

    __slots__ = ("device", "gid", "kind", "link", "mode", "mtime_ns", "name", "size", "uid", "xattrs")

    def __init__(self, name: str, kind: bytes, mode: int, uid: int, gid: int, mtime_ns: int) -> None:  # noqa: PLR0917
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.size = 0
        self.link = ""
        self.device = (0, 0)
        self.xattrs: dict[str, str] | None = None

    def encode(self) -> bytes:
        """The header's blocks; a folder's name ends with a slash, whether it was given one or not."""
        name, link, seconds = self.name, self.link, self.mtime_ns // 1_000_000_000
        if self.kind == tarfile.DIRTYPE and not name.endswith("/"):
            name += "/"
        fits = (
            name.isascii()
            and link.isascii()
            and len(name) <= _LONGEST_NAME
            and len(link) <= _LONGEST_NAME
            and self.uid <= _LARGEST_ID
            and self.gid <= _LARGEST_ID
            and 0 <= seconds <= _LARGEST_NUMBER
            and self.size <= _LARGEST_NUMBER
            and not self.xattrs
            and self.device == (0, 0)
        )
        return self._block(name, link, seconds) if fits else self._blocks(name, seconds)

    def _block(self, name: str, link: str, seconds: int) -> bytes:
        fields = (
            name.encode("ascii"), b"%07o\0" % self.mode, b"%07o\0" % self.uid, b"%07o\0" % self.gid,
            b"%011o\0" % self.size, b"%011o\0" % seconds,
        )  # fmt: skip
        rest = (self.kind, link.encode("ascii"), b"ustar\x0000", b"", b"", b"", b"", b"")
        total = sum(_BLOCK.pack(*fields, b"        ", *rest))
        return _BLOCK.pack(*fields, b"%06o\0 " % total, *rest)

    def _blocks(self, name: str, seconds: int) -> bytes:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = self.kind, self.link
        entry.mode, entry.uid, entry.gid, entry.size, entry.mtime = self.mode, self.uid, self.gid, self.size, seconds
        entry.devmajor, entry.devminor = self.device
        entry.pax_headers = self.xattrs or {}
        return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
