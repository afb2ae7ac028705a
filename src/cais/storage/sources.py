"""What stands between where bytes come from and who reads them."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from cais.storage.tarstream import Source

_MOST: Final = 8


class Tee:
    """A source that shows each piece that is read from it, the empty one at the end too, to somebody else."""

    def __init__(self, source: Source, show: Callable[[bytes], object]) -> None:
        self._source = source
        self._show = show

    def read(self, size: int, /) -> bytes:
        """What the source gives. Raises: what the source raises, and what `show` does."""
        piece = self._source.read(size)
        self._show(piece)
        return piece


class Pieces:
    """Pieces of bytes on their way from one thread to another; a few wait in between.

    ended: nothing more is put in. closed: nothing more is taken out.
    """

    def __init__(self) -> None:
        self.ended = False
        self.closed = False
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def put(self, piece: bytes) -> bool:
        """Pass a piece on, when there is room; False when closed. Raises: the error that it was closed with."""
        with self._changed:
            while len(self._waiting) >= _MOST and not self.closed:
                self._changed.wait()
            if not self.closed:
                self._waiting.append(piece)
                self._changed.notify_all()
            elif self._error is not None:
                raise self._error
            return not self.closed

    def take(self) -> bytes:
        """The next piece, when there is one; nothing at the end, or when closed.

        Raises: the error that it ended with, after the pieces before it.
        """
        with self._changed:
            while not (self._waiting or self.ended or self.closed):
                self._changed.wait()
            if self._waiting:
                self._changed.notify_all()
                return self._waiting.popleft()
            if self._error is not None:
                raise self._error
            return b""

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; `error` is why, and for the side that takes."""
        with self._changed:
            self._error = self._error or error
            self.ended = True
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing is wanted any more, what waits included; `error` is why, and for the side that puts."""
        with self._changed:
            self._error = self._error or error
            self.closed = True
            self._waiting.clear()
            self._changed.notify_all()


class Aside:
    """A source that shows each piece to somebody else, in a thread of its own.

    Use as a context manager; all has been shown after `finish`. Pieces wait in memory when the thread is slower than
    the reader, eight at most.
    """

    def __init__(self, source: Source, show: Callable[[bytes], object]) -> None:
        self._source = source
        self._show = show
        self._pieces = Pieces()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="aside", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        self._thread.join()

    def read(self, size: int, /) -> bytes:
        """What the source gives. Raises: what the source raises, and what `show` has raised."""
        piece = self._source.read(size)
        if piece:
            self._pieces.put(piece)
        else:
            self._pieces.end()
        return piece

    def finish(self) -> None:
        """Wait until all that was read, to its end, was shown. Raises: what `show` has raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while piece := self._pieces.take():
                self._show(piece)
        except Exception as error:  # noqa: BLE001  it is raised in the reader's thread
            self._error = error
            self._pieces.close(error)
