"""The name server of one container: its own networks' names at once, all others from the host's name servers.

    client ──UDP or TCP──▶ Resolver ──▶ Names          known: addresses, a name, or that there is nothing of this type
                               └──────▶ Forwarder      unknown: what the host's name servers say
                                        SERVFAIL       unknown, in a container that has internal networks only

As in Docker the answer for the last is SERVFAIL and not NXDOMAIN, since nobody was asked. Other than in Docker, what is
asked of a known name besides its addresses (TXT, HTTPS) has an empty answer and does not leave the host.
"""

import asyncio
import logging
import socket
from collections.abc import Coroutine, Sequence
from typing import Final, Protocol

from cais.network.dns import forward, wire

_log = logging.getLogger("cais.dns")

SECONDS_TO_LIVE: Final = 600  # as Docker says; clients in containers hardly keep what they were told
_DATAGRAMS_IN_A_ROW: Final = 32  # then the loop turns to others
_MOST_CONNECTIONS: Final = 64
_IDLE_SECONDS: Final = 10.0  # RFC 7766, 6.2.3
_MOST_UNSENT_BYTES: Final = 256 * 1024  # of answers that a client does not read
_MOST_TURNS: Final = 1000
_UDP_ROOM: Final = 65507  # what a datagram over IPv4 can hold

_Address = tuple[str, int]

_FAMILIES: Final = {wire.A: socket.AF_INET, wire.AAAA: socket.AF_INET6}


class Names(Protocol):
    """What a container can call the others. Both are asked for every packet, and must not take long."""

    def addresses(self, name: str, family: int) -> tuple[str, ...] | None:
        """The addresses of `name` (lower case, no dot at its end) that are of AF_INET or AF_INET6.

        None: no name of ours. Empty: ours, without an address of this family.
        """

    def name_of(self, address: str) -> str | None:
        """The name of the container with this address, None where it is none of ours."""


