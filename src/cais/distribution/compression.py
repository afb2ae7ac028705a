"""Decompressing a stream: gzip, zstd, bzip2 and xz are told by their first bytes, the rest is plain. And making zstd.

Every read gives a bounded piece, however much a compressed byte stands for. The libraries are imported
when a stream needs them.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

from cais.errors import InvalidArgument

if TYPE_CHECKING:
    from zstandard import ZstdDecompressionObj

PIECE_BYTES: Final = 1 << 18
ZSTD_WINDOW_BYTES: Final = 1 << 27
"""The largest window of a zstd frame that is accepted: what `zstd --long` makes."""
XZ_MEMORY_BYTES: Final = 1 << 27
"""What decompressing xz may take: enough for every preset (`xz -9` needs 65 MiB)."""

_MAGIC_BYTES: Final = 6
_GZIP: Final = b"\x1f\x8b"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ\x00"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # after a byte 0x50 … 0x5f


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At least one and at most `size` bytes; nothing at the end."""
        ...


def peek(source: Source) -> tuple[str, Source]:
    """What a source is compressed with: "gzip", "bzip2", "xz", "zstd" or nothing; and the source, still whole."""
    head = b""
    while len(head) < _MAGIC_BYTES and (piece := source.read(PIECE_BYTES)):
        head += piece
    return _format_of(head), _Prefixed(head, source)


def _format_of(head: bytes) -> str:
    for name, beginning in (("gzip", _GZIP), ("bzip2", _BZIP2), ("xz", _XZ), ("zstd", _ZSTD)):
        if head.startswith(beginning):
            return name
    skippable = head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50
    return "zstd" if skippable else ""


def decompressed(source: Source) -> Source:
    """The plain bytes of a source that may be compressed.

    Its `read` raises InvalidArgument for data that is damaged, cut short, or needs too much memory.
    """
    name, whole = peek(source)
    format_ = _FORMATS.get(name)
    return whole if format_ is None else _Streams(whole, format_)


class _Prefixed:
    """A source of which the beginning has been read already."""

    def __init__(self, head: bytes, source: Source) -> None:
        self._head = head
        self._source = source

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._source.read(size)
        piece, self._head = self._head[:size], self._head[size:]
        return piece


class _Decompressor(Protocol):
    """One compressed stream, as the libraries' own decompressor objects are."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Streams:
    """One compressed stream after another, as gzip members are; zeros between and after them are passed over."""

    def __init__(self, source: Source, format_: type["_Format"]) -> None:
        self._source = source
        self._format = format_()
        self._decompressor: _Decompressor | None = None
        self._input = b""
        self._output = b""

    def read(self, size: int, /) -> bytes:
        while not self._output:
            if self._decompressor is None:
                if not self._more_streams():
                    return b""
                self._decompressor = self._format.decompressor()
            self._output = self._decompress(self._decompressor, size)
            if self._decompressor.eof:
                self._input = self._decompressor.unused_data
                self._decompressor = None
        piece, self._output = self._output[:size], self._output[size:]
        return piece

    def _more_streams(self) -> bool:
        while not (rest := self._input.lstrip(b"\0")):
            self._input = self._source.read(PIECE_BYTES)
            if not self._input:
                return False
        self._input = rest
        return True

    def _decompress(self, decompressor: _Decompressor, size: int) -> bytes:
        if not self._input and getattr(decompressor, "needs_input", True):
            self._input = self._source.read(PIECE_BYTES)
        ended = not self._input
        try:
            piece = decompressor.decompress(self._input, size)
        except (self._format.error, EOFError, ValueError) as error:
            raise InvalidArgument(f"decompress {self._format.name}: {error}") from error
        self._input = getattr(decompressor, "unconsumed_tail", b"")
        if ended and not piece and not decompressor.eof:
            raise InvalidArgument(f"decompress {self._format.name}: unexpected EOF")
        return piece


class _Format(Protocol):
    """A compression format: its library is imported when an object is made."""

    name: str
    error: type[Exception]

    def __init__(self) -> None: ...
    def decompressor(self) -> _Decompressor: ...


class _Gzip:
    name = "gzip"

    def __init__(self) -> None:
        from isal import isal_zlib  # noqa: PLC0415

        self.error = cast(type[Exception], isal_zlib.error)
        self._new = isal_zlib.decompressobj

    def decompressor(self) -> _Decompressor:
        made: _Decompressor = self._new(wbits=31)  # 15 bits of window, and gzip's header
        return made


class _Bzip2:
    name = "bzip2"

    def __init__(self) -> None:
        import bz2  # noqa: PLC0415

        self.error: type[Exception] = OSError
        self._new = bz2.BZ2Decompressor

    def decompressor(self) -> _Decompressor:
        return self._new()


class _Xz:
    name = "xz"

    def __init__(self) -> None:
        import lzma  # noqa: PLC0415

        self.error: type[Exception] = lzma.LZMAError
        self._new = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)

    def decompressor(self) -> _Decompressor:
        return self._new()


class _Zstd:
    name = "zstd"

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415

        self.error: type[Exception] = zstandard.ZstdError
        self._context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)

    def decompressor(self) -> _Decompressor:
        return _ZstdFrame(self._context.decompressobj())


class _ZstdFrame:
    """A zstd frame, decompressed in small steps: the library has no limit on what one call gives.

    A block of 4 bytes can stand for 128 KiB, so that a step gives at most 32 MiB.
    """

    _STEP_BYTES = 1024

    def __init__(self, frame: "ZstdDecompressionObj") -> None:
        self._frame = frame
        self.unconsumed_tail = b""

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data + self.unconsumed_tail

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """About `max_length` bytes; what was not used is in `unconsumed_tail`."""
        pieces: list[bytes] = []
        length = position = 0
        while position < len(data) and length < max_length and not self._frame.eof:
            step = data[position : position + self._STEP_BYTES]
            position += len(step)
            pieces.append(self._frame.decompress(step))
            length += len(pieces[-1])
        self.unconsumed_tail = data[position:]
        return b"".join(pieces)


_FORMATS: Final[dict[str, type[_Format]]] = {"gzip": _Gzip, "bzip2": _Bzip2, "xz": _Xz, "zstd": _Zstd}


def zstd_compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces as one zstd frame, in pieces; none is empty."""
    from zstandard import ZstdCompressor  # noqa: PLC0415 -- as above

    frame = ZstdCompressor(level=3, write_checksum=True).compressobj()
    for piece in pieces:
        if compressed := frame.compress(piece):
            yield compressed
    yield frame.flush()
