"""Compressing what passes by: a plain layer's archive becomes a blob while it is unpacked.

gzip, since every registry and every engine reads it; at a speed that keeps up with the unpacking beside it (about
280 MB/s on one core). The same bytes always give the same blob.
"""

import threading
from typing import Final

from cais.storage.blobfiles import BlobWriter
from cais.storage.sources import Pieces
from cais.storage.tarstream import Source

_LEVEL: Final = 0  # of 0 to 3: the fastest; the next one is a tenth slower, and its result a tenth smaller
_GZIP_WINDOW_BITS: Final = 31


class Compressing:
    """A source that passes on another one's bytes, and writes them compressed to a blob, in a thread of its own.

    Use as a context manager; the blob is whole after `finish`, and is still to be committed. Pieces wait in memory
    when the thread is slower than the reader, eight at most.
    """

    def __init__(self, source: Source, writer: BlobWriter) -> None:
        from isal import isal_zlib  # noqa: PLC0415  only who receives layers needs it

        self._compressor = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW_BITS)
        self._source = source
        self._writer = writer
        self._pieces = Pieces()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="compress", daemon=True)

    def __enter__(self) -> "Compressing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """What the source gives. Raises: what the source raises; Unavailable when the blob cannot be written."""
        piece = self._source.read(size)
        if piece:
            self._pieces.put(piece)
        else:
            self._pieces.end()
        return piece

    def finish(self) -> None:
        """Wait until all that was read, to its end, is in the blob. Raises: Unavailable when it cannot be written."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while piece := self._pieces.take():
                self._writer.write(self._compressor.compress(piece))
            if not self._pieces.closed:
                self._writer.write(self._compressor.flush())
        except Exception as error:  # noqa: BLE001  it is raised in the reader's thread
            self._error = error
            self._pieces.close(error)
