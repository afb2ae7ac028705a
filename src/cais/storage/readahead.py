"""Reading ahead in a thread, so that receiving, decompressing and hashing overlap with unpacking."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from cais.storage.tarstream import Source

PIECE_BYTES: Final = 1 << 18
_PIECES: Final = 8


class ReadAhead:
    """A source whose bytes are fetched from another one in a thread of its own, a few pieces ahead.

    What the other source raises is raised by `read`, after the bytes before it. Use as a context manager;
    leaving it waits for the thread, and calls `interrupt` before where the source may be waiting for more.
    """

    def __init__(self, source: Source, interrupt: Callable[[], None] | None = None) -> None:
        self._source = source
        self._interrupt = interrupt
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> "ReadAhead":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._pieces.clear()
            self._changed.notify_all()
            ended = self._ended
        if self._interrupt is not None and not ended:
            self._interrupt()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end."""
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if not self._pieces:
                if self._error is not None:
                    raise self._error
                return b""
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self._changed.notify_all()
        return piece

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while piece := self._source.read(PIECE_BYTES):
                with self._changed:
                    self._pieces.append(piece)
                    self._changed.notify_all()
                    while len(self._pieces) >= _PIECES and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
        except BaseException as caught:  # noqa: BLE001  it is raised in the reader's thread
            error = caught
        with self._changed:
            self._error = error
            self._ended = True
            self._changed.notify_all()
