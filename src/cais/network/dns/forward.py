"""Asking the host's own name servers what no container is called.

Every question goes out from a socket of its own, connected to the server, with an identifier of its own: what answers
has guessed the port, the identifier and the question, or was asked.
"""

import asyncio
import secrets
import socket
import threading
from collections.abc import Sequence
from typing import Final

from cais.network.dns import wire

PORT: Final = 53
MOST_SERVERS: Final = 3  # as in resolv.conf(5)
TIMEOUT_SECONDS: Final = 4.0  # for one server; the C library of a container waits five for us
MOST_AT_ONCE: Final = 256  # questions of one container that wait for an answer
# Of all containers: each question has a descriptor, of which caisd needs some for other work.
_all_containers: Final = threading.BoundedSemaphore(2048)

_TRY_ANOTHER: Final = frozenset([wire.SERVFAIL, wire.REFUSED])


class Forwarder:
    """Passes questions on to `servers`, addresses of which the first that has an answer is heard."""

    def __init__(self, servers: Sequence[str], port: int = PORT, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._servers = tuple(servers[:MOST_SERVERS])
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._under_way = 0

    def take_place(self) -> bool:
        """Whether one more question may be asked now; if so, `ask` has to follow, which gives the place back."""
        if self._under_way >= MOST_AT_ONCE or not _all_containers.acquire(blocking=False):
            return False
        self._under_way += 1
        return True

    def give_back(self) -> None:
        self._under_way -= 1
        _all_containers.release()

    async def ask(self, message: bytes, query: wire.Query, *, tcp: bool) -> bytes:
        """The answer for the client: a server's, or that there is none. Never raises but for a cancellation."""
        for server in self._servers:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    answer = await (self._by_tcp if tcp else self._by_udp)(server, message, query)
            except (OSError, EOFError):  # refused, unreachable, too late, cut off
                continue
            if wire.code_of(answer) not in _TRY_ANOTHER:
                return wire.with_identifier(answer, query.identifier)
        return wire.response(query, wire.SERVFAIL)

    async def _by_udp(self, server: str, message: bytes, query: wire.Query) -> bytes:
        loop = asyncio.get_running_loop()
        family, address = _socket_address(server, self._port)
        identifier = secrets.randbits(16)
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
            connection.connect(address)  # the kernel draws the port, and lets nobody else's datagrams in
            await loop.sock_sendall(connection, wire.with_identifier(message, identifier))
            while True:
                answer = await loop.sock_recv(connection, wire.MOST_BYTES)
                if wire.answers(answer, query, identifier):
                    return answer

    async def _by_tcp(self, server: str, message: bytes, query: wire.Query) -> bytes:
        identifier = secrets.randbits(16)
        family, address = _socket_address(server, self._port)
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
            reader, writer = await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise
        try:
            writer.write(framed(wire.with_identifier(message, identifier)))
            answer = await read_framed(reader)
        finally:
            writer.transport.abort()
        if not wire.answers(answer, query, identifier):
            raise ConnectionError(f"{server} answered something else")
        return answer


def _socket_address(server: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    """What to connect to; the zone of an address is that of the host's links. Raises OSError for an unknown one."""
    address, _, zone = server.partition("%")
    if ":" not in address:
        return socket.AF_INET, (address, port)
    scope = 0
    if zone:
        scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    return socket.AF_INET6, (address, port, 0, scope)


def framed(message: bytes) -> bytes:
    """A message as it travels on a stream, behind its length (RFC 1035, 4.2.2)."""
    return len(message).to_bytes(2, "big") + message


async def read_framed(reader: asyncio.StreamReader) -> bytes:
    """The next message of a stream. Raises EOFError, as IncompleteReadError, at its end."""
    length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)
