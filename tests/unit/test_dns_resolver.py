"""The resolver at loopback sockets, with name servers of its own to forward to."""

import asyncio
import socket
import statistics
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from cais.network.dns import Resolver, forward, wire
from tests.unit.test_dns_wire import HEADER, edns, query

ADDRESSES: dict[tuple[str, int], tuple[str, ...]] = {
    ("web", socket.AF_INET): ("10.0.0.1",),
    ("web", socket.AF_INET6): (),
    ("many", socket.AF_INET): tuple(f"10.0.1.{number}" for number in range(100)),
    ("db.example", socket.AF_INET): ("10.0.0.2", "10.0.0.3", "10.0.0.4"),
    ("db.example", socket.AF_INET6): ("fd00::2",),
}


class _Names:
    def addresses(self, name: str, family: int) -> tuple[str, ...] | None:
        return ADDRESSES.get((name, family))

    def name_of(self, address: str) -> str | None:
        return {"10.0.0.1": "web.net1", "fd00::2": "db.net1"}.get(address)


class _Upstream(asyncio.DatagramProtocol):
    """A name server; `reply` makes the answers to one question."""

    def __init__(self, reply: Callable[[bytes], list[bytes]]) -> None:
        self.reply = reply
        self.asked: list[tuple[bytes, tuple[str, int]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.asked.append((data, address))
        for answer in self.reply(data):
            self._transport.sendto(answer, address)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await forward.read_framed(reader)
        self.asked.append((message, writer.get_extra_info("peername")))
        answers = self.reply(message)
        for answer in answers:
            writer.write(forward.framed(answer))
        if not answers:
            await reader.read()
        writer.close()


def _found(message: bytes) -> list[bytes]:
    return [wire.response(wire.parse_query(message), wire.NOERROR, [wire.address_record("192.0.2.1", 5)])]


def _code(code: int) -> Callable[[bytes], list[bytes]]:
    return lambda message: [wire.response(wire.parse_query(message), code)]


def _silent(message: bytes) -> list[bytes]:
    return []


class _Client:
    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.connect(address)

    async def ask(self, message: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, message)
        return await asyncio.wait_for(loop.sock_recv(self._socket, 65535), 5)

    def close(self) -> None:
        self._socket.close()

    async def ask_tcp(self, *messages: bytes) -> list[bytes]:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(b"".join(map(forward.framed, messages)))
            writer.write_eof()
            return [await asyncio.wait_for(forward.read_framed(reader), 5) for _ in messages]
        finally:
            writer.close()


@asynccontextmanager
async def _serving(
    *upstreams: _Upstream, internal: bool = False, keeps_single_labels: bool = False, timeout_seconds: float = 5
) -> AsyncIterator[tuple[Resolver, _Client]]:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        port = 0
        for number, upstream in enumerate(upstreams):
            server = await asyncio.start_server(upstream.serve, f"127.0.3.{number + 1}", port)
            stack.callback(server.close)
            port = server.sockets[0].getsockname()[1]
            transport, _ = await loop.create_datagram_endpoint(
                lambda protocol=upstream: protocol,  # type: ignore[misc]
                local_addr=(f"127.0.3.{number + 1}", port),
            )
            stack.callback(transport.close)
        forwarder = forward.Forwarder(
            [f"127.0.3.{number + 1}" for number in range(len(upstreams))], port, timeout_seconds
        )
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.create_server(udp.getsockname())
        resolver = Resolver(
            _Names(), (), internal, udp, tcp, forwarder=forwarder, keeps_single_labels=keeps_single_labels
        )
        await resolver.start()
        stack.push_async_callback(resolver.close)
        client = _Client(udp.getsockname())
        stack.callback(client.close)
        yield resolver, client


def _addresses(answer: bytes) -> list[str]:
    """The addresses in an answer of ours, whose records all have the question's name."""
    count = HEADER.unpack_from(answer)[3]
    offset = answer.index(b"\0", 12) + 5
    found = []
    for _ in range(count):
        length = struct.unpack_from("!H", answer, offset + 10)[0]
        data = answer[offset + 12 : offset + 12 + length]
        found.append(socket.inet_ntop(socket.AF_INET if length == 4 else socket.AF_INET6, data))
        offset += 12 + length
    return found


async def test_names_have_addresses_whatever_their_case() -> None:
    async with _serving() as (_, client):
        assert _addresses(await client.ask(query("web"))) == ["10.0.0.1"]
        answer = await client.ask(query("WeB"))
        assert _addresses(answer) == ["10.0.0.1"]
        assert b"\x03WeB" in answer
        assert _addresses(await client.ask(query("db.example", wire.AAAA))) == ["fd00::2"]


async def test_a_name_without_an_address_of_the_family_exists_all_the_same() -> None:
    async with _serving() as (_, client):
        answer = await client.ask(query("web", wire.AAAA))
        assert wire.code_of(answer) == wire.NOERROR
        assert _addresses(answer) == []


async def test_other_types_of_our_names_stay_here() -> None:
    upstream = _Upstream(_code(wire.NXDOMAIN))
    async with _serving(upstream) as (_, client):
        for kind in (15, 16, 33, 65, 255):
            answer = await client.ask(query("web", kind))
            assert (wire.code_of(answer), _addresses(answer)) == (wire.NOERROR, [])
        assert upstream.asked == []
        assert wire.code_of(await client.ask(query("example.org", 15))) == wire.NXDOMAIN


async def test_several_addresses_take_turns_and_families_don_t_disturb_each_other() -> None:
    async with _serving() as (_, client):
        firsts = []
        for _ in range(6):
            firsts.append(_addresses(await client.ask(query("db.example")))[0])
            await client.ask(query("db.example", wire.AAAA))
        assert firsts == ["10.0.0.2", "10.0.0.3", "10.0.0.4"] * 2


async def test_addresses_have_names() -> None:
    async with _serving(_Upstream(_code(wire.NXDOMAIN))) as (_, client):
        answer = await client.ask(query("1.0.0.10.in-addr.arpa", wire.PTR))
        assert answer.endswith(b"\x03web\x04net1\0")
        nibbles = ".".join(["2", *["0"] * 28, "0", "d", "f"])
        assert (await client.ask(query(f"{nibbles}.ip6.arpa", wire.PTR))).endswith(b"\x02db\x04net1\0")
        assert wire.code_of(await client.ask(query("9.0.0.10.in-addr.arpa", wire.PTR))) == wire.NXDOMAIN


async def test_long_answers_are_cut_by_udp_and_whole_with_edns_or_tcp() -> None:
    async with _serving() as (_, client):
        cut = await client.ask(query("many"))
        assert len(cut) <= 512
        assert HEADER.unpack_from(cut)[1] & 0x0200
        assert len(_addresses(cut)) == (512 - 12 - 10) // 16
        assert len(_addresses(await client.ask(query("many", more=edns(4096))))) == 100
        assert len(_addresses((await client.ask_tcp(query("many")))[0])) == 100


async def test_one_connection_has_many_questions() -> None:
    def slow(message: bytes) -> list[bytes]:
        return _found(message)

    async with _serving(_Upstream(slow)) as (_, client):
        asked = [
            query("elsewhere.example", identifier=1),
            *(query("web", identifier=number) for number in range(2, 50)),
        ]
        answers = await client.ask_tcp(*asked)
        found = {int.from_bytes(answer[:2], "big"): _addresses(answer) for answer in answers}
        assert found == {1: ["192.0.2.1"], **{number: ["10.0.0.1"] for number in range(2, 50)}}


async def test_what_is_not_ours_comes_from_the_name_servers() -> None:
    upstream = _Upstream(_found)
    async with _serving(upstream) as (_, client):
        for identifier in range(20):
            answer = await client.ask(query("Example.org", identifier=identifier))
            assert (answer[:2], _addresses(answer)) == (identifier.to_bytes(2, "big"), ["192.0.2.1"])
        # what goes out is asked with other identifiers, each from another port
        assert len({address for _, address in upstream.asked}) > 10
        assert [int.from_bytes(message[:2], "big") for message, _ in upstream.asked] != list(range(20))


async def test_that_a_name_does_not_exist_is_said_at_once() -> None:
    async with _serving(_Upstream(_code(wire.NXDOMAIN)), _Upstream(_found)) as (_, client):
        begun = time.perf_counter()
        assert wire.code_of(await client.ask(query("no-such-host"))) == wire.NXDOMAIN
        assert time.perf_counter() - begun < 2


@pytest.mark.parametrize("first", [_silent, _code(wire.SERVFAIL), _code(wire.REFUSED)])
async def test_the_next_name_server_is_asked(first: Callable[[bytes], list[bytes]]) -> None:
    async with _serving(_Upstream(first), _Upstream(_found), timeout_seconds=0.3) as (_, client):
        assert _addresses(await client.ask(query("example.org"))) == ["192.0.2.1"]
        assert _addresses((await client.ask_tcp(query("example.org")))[0]) == ["192.0.2.1"]


async def test_no_name_server_answers() -> None:
    async with _serving(_Upstream(_silent), _Upstream(_code(wire.REFUSED)), timeout_seconds=0.3) as (_, client):
        assert wire.code_of(await client.ask(query("example.org"))) == wire.SERVFAIL
    async with _serving() as (_, client):
        assert wire.code_of(await client.ask(query("example.org"))) == wire.SERVFAIL


async def test_a_refused_connection_does_not_wait() -> None:
    upstream = _Upstream(_found)
    async with _serving(upstream, timeout_seconds=4) as (resolver, client):
        port = resolver._forwarder._port
        resolver._forwarder = forward.Forwarder(["127.0.3.99", "127.0.3.1"], port)
        begun = time.perf_counter()
        assert _addresses(await client.ask(query("example.org"))) == ["192.0.2.1"]
        assert time.perf_counter() - begun < 1


async def test_forged_answers_are_passed_over() -> None:
    def forged_and_true(message: bytes) -> list[bytes]:
        other_identifier = wire.with_identifier(_found(message)[0], int.from_bytes(message[:2], "big") ^ 1)
        return [b"", b"\0", message, other_identifier, _found(query("evil.org"))[0], *_code(wire.NXDOMAIN)(message)]

    async with _serving(_Upstream(forged_and_true)) as (_, client):
        assert wire.code_of(await client.ask(query("example.org"))) == wire.NXDOMAIN


async def test_internal_networks_ask_nobody() -> None:
    upstream = _Upstream(_found)
    async with _serving(upstream, internal=True) as (resolver, client):
        assert _addresses(await client.ask(query("web"))) == ["10.0.0.1"]
        assert wire.code_of(await client.ask(query("example.org"))) == wire.SERVFAIL
        assert wire.code_of((await client.ask_tcp(query("9.0.0.10.in-addr.arpa", wire.PTR)))[0]) == wire.SERVFAIL
        assert upstream.asked == []
        resolver.internal = False
        assert _addresses(await client.ask(query("example.org"))) == ["192.0.2.1"]


async def test_single_labels_can_be_kept_for_search_domains() -> None:
    upstream = _Upstream(_found)
    async with _serving(upstream, keeps_single_labels=True) as (_, client):
        answer = await client.ask(query("elsewhere"))
        assert (wire.code_of(answer), _addresses(answer)) == (wire.NOERROR, [])
        assert _addresses(await client.ask(query("elsewhere.example"))) == ["192.0.2.1"]
        assert len(upstream.asked) == 1


async def test_hostile_datagrams_are_refused_or_passed_over() -> None:
    async with _serving() as (_, client):
        loop = asyncio.get_running_loop()
        for silent in (b"", b"\0", query(flags=0x8180)):
            await loop.sock_sendall(client._socket, silent)
        assert wire.code_of(await client.ask(query(flags=0x2800))) == wire.NOTIMP
        assert wire.code_of(await client.ask(query()[:-2])) == wire.FORMERR
        assert wire.code_of(await client.ask(query(more=edns(512, version=9)))) == 0
        assert _addresses(await client.ask(query("web"))) == ["10.0.0.1"]


async def test_an_error_of_ours_costs_one_datagram(caplog: pytest.LogCaptureFixture) -> None:
    ADDRESSES["broken", socket.AF_INET] = ("no address",)
    try:
        async with _serving() as (_, client):
            await asyncio.get_running_loop().sock_sendall(client._socket, query("broken"))
            assert _addresses(await client.ask(query("web"))) == ["10.0.0.1"]
    finally:
        del ADDRESSES["broken", socket.AF_INET]
    assert "cannot answer a question by UDP" in caplog.text


async def test_only_so_many_questions_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "MOST_AT_ONCE", 3)
    upstream = _Upstream(_silent)
    async with _serving(upstream, timeout_seconds=1) as (_, client):
        loop = asyncio.get_running_loop()
        for identifier in range(3):
            await loop.sock_sendall(client._socket, query("example.org", identifier=identifier))
        assert wire.code_of(await client.ask(query("example.org", identifier=3))) == wire.REFUSED
        waited = [await asyncio.wait_for(loop.sock_recv(client._socket, 512), 5) for _ in range(3)]
        assert {wire.code_of(answer) for answer in waited} == {wire.SERVFAIL}
        assert len(upstream.asked) == 3
        upstream.reply = _found
        assert _addresses(await client.ask(query("example.org"))) == ["192.0.2.1"]


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cais.network.dns.resolver._MOST_CONNECTIONS", 2)
    async with _serving() as (_, client):
        held = [await asyncio.open_connection(*client.address) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises((EOFError, OSError)):
            await client.ask_tcp(query("web"))
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.05)
        assert _addresses((await client.ask_tcp(query("web")))[0]) == ["10.0.0.1"]


async def test_a_silent_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cais.network.dns.resolver._IDLE_SECONDS", 0.1)
    async with _serving() as (_, client):
        reader, writer = await asyncio.open_connection(*client.address)
        writer.write(b"\xff\xff only the beginning of a message")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_whoever_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cais.network.dns.resolver._IDLE_SECONDS", 0.2)
    async with _serving() as (resolver, client):
        loop = asyncio.get_running_loop()
        with socket.create_connection(client.address) as connection:
            connection.setblocking(False)
            questions = forward.framed(query("many")) * 100
            with pytest.raises(ConnectionError):
                while True:
                    await asyncio.wait_for(loop.sock_sendall(connection, questions), 5)
        assert resolver._connections == 0


async def test_closing_ends_what_waits() -> None:
    async with _serving(_Upstream(_silent), timeout_seconds=60) as (resolver, client):
        _, writer = await asyncio.open_connection(*client.address)
        writer.write(forward.framed(query("example.org")))
        await asyncio.get_running_loop().sock_sendall(client._socket, query("example.org"))
        await asyncio.sleep(0.05)
        assert resolver._forwarder._under_way == 2
        await resolver.close()
        await asyncio.sleep(0)
        assert resolver._forwarder._under_way == 0
        assert not resolver._tasks
        with pytest.raises(OSError, match="refused"):
            await client.ask(query("web"))
        writer.close()


@pytest.mark.parametrize("order", [("start", "close"), ("close", "start")])
async def test_starts_and_ends_that_meet(order: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", 0)) as tcp:
        udp.bind(("127.0.0.1", 0))
        address = tcp.getsockname()
        resolver = Resolver(_Names(), (), False, udp, tcp)
        await asyncio.gather(*(getattr(resolver, name)() for name in order))
        assert udp.fileno() == tcp.fileno() == -1
    with pytest.raises(OSError, match=str(address[1])):
        await asyncio.open_connection(*address)
    assert caplog.text == ""


async def test_a_look_up_takes_far_less_than_a_millisecond() -> None:
    async with _serving() as (_, client):
        took = []
        for _ in range(300):
            begun = time.perf_counter()
            await client.ask(query("web"))
            took.append(time.perf_counter() - begun)
        assert statistics.median(took) < 0.001
