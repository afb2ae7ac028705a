"""Reading a tar archive from a stream, an entry at a time, with bounded memory.

Understands what layers are made of: POSIX ustar, GNU long names and base-256 numbers, and PAX extended
headers (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*). Whatever an archive claims, no more than
`MAX_EXTENSION_BYTES` of headers and one buffer are held. Nothing here touches a file system.

Formats: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

import enum
from collections.abc import Iterator
from struct import Struct
from typing import Final, NoReturn, Protocol

import msgspec

from cais.errors import InvalidArgument

BLOCK: Final = 512
MAX_EXTENSION_BYTES: Final = 1 << 20
MAX_PATH_BYTES: Final = 4096  # PATH_MAX, <linux/limits.h>
MAX_ENTRIES: Final = 4_000_000
CHUNK_BYTES: Final = 1 << 18

_MAX_SIZE = (1 << 63) - 1
_MAX_ID = (1 << 32) - 2  # 2^32-1 means "leave it as it is" to chown(2)
_MAX_SECONDS = (1 << 63) // 1_000_000_000 - 1

# name mode uid gid size mtime checksum type linkname magic+version uname gname devmajor devminor prefix
_HEADER = Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_ZEROS = bytes(BLOCK)
_SPACES_SUM = 8 * 0x20
_XATTR_KEY = b"SCHILY.xattr."


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At least one and at most `size` bytes; nothing at the end."""
        ...


class Kind(enum.Enum):
    """What an entry is."""

    FILE = enum.auto()
    FOLDER = enum.auto()
    SYMLINK = enum.auto()
    HARDLINK = enum.auto()
    CHARACTER = enum.auto()
    BLOCK = enum.auto()
    FIFO = enum.auto()


class Entry(msgspec.Struct, frozen=True):
    """One entry of an archive, as it is written there: names are neither cleaned nor checked."""

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes of content that follow; 0 for what is not a file."""
    mtime_ns: int
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] = {}


_KINDS: Final = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"5": Kind.FOLDER,
    b"6": Kind.FIFO,
}


class TarReader:
    """The entries of an archive, in order. The content of an entry is read with `chunks` before the next one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._position = 0
        self._content_left = 0
        self._padding = 0
        self._ended = False

    def __iter__(self) -> Iterator[Entry]:
        """Raises: InvalidArgument for what is not a tar archive, or asks for more than is sane."""
        for _ in range(MAX_ENTRIES):
            entry = self._next()
            if entry is None:
                return
            yield entry
        raise InvalidArgument(f"invalid tar archive: more than {MAX_ENTRIES} entries")

    def chunks(self) -> Iterator[bytes | memoryview]:
        """What is left of the current entry's content, in pieces of a convenient size."""
        while self._content_left:
            available = len(self._buffer) - self._position
            if not available:
                self._fill()
                continue
            taken = min(available, self._content_left)
            start = self._position
            self._position += taken
            self._content_left -= taken
            if taken == len(self._buffer):
                yield self._buffer
            else:
                yield memoryview(self._buffer)[start : start + taken]

    def drain(self) -> None:
        """Read the source to its end; what follows the archive's end has no meaning."""
        self._buffer, self._position = b"", 0
        while self._source.read(CHUNK_BYTES):
            pass

    def _next(self) -> Entry | None:
        """The next entry, with what the extension headers before it say; None at the end of the archive."""
        long_name = long_link = None
        pax: dict[bytes, bytes] = {}
        while True:
            header = self._read_header()
            if header is None:
                return None
            kind = header[156:157]
            if kind == b"x":
                pax = _parse_pax(self._read_extension(header))
            elif kind == b"g":  # describes all that follows; as in Docker, it has no effect
                self._read_extension(header)
            elif kind == b"L":
                long_name = self._read_extension(header).split(b"\0", 1)[0]
            elif kind == b"K":
                long_link = self._read_extension(header).split(b"\0", 1)[0]
            else:
                entry = _parse_entry(header, long_name, long_link, pax)
                self._content_left = entry.size
                self._padding = -entry.size % BLOCK
                return entry

    def _read_header(self) -> bytes | None:
        if self._ended:
            return None
        self._skip()
        header = self._read_block()
        if header in (b"", _ZEROS):
            self._ended = True
            return None
        return header

    def _skip(self) -> None:
        """Pass over the rest of the current entry. The docker client may leave out the last padding."""
        for _ in self.chunks():
            pass
        left, self._padding = self._padding, 0
        while left:
            available = len(self._buffer) - self._position
            if not available:
                self._buffer, self._position = self._source.read(CHUNK_BYTES), 0
                if not self._buffer:
                    return
                continue
            taken = min(available, left)
            self._position += taken
            left -= taken

    def _read_block(self) -> bytes:
        """The next block; nothing at the end of the source."""
        start = self._position
        end = start + BLOCK
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[start:end]
        block = self._buffer[start:]
        self._buffer, self._position = b"", 0
        while len(block) < BLOCK:
            piece = self._source.read(CHUNK_BYTES)
            if not piece:
                if block:
                    _truncated()
                return b""
            needed = BLOCK - len(block)
            block += piece[:needed]
            self._buffer, self._position = piece, min(needed, len(piece))
        return block

    def _read_extension(self, header: bytes) -> bytes:
        _check_sum(header)
        size = _parse_number(header[124:136])
        if not 0 <= size <= MAX_EXTENSION_BYTES:
            raise InvalidArgument(f"invalid tar archive: an extension header of {size} bytes")
        self._content_left, self._padding = size, -size % BLOCK
        return b"".join(self.chunks())

    def _fill(self) -> None:
        self._buffer, self._position = self._source.read(CHUNK_BYTES), 0
        if not self._buffer:
            _truncated()


