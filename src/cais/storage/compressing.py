"""Compressing what passes by: a plain layer's archive becomes a blob while it is unpacked.

gzip, since every registry and every engine reads it; at a speed that keeps up with the unpacking beside it (about
280 MB/s on one core). The same bytes always give the same blob.
"""

from typing import Final

from cais.storage.blobfiles import BlobWriter
from cais.storage.sources import Aside
from cais.storage.tarstream import Source

_LEVEL: Final = 1  # of 0 to 3: the fastest is a tenth quicker, and its result a seventh larger
_GZIP_WINDOW_BITS: Final = 31


class Compressing(Aside):
    """A source that passes on another one's bytes, and writes them compressed to a blob, in a thread of its own.

    The blob is whole after `finish`, and is still to be committed. `read` and `finish` raise also: Unavailable when the
    blob cannot be written.
    """

    def __init__(self, source: Source, writer: BlobWriter) -> None:
        from isal import isal_zlib  # noqa: PLC0415  only who receives layers needs it

        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW_BITS)
        self._writer = writer
        super().__init__(source, self._write)

    def finish(self) -> None:
        """Wait until all that was read, to its end, is in the blob."""
        super().finish()
        self._writer.write(self._compressor.flush())

    def _write(self, piece: bytes) -> None:
        self._writer.write(self._compressor.compress(piece))
