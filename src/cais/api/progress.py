"""Answers that tell how an operation goes on: JSON objects, one a line, while it lasts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from aiohttp import web

from cais.api.connection import connection_of
from cais.api.http import JSON_TYPE, encode
from cais.engine.progress import Progress
from cais.errors import CaisError

_log = logging.getLogger("cais.api")

Json = dict[str, Any]

T = TypeVar("T")


async def progress_answer(
    request: web.Request,
    work: Callable[[Callable[[Progress | bytes], None]], Awaitable[T]],
    conclusion: Callable[[T], Iterable[Progress | bytes]] = lambda _: (),
    *,
    errors_are_told: bool = False,
) -> web.StreamResponse:
    """Do the work, and tell what it reports, then its conclusion. Bytes are whole lines already.

    An error before the first report is an ordinary one, unless `errors_are_told`; later it is the last line of an
    answer that began as a success, as in Docker. The work is cancelled when the client hangs up.
    """
    messages: asyncio.Queue[Progress | bytes | None] = asyncio.Queue()
    response = web.StreamResponse(headers={"Content-Type": JSON_TYPE})

    async def run() -> T:
        try:
            return await work(messages.put_nowait)
        finally:
            messages.put_nowait(None)

    with connection_of(request).cancelled_when_lost():
        task = asyncio.create_task(run(), name=f"{request.method} {request.path}")
        try:
            while (message := await messages.get()) is not None:
                await _write(request, response, _with_waiting(message, messages))
            await _write(request, response, map(_line, conclusion(await task)))
        except CaisError as error:
            if not response.prepared and not errors_are_told:
                raise
            await _write(request, response, [error_line(error.message, getattr(error, "exit_code", 0))])
        except Exception as error:
            if not response.prepared or isinstance(error, ConnectionError):
                raise
            _log.exception("%s %s failed", request.method, request.path)
            await _write(request, response, [error_line(f"{type(error).__name__}: {error}")])
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await response.write_eof()
    return response


async def _write(request: web.Request, response: web.StreamResponse, lines: Iterable[bytes]) -> None:
    if not response.prepared:
        await response.prepare(request)
    data = b"".join(lines)
    if data:
        await response.write(data)


def _with_waiting(first: Progress | bytes, messages: "asyncio.Queue[Progress | bytes | None]") -> list[bytes]:
    """A message and those behind it that are there already, but for the one that ends them."""
    lines = [_line(first)]
    while not messages.empty():
        message = messages.get_nowait()
        if message is None:
            messages.put_nowait(None)
            break
        lines.append(_line(message))
    return lines


def _line(message: Progress | bytes) -> bytes:
    """A message in Docker's form."""
    if isinstance(message, bytes):
        return message
    if message.stream:
        return _encode({"stream": message.stream})
    if message.aux is not None:
        return _encode({"progressDetail": {}, "aux": message.aux})
    line: Json = {"status": message.status}
    if message.id:
        detail = {"current": message.current, "total": message.total} if message.current else {}
        line |= {"progressDetail": detail, "id": message.id}
    return _encode(line)


def error_line(message: str, code: int = 0) -> bytes:
    """What ends an answer that has begun as a success. code: an exit code that says more than the text."""
    detail: Json = {"code": code, "message": message} if code else {"message": message}
    return _encode({"errorDetail": detail, "error": message})


def _encode(value: Json) -> bytes:
    """JSON in a line of its own, which ends as Docker's lines of progress do."""
    return encode(value)[:-1] + b"\r\n"
