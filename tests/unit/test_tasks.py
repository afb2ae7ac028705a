"""Background tasks of the engine."""

import asyncio
import logging

import pytest

from cais.engine.tasks import Tasks


async def test_to_settle_is_to_wait_for_what_runs_and_not_for_ever() -> None:
    tasks, done = Tasks(), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.02)
        done.set()

    await tasks.settle()
    tasks.start(work(), "work")
    tasks.start(asyncio.sleep(60), "endless")
    await tasks.settle(timeout_seconds=0.2)
    assert done.is_set()
    await tasks.close(timeout_seconds=0)


async def test_after_the_close_nothing_is_begun(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    async def fail() -> None:
        raise KeyError("x")

    with caplog.at_level(logging.ERROR, "cais.engine"):
        tasks.start(fail(), "what fails")
        await tasks.close()
        tasks.start(fail(), "what is dropped")
        await asyncio.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == ["what fails failed"]
