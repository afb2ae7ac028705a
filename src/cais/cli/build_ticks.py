"""Messages with the passing of time between them."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_SECONDS = 0.1


def with_ticks(source: Iterator[T], tick: Callable[[], None]) -> Iterator[T]:
    """What a source gives; `tick` is called after each, and ten times a second while nothing comes.

    What the source raises is raised here.
    """
    arrived: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for item in source:
                arrived.put((item,))
        except BaseException as error:  # noqa: BLE001 -- it is raised in the other thread
            arrived.put(error)
        else:
            arrived.put(None)

    threading.Thread(target=read, name="build", daemon=True).start()
    while True:
        try:
            item = arrived.get(timeout=_SECONDS)
        except queue.Empty:
            tick()
            continue
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item[0]
        tick()
