"""Work that a cancellation does not divide."""

import asyncio

import pytest

from cais.library.tasks import insist, whole


async def test_what_is_insisted_on_is_done_before_the_cancellation_is_raised() -> None:
    done: list[str] = []

    async def work() -> int:
        await asyncio.sleep(0.05)
        done.append("work")
        return 7

    assert await insist(work()) == 7
    task = asyncio.create_task(insist(work()))
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["work", "work"]


async def test_its_error_is_raised_and_a_cancellation_comes_first() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.02)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await insist(fail())
    task = asyncio.create_task(insist(fail()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_made_during_a_cancellation_is_undone(fails: bool) -> None:
    undone: list[str] = []

    async def make() -> str:
        await asyncio.sleep(0.02)
        if fails:
            raise KeyError("not made")
        return "made"

    async def undo(thing: str) -> None:
        await asyncio.sleep(0.02)
        undone.append(thing)

    task = asyncio.create_task(whole(make(), undo))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undone == ([] if fails else ["made"])
    if not fails:
        assert await whole(make(), undo) == "made"
        assert undone == ["made"]
