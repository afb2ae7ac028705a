"""Turning the connection of a request into a raw stream, as Docker's attach and exec do.

The HTTP head is written here; from then on the socket belongs to the caller, and aiohttp never touches it
again: its own descriptor is closed without shutting the socket down.
"""

import asyncio
import contextlib
import os
import socket
from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from cais.api.connection import connection_of
from cais.api.http import api_version
from cais.engine.tasks import Tasks

RAW: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
_RELAY_BYTES: Final = 64 * 1024


class Hijacked(web.StreamResponse):
    """What a handler returns when its connection is not HTTP any more: nothing is written."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.force_close()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def content_type(request: web.Request, terminal: bool) -> str:
    """The content type of a stream: multiplexed without a terminal, for clients that know the word."""
    return RAW if terminal or api_version(request) < (1, 42) else MULTIPLEXED


def hijack(request: web.Request, kind: str, tasks: Tasks) -> socket.socket:
    """Writes the head of the answer and returns the connection's socket, which the caller owns.

    Raises ConnectionResetError when the client is gone. Nothing is awaited in between: what the caller does next
    happens before any other request is handled.
    """
    connection, transport = connection_of(request), request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    with contextlib.suppress(RuntimeError):  # it may be paused already
        transport.pause_reading()
    early = connection.take()
    raw = transport.get_extra_info("socket")
    taken = socket.socket(fileno=os.dup(raw.fileno()))
    try:
        taken.setblocking(False)
        taken.sendall(_head(request, kind))
        transport.abort()
        return _with_early_input(taken, early, tasks) if early else taken
    except BaseException as error:
        taken.close()
        transport.abort()
        if isinstance(error, OSError):
            raise ConnectionResetError("the client is gone") from error
        raise


def _head(request: web.Request, kind: str) -> bytes:
    if "upgrade" in request.headers.get("Connection", "").lower() and request.headers.get("Upgrade"):
        lines = ["HTTP/1.1 101 UPGRADED", f"Content-Type: {kind}", "Connection: Upgrade", "Upgrade: tcp"]
    else:
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}"]
    return "\r\n".join([*lines, "", ""]).encode()


def _with_early_input(client: socket.socket, early: bytes, tasks: Tasks) -> socket.socket:
    """A socket that first gives what the client has sent already.

    Bytes that were read can't be put back into a socket, so this rare client is served through a pair of sockets.
    """
    near, far = socket.socketpair()
    for item in (near, far):
        item.setblocking(False)
    tasks.start(_relay(client, near, early), "relay a client's early input")
    return far


async def _relay(client: socket.socket, stream: socket.socket, early: bytes) -> None:
    with client, stream:
        await asyncio.gather(_copy(client, stream, early), _copy(stream, client, b""))


async def _copy(source: socket.socket, target: socket.socket, first: bytes) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        data = first or await loop.sock_recv(source, _RELAY_BYTES)
        while data:
            await loop.sock_sendall(target, data)
            data = await loop.sock_recv(source, _RELAY_BYTES)
        target.shutdown(socket.SHUT_WR)
