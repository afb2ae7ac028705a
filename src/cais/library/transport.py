"""The Engine API's HTTP for asyncio: one connection a request.

So any number of requests can be under way at once, a request that is cancelled disturbs no other, and what the
engine does for its client alone ends with the connection.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from cais.client.codec import dumps, loads
from cais.client.engine import API_VERSION
from cais.client.http import Endpoint, target
from cais.client.streams import Dechunker
from cais.errors import Forbidden, InvalidArgument, Unavailable, Unsupported
from cais.library.errors import Lost, error_for

BLOCK_BYTES: Final = 1 << 16
_MOST_HEAD_BYTES: Final = 1 << 20

Body = bytes | AsyncIterable[bytes]


class Answer:
    """The head of an answer; its body is read as it comes. An upgraded connection is used by `reader` and `writer`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.status = status
        self.headers = headers

    @property
    def is_multiplexed(self) -> bool:
        """Whether the body is a stream of frames, which tells standard output from standard error."""
        return self.headers.get("content-type", "").endswith("multiplexed-stream")

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces. Raises Lost when it breaks off."""
        chunks = Dechunker() if self.headers.get("transfer-encoding", "").lower() == "chunked" else None
        left = int(self.headers.get("content-length", "-1")) if chunks is None else -1
        if self.status in {204, 304}:
            left = 0
        while left and not (chunks is not None and chunks.ended):
            data = await self._read()
            if not data:
                if left < 0 and chunks is None:
                    return
                raise Lost
            left -= len(data) if left > 0 else 0
            if content := chunks.feed(data) if chunks is not None else data:
                yield content

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([block async for block in self.blocks()])

    async def json_lines(self) -> AsyncGenerator[Any, None]:
        """The values of a body that is a stream of JSON, one a line."""
        rest = b""
        async for block in self.blocks():
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                if line.strip():
                    yield loads(line)
        if rest.strip():
            yield loads(rest)

    async def _read(self) -> bytes:
        try:
            return await self.reader.read(BLOCK_BYTES)
        except ConnectionError:
            return b""


class Transport:
    """Requests to the engine at an address."""

    def __init__(self, url: str, find: Callable[[], Awaitable[None]] | None = None) -> None:
        """`find` is called when nobody listens at the address; it returns when somebody does, or raises.

        Raises InvalidArgument for an address of unknown form, Unsupported for one behind ssh.
        """
        try:
            self._endpoint = Endpoint(url)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        if self._endpoint.is_remote:
            raise Unsupported(f"cannot reach {url!r}: the library speaks to unix:// and tcp:// addresses alone")
        self.url = url
        self._find = find

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        content: object = None,
        body: Body = b"",
        upgrade: bool = False,
    ) -> AsyncIterator[Answer]:
        """Send a request; the answer can be read inside the context. `content` goes as JSON.

        Raises the error that the engine answers with, Unavailable, and Lost.
        """
        headers = {"Host": "localhost", "User-Agent": "cais"}
        if content is not None:
            headers["Content-Type"], body = "application/json", dumps(content)
        elif body:
            headers["Content-Type"] = "application/x-tar"
        if upgrade:
            headers |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        else:
            headers["Transfer-Encoding"] = "chunked"
        lines = [f"{method} {target(f'/v{API_VERSION}{path}', query)} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        reader, writer = await self._connect()
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            await _send(writer, body)
            answer = await _receive(reader, writer)
            if answer.status >= 400:
                raise error_for(answer.status, _message(await answer.read()))
            yield answer
        finally:
            writer.transport.abort()

    async def fetch(
        self, method: str, path: str, query: Mapping[str, str] | None = None, *, content: object = None
    ) -> Any:
        """The JSON that a request is answered with; None for an empty answer."""
        async with self.request(method, path, query, content=content) as answer:
            data = await answer.read()
        return loads(data) if data else None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await self._open()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if self._find is None:
                raise self._unreachable(error) from error
        except OSError as error:
            raise self._unreachable(error) from error
        await self._find()
        try:
            return await self._open()
        except OSError as error:
            raise self._unreachable(error) from error

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        end = self._endpoint
        if end.is_unix:
            return await asyncio.open_unix_connection(end.host, limit=_MOST_HEAD_BYTES)
        return await asyncio.open_connection(end.host, end.port, limit=_MOST_HEAD_BYTES)

    def _unreachable(self, error: OSError) -> Forbidden | Unavailable:
        if isinstance(error, PermissionError):
            return Forbidden(f"permission denied while trying to connect to the engine at {self.url}")
        return Unavailable(f"cannot connect to the engine at {self.url}: {os.strerror(error.errno or 0)}")


async def _send(writer: asyncio.StreamWriter, body: Body) -> None:
    """Send a body. One that is refused before its end is not sent to the end: the answer says why."""
    try:
        if isinstance(body, bytes):
            writer.write(body)
            await writer.drain()
            return
        async for block in body:
            if block:
                writer.write(b"%x\r\n" % len(block) + block + b"\r\n")
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    except ConnectionError:
        return


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Lost from None
    except asyncio.LimitOverrunError:
        raise Unavailable("the head of an answer does not end") from None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise Unavailable(f"this is not the answer of an engine: {first[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return Answer(reader, writer, int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs})


def _message(body: bytes) -> str:
    try:
        value = loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return str(value["message"])
    return body.decode("utf-8", "replace").strip() or "the engine gave no reason"
