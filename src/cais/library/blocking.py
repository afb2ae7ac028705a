"""The library for programs without an event loop, and for notebooks, whose event loop is theirs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar, Unpack

from cais.library import hosting
from cais.library.engine import Engine
from cais.library.model import Result
from cais.library.options import ContainerOptions, Pull

T = TypeVar("T")


def run(
    image: str,
    command: Sequence[str] | None = None,
    *,
    input: bytes | None = None,
    timeout: float | None = None,
    check: bool = False,
    remove: bool = True,
    pull: Pull = "missing",
    platform: str = "",
    **options: Unpack[ContainerOptions],
) -> Result:
    """Run a command in a new container to its end, and wait for it: `Engine.run` for code that is not asynchronous.

    It may be called from any thread, also from one with an event loop, which stands still meanwhile. An engine that
    this opens stays open, for the next call, until `close` or the end of the process. An interrupted call removes its
    container.
    """

    async def work() -> Result:
        async with Engine() as engine:
            engine.keep()
            return await engine.run(
                image, command, input=input, timeout=timeout, check=check, remove=remove, pull=pull,
                platform=platform, **options,
            )  # fmt: skip

    return _Call(work).result()


def close() -> None:
    """Close the engines that `run` has kept open in this process, unless they are in use. Containers run on."""
    hosting.REGISTER.let_go()


class _Call(Generic[T]):
    """Work in an event loop and a thread of its own."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._began = threading.Event()
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._outcome: list[T] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cais call", daemon=True)

    def result(self) -> T:
        """What the work gives, waited for; an interruption of the wait cancels the work, and waits for that too."""
        self._thread.start()
        try:
            self._ended.wait()  # an interrupted `Thread.join` would take the thread for ended
        except BaseException:
            self._cancel()
            self._ended.wait()
            raise
        finally:
            self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._outcome[0]

    def _cancel(self) -> None:
        self._began.wait()
        if self._loop is not None and self._task is not None:
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:  # the loop has just ended
                return

    def _run(self) -> None:
        try:
            self._outcome.append(asyncio.run(self._main()))
        except BaseException as error:  # noqa: BLE001  the caller's thread raises it
            self._failure = error
        finally:
            self._began.set()
            self._ended.set()

    async def _main(self) -> T:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._began.set()
        return await self._work()
