"""A stream of a container over a websocket, each direction in binary messages.

Unlike with attach by upgrade, the bytes pass through this process: a monitor knows no websockets, and gets one end of
a socket pair. What is read from either side has been written to the other before more is read, so neither can fill
memory. The stream ends with the connection, with the container, or with this process.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from cais.api.connection import connection_of
from cais.errors import Forbidden

_log = logging.getLogger("cais.api.websocket")

MAX_MESSAGE_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 64 * 1024
_CLOSE_SECONDS: Final = 5.0


async def serve(request: web.Request, attach: Callable[[socket.socket], Awaitable[None]]) -> web.WebSocketResponse:
    """Answers a request with a websocket on the stream that `attach` serves on the socket that it is given.

    Raises Forbidden for a page of another origin, which a browser would let connect; web.HTTPBadRequest for a request
    that is not one for a websocket.
    """
    _check_origin(request)
    websocket = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS, autoclose=False, max_msg_size=MAX_MESSAGE_BYTES, compress=False
    )
    with connection_of(request).cancelled_when_stopped():
        await websocket.prepare(request)
        near, far = socket.socketpair()
        for item in (near, far):
            item.setblocking(False)
        tasks = [
            asyncio.ensure_future(attach(far)),
            asyncio.ensure_future(_receive(websocket, near)),
            asyncio.ensure_future(_send(near, websocket)),
        ]
        try:
            await asyncio.wait(tasks[1:], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks[1:]:
                task.cancel()
            near.close()  # by which `attach` ends too
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, OSError):
                    _log.error("%s: %r", request.path, result)
        with contextlib.suppress(ConnectionError):
            await websocket.close()
    return websocket


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin", "")
    if origin and urlsplit(origin).netloc != request.headers.get("Host", ""):
        raise Forbidden("websocket connections from pages of another origin are not allowed")


async def _receive(websocket: web.WebSocketResponse, stream: socket.socket) -> None:
    """Writes what the client sends to the stream, until the client says no more."""
    loop = asyncio.get_running_loop()
    while (message := await websocket.receive()).type in {WSMsgType.BINARY, WSMsgType.TEXT}:
        data = message.data.encode() if message.type is WSMsgType.TEXT else message.data
        with contextlib.suppress(OSError):  # a process that takes no input goes on writing
            await loop.sock_sendall(stream, data)


async def _send(stream: socket.socket, websocket: web.WebSocketResponse) -> None:
    """Sends the client what the stream gives, to its end."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await loop.sock_recv(stream, _READ_BYTES):
            await websocket.send_bytes(data)
