"""What a long operation tells while it goes on."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cais.distribution.compression import Source
from cais.engine.work import Stopped
from cais.storage.sources import Tee

_INTERVAL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """One message: a status, of the part `id` where there are several; or `stream`, a text for the user as it is.

    current and total are bytes; 0 means unknown. aux: what programs are told, beside the texts.
    """

    status: str = ""
    id: str = ""
    current: int = 0
    total: int = 0
    stream: str = ""
    aux: Mapping[str, str | int] | None = None


Report: TypeAlias = Callable[[Progress], None]
"""Takes a message, in the event loop's thread, at once."""


def silent(_: Progress) -> None:
    """For those who don't want to know."""


def from_thread(report: Report) -> Report:
    """The same report, for calling from any thread."""
    loop = asyncio.get_running_loop()

    def tell(message: Progress) -> None:
        loop.call_soon_threadsafe(report, message)

    return tell


class Meter:
    """Counts the bytes that work in a thread has done, tells how many every now and then, and stops it when asked."""

    def __init__(
        self, report: Report, status: str, part: str, total: int, stopped: threading.Event, *, current: int = 0
    ) -> None:
        self._report = report
        self._status = status
        self._part = part
        self._total = total
        self._stopped = stopped
        self._current = current
        self._next = 0.0

    def add(self, count: int) -> None:
        """Count bytes; from any thread that `report` may be called from. Raises: Stopped."""
        if self._stopped.is_set():
            raise Stopped
        self._current += count
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL_SECONDS
            self.tell()

    def tell(self) -> None:
        """Tell how many there are now."""
        self._report(Progress(self._status, self._part, self._current, self._total))


def metered(source: Source, meter: Meter) -> Source:
    """The source, whose reading is counted and can be stopped."""
    return Tee(source, lambda piece: meter.add(len(piece)))
