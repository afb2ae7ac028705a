"""Decompressing streams."""

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from cais.distribution import compression
from cais.distribution.compression import decompressed
from cais.errors import InvalidArgument

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
DAMAGEABLE = [name for name in COMPRESSORS if name != "plain"]


class Dripping:
    """A source that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._file = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._step))


def read_all(data: bytes, step: int = 1 << 16, size: int = 100_000) -> bytes:
    source = decompressed(Dripping(data, step))
    pieces = []
    while piece := source.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert source.read(size) == b""
    return b"".join(pieces)


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 100_000, random.Random(7).randbytes(300_000)])
@pytest.mark.parametrize("step", [1 << 16, 7])
def test_every_format_gives_back_what_was_compressed(name: str, content: bytes, step: int) -> None:
    assert read_all(COMPRESSORS[name](content), step) == content


@pytest.mark.parametrize("name", DAMAGEABLE)
def test_streams_one_after_another_are_one(name: str) -> None:
    compress = COMPRESSORS[name]
    assert read_all(compress(b"one") + compress(b"") + compress(b"two")) == b"onetwo"


def test_gzip_may_be_padded_with_zeros() -> None:
    assert read_all(gzip.compress(b"data") + bytes(5000)) == b"data"


@pytest.mark.parametrize("name", DAMAGEABLE)
def test_what_is_cut_short_is_an_error(name: str) -> None:
    content = random.Random(1).randbytes(50_000)
    whole = COMPRESSORS[name](content)
    for length in (len(whole) - 1, len(whole) // 2, 7):
        with pytest.raises(InvalidArgument, match=f"decompress {name}"):
            read_all(whole[:length])


@pytest.mark.parametrize("name", DAMAGEABLE)
def test_what_is_damaged_is_an_error(name: str) -> None:
    whole = bytearray(COMPRESSORS[name](b"hello" * 1000))
    whole[-6 if name == "gzip" else len(whole) // 2] ^= 0xFF
    if name == "zstd":
        whole = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(b"hello" * 1000))
        whole[-1] ^= 0xFF
    with pytest.raises(InvalidArgument, match=f"decompress {name}"):
        read_all(bytes(whole))


def test_rubbish_after_a_stream_is_an_error() -> None:
    with pytest.raises(InvalidArgument):
        read_all(gzip.compress(b"data") + b"rubbish that is no gzip stream")


@pytest.mark.parametrize("name", DAMAGEABLE)
def test_a_bomb_takes_little_memory(name: str) -> None:
    bomb = _bomb(name)
    source = decompressed(io.BytesIO(bomb))
    tracemalloc.start()
    try:
        total = 0
        while piece := source.read(1 << 18):
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 256 << 20
    assert peak < 80 << 20


def _bomb(name: str) -> bytes:
    """256 MiB of zeros, compressed without having them in memory."""
    block = bytes(1 << 20)
    if name == "gzip":
        gzipped = zlib.compressobj(wbits=31)
        return b"".join(gzipped.compress(block) for _ in range(256)) + gzipped.flush()
    if name == "bzip2":
        bzipped = bz2.BZ2Compressor(1)
        return b"".join(bzipped.compress(block) for _ in range(256)) + bzipped.flush()
    if name == "xz":
        xzipped = lzma.LZMACompressor(preset=0)
        return b"".join(xzipped.compress(block) for _ in range(256)) + xzipped.flush()
    zstd = zstandard.ZstdCompressor().compressobj()
    return b"".join(zstd.compress(block) for _ in range(256)) + zstd.flush()


def test_a_zstd_frame_with_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = frame.compress(b"x" * 100) + frame.flush()
    with pytest.raises(InvalidArgument, match="decompress zstd"):
        read_all(data)


def test_xz_that_needs_too_much_memory_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": compression.XZ_MEMORY_BYTES * 2}]
    data = lzma.compress(b"x" * 100, filters=filters)
    with pytest.raises(InvalidArgument, match="decompress xz"):
        read_all(data)


def test_errors_of_the_source_are_not_taken_for_damage() -> None:
    class Broken:
        def __init__(self) -> None:
            self.pieces = [gzip.compress(b"x" * 100_000)[:40]]

        def read(self, _: int, /) -> bytes:
            if self.pieces:
                return self.pieces.pop()
            raise OSError("gone")

    source = decompressed(Broken())
    with pytest.raises(OSError, match="gone"):
        while source.read(100):
            pass
