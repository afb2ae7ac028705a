"""Reading ahead in a thread, so that receiving, decompressing and hashing overlap with unpacking."""

import threading
from collections.abc import Callable
from typing import Final

from cais.storage.sources import Pieces
from cais.storage.tarstream import Source

PIECE_BYTES: Final = 1 << 18


class ReadAhead:
    """A source whose bytes are fetched from another one in a thread of its own, a few pieces ahead.

    What the other source raises is raised by `read`, after the bytes before it. Use as a context manager;
    leaving it waits for the thread, and calls `interrupt` before where the source may be waiting for more.
    """

    def __init__(self, source: Source, interrupt: Callable[[], None] | None = None) -> None:
        self._source = source
        self._interrupt = interrupt
        self._pieces = Pieces()
        self._rest = b""
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        if self._interrupt is not None and not self._pieces.ended:
            self._interrupt()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end."""
        piece = self._rest or self._pieces.take()
        self._rest = piece[size:]
        return piece[:size]

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while (piece := self._source.read(PIECE_BYTES)) and self._pieces.put(piece):
                pass
        except BaseException as caught:  # noqa: BLE001  it is raised in the reader's thread
            error = caught
        self._pieces.end(error)
