"""Passing on what arrives at a published port and the firewall does not translate: IPv6 to a container without it."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

_log = logging.getLogger("cais.network")

Target = tuple[str, int]

_CHUNK_BYTES: Final = 256 * 1024
_UDP_IDLE_SECONDS: Final = 90.0
_UDP_CLIENTS: Final = 1024


class Proxy(Protocol):
    """Whoever serves a port; the socket is not its own."""

    def close(self) -> None:
        """Serves nobody any more."""


class TcpProxy:
    """Connects whoever connects to `listener` with the target."""

    def __init__(self, listener: socket.socket, target: Target, is_refused: Callable[[str], bool]) -> None:
        self._is_refused = is_refused
        self._listener = listener
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Serves nobody any more; connections are cut."""
        self._loop.remove_reader(self._listener.fileno())
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        try:
            connection, peer = self._listener.accept()
        except OSError:
            return
        if self._is_refused(peer[0]):
            connection.close()
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._serve(connection), name=f"proxy to {self._target[0]}:{self._target[1]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: socket.socket) -> None:
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        with client, socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as server:
            try:
                await self._loop.sock_connect(server, self._target)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._copy(client, server))
                    both.create_task(self._copy(server, client))
            except (OSError, ExceptionGroup) as error:
                _log.debug("connection to %s:%d: %s", *self._target, error)

    async def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, _CHUNK_BYTES):
            await self._loop.sock_sendall(sink, data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class UdpProxy:
    """Passes datagrams on to the target, and back what it answers to each sender."""

    def __init__(self, bound: socket.socket, target: Target, is_refused: Callable[[str], bool]) -> None:
        self._is_refused = is_refused
        self._bound = bound
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._clients: dict[object, tuple[socket.socket, asyncio.TimerHandle]] = {}
        self._loop.add_reader(bound.fileno(), self._receive)

    def close(self) -> None:
        """Serves nobody any more."""
        self._loop.remove_reader(self._bound.fileno())
        for client in list(self._clients):
            self._forget(client)

    def _receive(self) -> None:
        try:
            data, client = self._bound.recvfrom(65536)
        except OSError:
            return
        if self._is_refused(client[0]):
            return
        known = self._clients.pop(client, None)
        if known is None:
            if len(self._clients) >= _UDP_CLIENTS:
                self._forget(next(iter(self._clients)))
            upstream = self._connect(client)
            if upstream is None:
                return
        else:
            upstream = known[0]
            known[1].cancel()
        self._clients[client] = (upstream, self._loop.call_later(_UDP_IDLE_SECONDS, self._forget, client))
        with contextlib.suppress(OSError):
            upstream.send(data)

    def _connect(self, client: object) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        upstream = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            upstream.connect(self._target)
        except OSError:
            upstream.close()
            return None
        self._loop.add_reader(upstream.fileno(), self._answer, upstream, client)
        return upstream

    def _answer(self, upstream: socket.socket, client: object) -> None:
        with contextlib.suppress(OSError):
            self._bound.sendto(upstream.recv(65536), cast(Target, client))

    def _forget(self, client: object) -> None:
        upstream, timer = self._clients.pop(client)
        timer.cancel()
        self._loop.remove_reader(upstream.fileno())
        upstream.close()
