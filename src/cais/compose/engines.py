"""Connections to one engine for many threads: each request has one for itself, and leaves it for the next."""

from __future__ import annotations

from _thread import allocate_lock  # `threading` takes longer to import than most commands to run

from cais.client.codec import loads
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from cais.client.engine import Engine, Pending, Query
    from cais.client.http import Response

_AT_ONCE = 32  # requests that wait for their answers, each with a descriptor


class Engines:
    """A pool over the engine that the command talks to. Raises what `Engine` raises."""

    rehearses = False  # nothing is to be changed: what is not one of the methods below asks for itself

    def __init__(self, engine: Engine, most: int = 0) -> None:
        """`most` requests are made at once, where that is not 0."""
        self.main = engine
        self._slots = _slots(most) if most else None
        self._idle: list[Engine] = [engine]
        self._lock = allocate_lock()

    def one(self) -> Lent:
        """A context: a client that nobody else uses meanwhile."""
        return Lent(self)

    def take(self) -> Engine:
        """A client, waited for where too many are in use; to be given back."""
        if self._slots is not None:
            self._slots.acquire()
        with self._lock:
            engine = self._idle.pop() if self._idle else None
        return engine or self.main.aside()

    def give_back(self, engine: Engine) -> None:
        with self._lock:
            self._idle.append(engine)
        if self._slots is not None:
            self._slots.release()

    def get(self, path: str, query: Query | None = None) -> Any:
        with self.one() as engine:
            return engine.fetch("GET", path, query)

    def find(self, path: str) -> Any:
        """What is at a path, None where nothing is (404)."""
        with self.one() as engine:
            return _found(lambda: engine.call("GET", path))

    def find_each(self, paths: Sequence[str]) -> list[Any]:
        """The same for several paths, which are asked for at once, and without threads."""
        if self._slots is not None or len(paths) < 2:
            return [self.find(path) for path in paths]
        found: list[Any] = []
        for at in range(0, len(paths), _AT_ONCE):
            asked: list[Pending] = []
            try:
                for path in paths[at : at + _AT_ONCE]:
                    asked.append(self.main.separately("GET", path))
                found += [_found(one.response) for one in asked]
            finally:
                for one in asked:
                    one.connection.close()
        return found

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


class Lent:
    """A client of the pool, for as long as the context lasts."""

    __slots__ = ("_engine", "_engines")

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def __enter__(self) -> Engine:
        self._engine = self._engines.take()
        return self._engine

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            self._engine.close()  # something may be left unread
        self._engines.give_back(self._engine)


def _found(ask: Callable[[], Response]) -> Any:
    try:
        return loads(ask().read())
    except EngineError as error:
        if error.status != 404:
            raise
        return None


def _slots(most: int) -> threading.Semaphore:
    import threading  # noqa: PLC0415 -- few ask for a limit

    return threading.Semaphore(most)
