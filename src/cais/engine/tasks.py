"""Background tasks of the engine: held, named, and ended with it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger("cais.engine")


class Tasks:
    """A set of running tasks. A task that fails is logged, since nobody awaits it."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Runs `work` on its own; after `close` it is dropped instead."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def settle(self, timeout_seconds: float = 5.0) -> None:
        """Waits for what runs now to end, for a while."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=timeout_seconds)

    async def close(self, timeout_seconds: float = 5.0) -> None:
        """Waits for the tasks to end, cancels those that have not by then, and waits for these too."""
        self._closed = True
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)
