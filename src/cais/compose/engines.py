"""Connections to one engine for many threads: each request has one for itself, and leaves it for the next."""

from __future__ import annotations

import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from cais.client.engine import Engine, Query


class Engines:
    """A pool over the engine that the command talks to. Raises what `Engine` raises."""

    def __init__(self, engine: Engine, most: int = 0) -> None:
        """`most` requests are made at once, where that is not 0."""
        self.main = engine
        self._slots = threading.Semaphore(most) if most else None
        self._idle: list[Engine] = [engine]
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Engine]:
        """A client that nobody else uses meanwhile."""
        if self._slots is None:
            with self._lent() as engine:
                yield engine
            return
        with self._slots, self._lent() as engine:
            yield engine

    @contextmanager
    def _lent(self) -> Iterator[Engine]:
        with self._lock:
            engine = self._idle.pop() if self._idle else None
        if engine is None:
            engine = self.main.aside()
        try:
            yield engine
        except BaseException:
            engine.close()  # something may be left unread
            raise
        finally:
            with self._lock:
                self._idle.append(engine)

    def get(self, path: str, query: Query | None = None) -> Any:
        with self.one() as engine:
            return engine.fetch("GET", path, query)

    def post(
        self, path: str, query: Query | None = None, content: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        with self.one() as engine:
            return engine.fetch("POST", path, query, content, headers=headers)

    def delete(self, path: str, query: Query | None = None) -> Any:
        with self.one() as engine:
            return engine.fetch("DELETE", path, query)

    def version(self) -> tuple[int, int]:
        """Of the API that is spoken; known after the first request."""
        major, _, minor = self.main.version.partition(".")
        return int(major), int(minor)
