"""Work that a cancellation does not divide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def insist(work: Coroutine[Any, Any, T]) -> T:
    """Does the work to its end. A cancellation meanwhile is raised afterwards; the result is lost then."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.done() and task.cancelled():
                raise
            cancelled = error
        except BaseException:  # noqa: BLE001  the task's own, which its result raises
            break
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()


async def whole(make: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[object]]) -> T:
    """Makes something; when that is cancelled meanwhile, what was made is undone before the cancellation is raised."""
    task = asyncio.create_task(make)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await insist(_undo(task, undo))
        raise


async def _undo(task: asyncio.Task[T], undo: Callable[[T], Awaitable[object]]) -> None:
    await asyncio.wait({task})
    if not task.cancelled() and task.exception() is None:
        await undo(task.result())
