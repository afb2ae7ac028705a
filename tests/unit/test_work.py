"""Blocking work beside the event loop."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from cais.engine import work
from cais.engine.work import Pipe, Stopped, ahead, run_blocking, run_with_body, to_the_end
from cais.errors import InvalidArgument, Unavailable


async def pieces(*data: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece
        await asyncio.sleep(0)
    if then is not None:
        raise then


def read_all(pipe: Pipe) -> bytes:
    got = b""
    while piece := pipe.read(1000):
        assert len(piece) <= 1000
        got += piece
    return got


async def test_work_gives_its_result_or_its_error() -> None:
    assert await run_blocking(lambda: 7, lambda: None) == 7

    def fail() -> None:
        raise InvalidArgument("mine")

    with pytest.raises(InvalidArgument, match="mine"):
        await run_blocking(fail, lambda: None)


async def test_the_loop_is_free_while_work_goes_on() -> None:
    task = asyncio.create_task(run_blocking(lambda: time.sleep(0.2), lambda: None))
    await asyncio.sleep(0.01)
    assert not task.done()
    await task


async def test_cancelled_work_is_interrupted_and_has_ended_before_the_cancellation_goes_on() -> None:
    interrupted, ended = threading.Event(), []

    def busy() -> None:
        interrupted.wait(10)
        time.sleep(0.05)
        ended.append(True)

    task = asyncio.create_task(run_blocking(busy, interrupted.set))
    await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_what_goes_to_the_end_is_not_cut_short_by_a_cancellation() -> None:
    done = []

    async def commit() -> None:
        await asyncio.sleep(0.05)
        done.append(True)

    task = asyncio.create_task(to_the_end(commit()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_body_is_read_in_a_thread() -> None:
    body = [bytes([number % 256]) * (number * 37 % 5000) for number in range(200)]
    assert await run_with_body(pieces(*body), read_all) == b"".join(body)
    assert await run_with_body(pieces(), read_all) == b""


async def test_a_body_that_breaks_off_is_an_error_for_the_reader() -> None:
    with pytest.raises(Unavailable, match="read the request's body: cut"):
        await run_with_body(pieces(b"x" * 5000, then=ConnectionError("cut")), read_all)


async def test_a_body_that_nobody_reads_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PIPE_BYTES", 1000)
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"x" * 100

    def refuse(pipe: Pipe) -> None:
        pipe.read(10)
        time.sleep(0.05)
        raise InvalidArgument("enough")

    with pytest.raises(InvalidArgument, match="enough"):
        await run_with_body(body(), refuse)
    assert given < 30


async def test_cancelling_ends_work_that_waits_for_a_stalled_body() -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    failures: list[BaseException] = []

    def read(pipe: Pipe) -> None:
        try:
            read_all(pipe)
        except Stopped as error:
            failures.append(error)
            raise

    task = asyncio.create_task(run_with_body(stalled(), read))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(failures) == 1


async def test_pieces_are_made_ahead_and_by_nobody_any_more_at_the_end() -> None:
    began = threading.Event()
    may_go_on = threading.Event()
    closed = threading.Event()

    def slow() -> Generator[bytes, None, None]:
        try:
            yield b"first"
            began.set()
            may_go_on.wait(10)
            yield b"second"
        finally:
            closed.set()

    assert [piece async for piece in ahead(iter([b"a", b"b", b"", b"c"]))] == [b"a", b"b"]
    source = slow()
    taking = ahead(source)
    assert await anext(taking) == b"first"
    assert await asyncio.to_thread(began.wait, 10)  # the second is being made
    closing = asyncio.create_task(taking.aclose())
    await asyncio.sleep(0.05)
    assert not closing.done()
    may_go_on.set()
    await closing
    source.close()  # it would raise ValueError if a thread were in it
    assert closed.is_set()


async def test_an_error_of_a_piece_comes_in_its_turn() -> None:
    def failing() -> Iterator[bytes]:
        yield b"good"
        raise InvalidArgument("bad")

    got = []
    with pytest.raises(InvalidArgument, match="bad"):
        async for piece in ahead(failing()):
            got.append(piece)
    assert got == [b"good"]