def _truncated() -> NoReturn:
    raise InvalidArgument("invalid tar archive: unexpected EOF")


def _check_sum(header: bytes) -> None:
    """The checksum counts its own field as spaces; historic writers summed signed bytes."""
    claimed = _parse_number(header[148:156])
    total = sum(header) - sum(header[148:156]) + _SPACES_SUM
    if claimed == total:
        return
    signed = total - 256 * sum(1 for byte in header[:148] + header[156:] if byte > 127)
    if claimed != signed:
        raise InvalidArgument("invalid tar archive: invalid tar header")


def _parse_entry(header: bytes, long_name: bytes | None, long_link: bytes | None, pax: dict[bytes, bytes]) -> Entry:
    _check_sum(header)
    (name, mode, uid, gid, size, mtime, _, kind_byte, link, magic, _, _, major, minor, prefix) = _HEADER.unpack(header)
    name, link = name.split(b"\0", 1)[0], link.split(b"\0", 1)[0]
    if magic.startswith(b"ustar\0"):
        prefix = prefix.split(b"\0", 1)[0]
        if prefix:
            name = prefix + b"/" + name
    name = _path(pax.get(b"path") or long_name or name)
    link = _path(pax.get(b"linkpath") or long_link or link)
    kind = _KINDS.get(kind_byte)
    if kind is None or b"GNU.sparse.major" in pax or b"GNU.sparse.map" in pax or b"GNU.sparse.size" in pax:
        sparse = kind is not None or kind_byte == b"S"
        what = "sparse files are not supported" if sparse else f"unknown entry type {kind_byte!r}"
        raise InvalidArgument(f"invalid tar archive: {what}: {quoted(name)}")
    if kind is Kind.FILE and kind_byte == b"\0" and name.endswith(b"/"):  # how archives older than POSIX mark folders
        kind = Kind.FOLDER
    device = kind is Kind.CHARACTER or kind is Kind.BLOCK
    return Entry(
        name,
        kind,
        _parse_number(mode) & 0o7777,
        _bounded(pax.get(b"uid"), uid, "uid", _MAX_ID),
        _bounded(pax.get(b"gid"), gid, "gid", _MAX_ID),
        _bounded(pax.get(b"size"), size, "size", _MAX_SIZE) if kind is Kind.FILE else 0,
        _time(pax.get(b"mtime"), mtime),
        link,
        _bounded(None, major, "device number", _MAX_ID) if device else 0,
        _bounded(None, minor, "device number", _MAX_ID) if device else 0,
        _xattrs(pax) if pax else {},
    )


def quoted(name: bytes) -> str:
    """A name for a message: quoted, no longer than a line, without control characters."""
    text = name[:200].decode("utf-8", "backslashreplace")
    return '"' + "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text) + '"'


def _path(path: bytes) -> bytes:
    if b"\0" in path:
        raise InvalidArgument(f"invalid tar archive: a NUL byte in the name {quoted(path)}")
    if len(path) >= MAX_PATH_BYTES:
        raise InvalidArgument(f"invalid tar archive: file name too long: {quoted(path)}")
    return path


def _parse_number(field: bytes) -> int:
    """An octal number, or GNU's base-256 form, marked by the highest bit."""
    if field[0] & 0x80:
        negative = field[0] & 0x40
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if negative else value
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    if not digits:
        return 0
    if digits.translate(None, b"01234567"):
        raise InvalidArgument("invalid tar archive: invalid tar header")
    return int(digits, 8)


def _bounded(text: bytes | None, field: bytes, what: str, limit: int) -> int:
    """The number of an extension header, or else of the header's field, between 0 and `limit`."""
    if text:
        if not text.isdigit() or len(text) > 19:
            raise InvalidArgument(f"invalid tar archive: invalid {what} {quoted(text)}")
        value = int(text)
    else:
        value = _parse_number(field)
    if not 0 <= value <= limit:
        raise InvalidArgument(f"invalid tar archive: {what} {value} is out of range")
    return value


def _time(text: bytes | None, field: bytes) -> int:
    """Nanoseconds since 1970; a time that the kernel cannot hold is 1970 itself, as in Docker."""
    if not text:
        seconds, nanoseconds = _parse_number(field), 0
    else:
        whole, _, fraction = text.partition(b".")
        if not (whole.removeprefix(b"-").isdigit() and len(whole) < 20 and (fraction.isdigit() or not fraction)):
            raise InvalidArgument(f"invalid tar archive: invalid mtime {quoted(text)}")
        seconds, nanoseconds = int(whole), int(fraction[:9].ljust(9, b"0"))
    if not 0 <= seconds <= _MAX_SECONDS:
        return 0
    return seconds * 1_000_000_000 + nanoseconds


def _xattrs(pax: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {key[len(_XATTR_KEY) :]: value for key, value in pax.items() if key.startswith(_XATTR_KEY)}


def _parse_pax(data: bytes) -> dict[bytes, bytes]:
    """The records "LENGTH KEY=VALUE\\n" of an extended header; a later one of the same key counts."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            break
        end = position + int(digits)
        equals = data.find(b"=", space, end)
        if end > len(data) or data[end - 1 : end] != b"\n" or equals < 0:
            break
        records[data[space + 1 : equals]] = data[equals + 1 : end - 1]
        position = end
    if position < len(data) and data[position:].strip(b"\0"):
        raise InvalidArgument("invalid tar archive: malformed PAX header")
    return records
