"""Blocking work beside the event loop: in threads that can be stopped, fed by what arrives in the loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from cais.errors import CaisError, Unavailable

T = TypeVar("T")

PIPE_BYTES: Final = 4 << 20


async def run_blocking(work: Callable[[], T], interrupt: Callable[[], None]) -> T:
    """Run `work` in a thread of its own and return what it returns.

    When the caller is cancelled, `interrupt` is called, and the thread has ended before the cancellation goes on:
    what `work` was doing is undone by then. A thread of its own, since clients that stall must not use up a pool.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(set_result: Callable[[], None]) -> None:
        if not done.cancelled():
            set_result()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  it is raised by the future
            failure = error
            loop.call_soon_threadsafe(settle, lambda: done.set_exception(failure))
        else:
            loop.call_soon_threadsafe(settle, lambda: done.set_result(result))

    threading.Thread(target=run, name="work", daemon=True).start()
    return await _await_even_cancelled(done, interrupt)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`, which goes on to its end when the caller is cancelled; the cancellation follows then."""
    return await _await_even_cancelled(asyncio.ensure_future(work), lambda: None)


async def ahead(pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The pieces up to the first empty one, each made in a thread while the one before is on its way.

    No thread is at work on them any more when this is closed.
    """
    making = asyncio.ensure_future(asyncio.to_thread(next, pieces, b""))
    try:
        while piece := await asyncio.shield(making):
            making = asyncio.ensure_future(asyncio.to_thread(next, pieces, b""))
            yield piece
    finally:
        await to_the_end(_settled(making))


async def _settled(work: "asyncio.Future[bytes]") -> None:
    await asyncio.wait({work})
    work.exception()  # seen: who would have got it is gone, or has got it


async def _await_even_cancelled(done: "asyncio.Future[T]", interrupt: Callable[[], None]) -> T:
    try:
        await asyncio.wait({done})
    except asyncio.CancelledError:
        interrupt()
        while not done.done():
            try:
                await asyncio.wait({done})
            except asyncio.CancelledError:
                continue
        if not done.cancelled():
            done.exception()  # seen: the caller gets the cancellation
        raise
    return done.result()


class Stopped(Exception):
    """The work was stopped by who had asked for it."""


class Pipe:
    """Bytes that arrive in the event loop, for a thread to read: at most `PIPE_BYTES` wait in between."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._length = 0
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None

    async def fill(self, body: AsyncIterator[bytes]) -> None:
        """Pass on all of `body`. An error of `body` is passed on too: as it is, or as Unavailable."""
        try:
            async for piece in body:
                if piece and not await self._write(piece):
                    return
        except asyncio.CancelledError:
            self.abort()
            raise
        except CaisError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001  whatever a connection breaks with; the reader tells it
            self._end(Unavailable(f"read the request's body: {str(error) or 'connection lost'}"))
        else:
            self._end(None)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end. Blocks, in a thread. Raises: Stopped after `abort`."""
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if self._error is not None:
                raise self._error
            if not self._pieces:
                return b""
            taken = [self._pieces.popleft()]
            length = len(taken[0])
            while self._pieces and length + len(self._pieces[0]) <= size:
                taken.append(self._pieces.popleft())
                length += len(taken[-1])
            if length > size:
                self._pieces.appendleft(taken[0][size:])
                taken[0] = taken[0][:size]
                length = size
            self._length -= length
        self._wake_writer()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def abort(self) -> None:
        """End it for both sides: a read that waits, and every later one, raises. From any thread."""
        self._end(Stopped())
        self._wake_writer()

    async def _write(self, piece: bytes) -> bool:
        """Pass on a piece, when there is room; False when nobody reads any more."""
        with self._changed:
            if self._ended:
                return False
            self._pieces.append(piece)
            self._length += len(piece)
            full = self._length >= PIPE_BYTES
            if full:
                self._room.clear()
            self._changed.notify()
        if full:
            await self._room.wait()
        return True

    def _end(self, error: Exception | None) -> None:
        with self._changed:
            if not self._ended or error is not None:
                self._error = self._error or error
                self._ended = True
            self._changed.notify_all()

    def _wake_writer(self) -> None:
        if self._length < PIPE_BYTES:
            self._loop.call_soon_threadsafe(self._room.set)


async def run_with_body(body: AsyncIterator[bytes], work: Callable[[Pipe], T]) -> T:
    """Run `work` in a thread with a pipe that it reads `body` from. It ends when `work` does."""
    pipe = Pipe()
    feeding = asyncio.ensure_future(pipe.fill(body))
    try:
        return await run_blocking(lambda: work(pipe), pipe.abort)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
