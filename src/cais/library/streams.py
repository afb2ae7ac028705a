"""The streams of a container or of a command in it: its output divided in two, and its input."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from cais.client.frames import STDERR, SYSTEM_ERROR, Demultiplexer
from cais.errors import Internal
from cais.library.errors import CommandTimeout
from cais.library.model import Output, Result
from cais.library.transport import BLOCK_BYTES, Answer


async def outputs(blocks: AsyncIterator[bytes], *, multiplexed: bool) -> AsyncGenerator[Output, None]:
    """Blocks of a stream of output, as pieces of the two. Raises Internal for an error reported in it."""
    frames = Demultiplexer() if multiplexed else None
    async for block in blocks:
        if frames is None:
            yield Output("stdout", block)
            continue
        for stream, data in frames.feed(block):
            if stream == SYSTEM_ERROR:
                raise Internal(data.decode("utf-8", "replace"))
            yield Output("stderr" if stream == STDERR else "stdout", data)


class Attached:
    """The streams of something that runs. Iterating gives its output until its end."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._is_closed = False
        self._outputs = outputs(self._blocks(), multiplexed=answer.is_multiplexed)

    def __aiter__(self) -> AsyncIterator[Output]:
        return self._outputs

    async def write(self, data: bytes) -> None:
        """Send input. Raises BrokenPipeError when nobody reads it any more, and after `write_eof`."""
        if self._is_closed:
            raise BrokenPipeError("the input is closed")
        try:
            self._answer.writer.write(data)
            await self._answer.writer.drain()
        except ConnectionError as error:
            raise BrokenPipeError("the input is closed") from error

    async def write_eof(self) -> None:
        """Say that there is no more input."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._answer.writer.write_eof()

    async def _blocks(self) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                data = await self._answer.reader.read(BLOCK_BYTES)
            except ConnectionError:
                return
            if not data:
                return
            yield data


class Collector:
    """Gathers the output of a command while its input is sent."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[bytes]] = {"stdout": [], "stderr": []}

    async def communicate(self, streams: Attached, data: bytes | None) -> None:
        """Send `data` and its end, if there is any, and read all the output."""
        sending = asyncio.create_task(_feed(streams, data)) if data is not None else None
        try:
            async for piece in streams:
                self._pieces[piece.stream].append(piece.data)
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def result(self, exit_code: int) -> Result:
        return Result(exit_code, *self._joined())

    def timeout(self, what: str, seconds: float) -> CommandTimeout:
        return CommandTimeout(what, seconds, *self._joined())

    def _joined(self) -> tuple[bytes, bytes]:
        return b"".join(self._pieces["stdout"]), b"".join(self._pieces["stderr"])


async def _feed(streams: Attached, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has ended, or does not want it
        for start in range(0, len(data), BLOCK_BYTES):
            await streams.write(data[start : start + BLOCK_BYTES])
    await streams.write_eof()
