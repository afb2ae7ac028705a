"""One client's connection, in front of aiohttp's protocol.

Attach and exec turn a connection into a raw stream. What a client sends behind such a request, even in the same
segment, belongs to the stream and not to the HTTP parser: it is held back here until the handler either
takes the connection (`hijack`) or answers in HTTP. It also tells a handler when its client is gone.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

MAX_HEAD_BYTES: Final = 256 * 1024
_MAX_HELD_BYTES: Final = 64 * 1024

_HIJACKABLE: Final = re.compile(
    rb"POST \S*/(?:containers/[^/\s]+/attach|exec/[^/\s]+/start)(?:\?\S*)? HTTP/1\.[01]\r\n"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """Passes everything on to `inner`, but for what follows a request that may become a stream."""

    def __init__(self, inner: asyncio.Protocol, register: "set[Connection]") -> None:
        self._inner = inner
        self._register = register
        self._transport: asyncio.Transport | None = None
        self._at_boundary = True
        self._collected = b""
        self._holding = False
        self._held = b""
        self._taken = False
        self._waiting: set[asyncio.Task[object]] = set()
        self._stopping: set[asyncio.Task[object]] = set()
        self.is_silent = True
        """Nothing has come from the client yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self._register.add(self)
        self._inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._register.discard(self)
        self._inner.connection_lost(error)
        if not self._taken:
            self.cancel_waiting()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def eof_received(self) -> bool:
        """A client that has said all it has to say may still be answered with a stream."""
        self._inner.eof_received()
        return self._holding or bool(self._collected)

    def data_received(self, data: bytes) -> None:
        self.is_silent = False
        if self._holding:
            self._hold(data)
        elif self._collected:
            self._collect(self._collected + data)
        elif self._at_boundary and data.startswith(b"POST ") and _HIJACKABLE.match(data):
            self._collect(data)
        else:
            self._at_boundary = False
            self._inner.data_received(data)

    def take(self) -> bytes:
        """Ends HTTP on this connection; returns what the client has sent behind its request."""
        self._taken = True
        held, self._held = self._held, b""
        return held

    def release(self) -> None:
        """The request was answered in HTTP: what was held back is the next request."""
        self._at_boundary = True
        if self._holding and not self._taken:
            self._holding = False
            held, self._held = self._held, b""
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
                if held:
                    self.data_received(held)

    @contextmanager
    def cancelled_when_lost(self) -> Iterator[None]:
        """Cancels the current task when the client hangs up, or the server stops."""
        with _member(self._waiting):
            yield

    @contextmanager
    def cancelled_when_stopped(self) -> Iterator[None]:
        """Cancels the current task when the server stops; what a client that hangs up has sent is still its to read."""
        with _member(self._stopping):
            yield

    def cancel_waiting(self) -> None:
        """Cancels the tasks that only live for this client."""
        for task in list(self._waiting):
            task.cancel()

    def stop(self) -> None:
        """The server stops: cancels the tasks that would go on for as long as their clients."""
        for task in [*self._waiting, *self._stopping]:
            task.cancel()

    def _collect(self, data: bytes) -> None:
        """Gathers the head and the body of a request that may become a stream, then feeds just these."""
        end = data.find(b"\r\n\r\n")
        if end < 0 and len(data) < MAX_HEAD_BYTES:
            self._collected = data
            return
        head = data[: end + 2]
        length = _LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        self._collected = b""
        self._at_boundary = False
        if end < 0 or _CHUNKED.search(head) or whole > MAX_HEAD_BYTES:
            self._inner.data_received(data)  # too long or of unknown length: it is served, as HTTP
        elif len(data) < whole:
            self._collected = data
        else:
            self._holding = True
            self._inner.data_received(data[:whole])
            if len(data) > whole:
                self._hold(data[whole:])

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= _MAX_HELD_BYTES and self._transport is not None:
            self._transport.pause_reading()


@contextmanager
def _member(tasks: "set[asyncio.Task[object]]") -> Iterator[None]:
    """Has the current task among `tasks`."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not in a task")
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)


def connection_of(request: web.Request) -> Connection:
    """The connection that a request came by. Raises ConnectionResetError when it is gone."""
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    if not isinstance(protocol, Connection):
        raise ConnectionResetError("the client is gone")
    return protocol