class Resolver:
    """Answers at the two sockets, which it owns, in the running event loop."""

    def __init__(
        self,
        names: Names,
        upstreams: Sequence[str],
        internal: bool,
        udp: socket.socket,
        tcp: socket.socket,
        *,
        forwarder: forward.Forwarder | None = None,
        keeps_single_labels: bool = False,
    ) -> None:
        """`tcp` listens. `upstreams` are asked in their order, unless `internal`: then nobody is.

        `keeps_single_labels`: names without a dot are not passed on, for the user has set the option ndots and wants
        the search domains tried.
        """
        self.internal = internal  # may change, as networks are connected and disconnected
        self._names = names
        self._forwarder = forwarder or forward.Forwarder(upstreams)
        self._keeps_single_labels = keeps_single_labels
        self._udp = udp
        self._tcp = tcp
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._turns: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        """Begins to answer; does nothing when it has been closed already."""
        if self._udp.fileno() < 0:
            return
        self._udp.setblocking(False)
        self._tcp.setblocking(False)
        asyncio.get_running_loop().add_reader(self._udp, self._receive)
        self._server = await asyncio.start_server(self._serve_connection, sock=self._tcp, start_serving=False)
        await self._server.start_serving()

    async def close(self) -> None:
        """Ends all connections and closes the sockets. May be called at any time, and more than once."""
        if self._udp.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._udp)
        if self._server is not None:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._udp.close()
        self._tcp.close()

    # Datagrams

    def _receive(self) -> None:
        for _ in range(_DATAGRAMS_IN_A_ROW):
            try:
                message, client = self._udp.recvfrom(wire.MOST_BYTES)
            except OSError:  # nothing more, or an error of an earlier answer's way
                return
            try:
                answer = self._answer(message, tcp=False)
            except Exception:  # noqa: BLE001 -- it costs the one who asked, and nobody else an answer
                _log.exception("cannot answer a question by UDP")
                continue
            if isinstance(answer, wire.Query):
                self._forward_datagram(message, answer, client)
            elif answer:
                self._send(answer, client)

    def _forward_datagram(self, message: bytes, query: wire.Query, client: _Address) -> None:
        if not self._forwarder.take_place():
            self._send(wire.response(query, wire.REFUSED), client)
            return

        async def forward_it() -> None:
            self._send(await self._forwarder.ask(message, query, tcp=False), client)

        self._begin(forward_it(), "dns-forward").add_done_callback(lambda _: self._forwarder.give_back())

    def _send(self, answer: bytes, client: _Address) -> None:
        try:
            self._udp.sendto(answer, client)
        except OSError as error:  # its buffer is full, or it has gone: it asks again
            _log.debug("cannot send an answer: %s", error)

    # Connections

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._connections >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._connections += 1
        try:
            await self._serve_questions(reader, writer)
            async with asyncio.timeout(_IDLE_SECONDS):
                writer.close()
                await writer.wait_closed()
        except OSError:  # broken, or it was silent, or did not read, for too long
            pass
        except Exception:  # noqa: BLE001 -- as above
            _log.exception("cannot answer a question by TCP")
        finally:
            self._connections -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve_questions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers in the order in which answers are there: the client tells them apart (RFC 7766, 6.2.1.1).

        Returns at the client's end, when it has its answers. Raises OSError, which TimeoutError is one of.
        """
        asked: set[asyncio.Task[None]] = set()
        try:
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    message = await forward.read_framed(reader)
                answer = self._answer(message, tcp=True)
                if isinstance(answer, wire.Query):
                    task = self._forward_framed(message, answer, writer)
                    if task is not None:
                        asked.add(task)
                        task.add_done_callback(asked.discard)
                elif answer:
                    writer.write(forward.framed(answer))
                if writer.transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
                    async with asyncio.timeout(_IDLE_SECONDS):
                        await writer.drain()
        except (EOFError, TimeoutError) as ending:
            if asked:  # whoever has sent its last question still waits for the answers
                await asyncio.wait(asked)
            if isinstance(ending, TimeoutError):
                raise

    def _forward_framed(
        self, message: bytes, query: wire.Query, writer: asyncio.StreamWriter
    ) -> asyncio.Task[None] | None:
        if not self._forwarder.take_place():
            writer.write(forward.framed(wire.response(query, wire.REFUSED)))
            return None

        async def forward_it() -> None:
            writer.write(forward.framed(await self._forwarder.ask(message, query, tcp=True)))

        task = self._begin(forward_it(), "dns-forward-tcp")
        task.add_done_callback(lambda _: self._forwarder.give_back())
        return task

    def _begin(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Answers

    def _answer(self, message: bytes, *, tcp: bool) -> bytes | wire.Query:
        """The answer, empty where there is to be none; or the question, if others are to be asked."""
        try:
            query = wire.parse_query(message)
        except wire.MalformedError as error:
            return b"" if error.code is None else wire.failure(message, error.code)
        if query.edns_version:
            return wire.response(query, wire.BADVERS)
        records = self._records(query) if query.network_class == wire.IN else None
        if records is not None:
            most_bytes = wire.MOST_BYTES if tcp else min(query.udp_bytes, _UDP_ROOM)
            return wire.response(query, wire.NOERROR, records, most_bytes)
        if self._keeps_single_labels and query.kind in _FAMILIES and "." not in query.name:
            return wire.response(query, wire.NOERROR)
        if self.internal:
            return wire.response(query, wire.SERVFAIL)
        return query

    def _records(self, query: wire.Query) -> list[bytes] | None:
        """What is known of a name; None where it is none of ours."""
        family = _FAMILIES.get(query.kind)
        if family is not None:
            addresses = self._names.addresses(query.name, family)
            if addresses is None:
                return None
            return [wire.address_record(address, SECONDS_TO_LIVE) for address in self._in_turn(query, addresses)]
        if query.kind == wire.PTR:
            address = wire.reverse_address(query.name)
            name = None if address is None else self._names.name_of(address)
            return None if name is None else [wire.name_record(name, SECONDS_TO_LIVE)]
        is_ours = self._names.addresses(query.name, socket.AF_INET) is not None
        return [] if is_ours else None

    def _in_turn(self, query: wire.Query, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """Several addresses, another one first each time they are asked for."""
        if len(addresses) < 2:
            return addresses
        if len(self._turns) >= _MOST_TURNS:
            self._turns.clear()
        key = (query.name, query.kind)
        turn = self._turns.get(key, 0) % len(addresses)
        self._turns[key] = turn + 1
        return addresses[turn:] + addresses[:turn]
