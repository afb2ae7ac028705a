"""The library's HTTP, against scripted answers."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cais.api.http import _STATUS
from cais.errors import Conflict, Internal, InvalidArgument, NotFound, Unavailable, Unsupported
from cais.library.errors import BY_STATUS, Lost, error_for
from cais.library.transport import Transport
from tests.unit.scripted_engine import Request, ScriptedEngine, answer, chunked


def test_each_status_is_the_class_that_the_engine_answers_it_for() -> None:
    assert BY_STATUS == {status: kind for kind, status in _STATUS.items() if status != 304}
    assert type(error_for(418, "x")) is InvalidArgument
    assert type(error_for(502, "x")) is Internal


@pytest.mark.parametrize(
    "reply",
    [
        answer("200 OK", b'{"a": 1}'),
        chunked("200 OK", b'{"a":', b" 1}"),
        b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}',
    ],
    ids=["counted", "chunked", "to the end"],
)
async def test_a_body_is_read_whole(tmp_path: Path, reply: bytes) -> None:
    def respond(_: Request, connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, respond) as engine:
        assert await Transport(engine.url).fetch("GET", "/x") == {"a": 1}
        assert engine.requests[0].target == "/v1.51/x"


async def test_a_request_is_sent_as_json_or_in_blocks(tmp_path: Path) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(answer("204 No Content"))) as engine:
        transport = Transport(engine.url)
        assert await transport.fetch("POST", "/a%20b", {"q": "x/y"}, content={"k": ["v"]}) is None
        async with transport.request("POST", "/load", body=blocks()) as got:
            assert await got.read() == b""
        first, second = engine.requests
        assert (first.method, first.target, first.body) == ("POST", "/v1.51/a%20b?q=x%2Fy", b'{"k":["v"]}')
        assert second.body == b"onetwo"


async def test_a_refusal_is_raised_in_the_engine_s_words(tmp_path: Path) -> None:
    def respond(request: Request, connection: socket.socket) -> None:
        plain = request.target.endswith("/plain")
        connection.sendall(answer("409 Conflict", b"in the way" if plain else b'{"message": "taken"}'))

    with ScriptedEngine(tmp_path, respond) as engine:
        with pytest.raises(Conflict, match=r"^taken$"):
            await Transport(engine.url).fetch("GET", "/x")
        with pytest.raises(Conflict, match=r"^in the way$"):
            await Transport(engine.url).fetch("GET", "/plain")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        chunked("200 OK", b"part", end=False),
    ],
    ids=["nothing", "half a head", "half a body", "half the chunks"],
)
async def test_an_answer_that_breaks_off_is_lost(tmp_path: Path, reply: bytes) -> None:
    def respond(_: Request, connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, respond) as engine:
        with pytest.raises(Lost):
            await Transport(engine.url).fetch("GET", "/x")


async def test_what_is_no_engine_is_unavailable(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as engine:
        with pytest.raises(Unavailable, match="not the answer of an engine"):
            await Transport(engine.url).fetch("GET", "/x")
    with pytest.raises(Unavailable, match=r"cannot connect to the engine at unix://.*: No such file or directory"):
        await Transport(f"unix://{tmp_path}/absent").fetch("GET", "/x")
    with pytest.raises(Unsupported, match="unix:// and tcp:// addresses alone"):
        Transport("ssh://host")
    with pytest.raises(InvalidArgument, match="invalid bind address format: nonsense"):
        Transport("nonsense")


async def test_who_listens_is_looked_for_when_nobody_does(tmp_path: Path) -> None:
    looked: list[str] = []

    async def find() -> None:
        looked.append("once")
        os.symlink(engine.url.removeprefix("unix://"), tmp_path / "late")

    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(answer("200 OK", b"1"))) as engine:
        transport = Transport(f"unix://{tmp_path}/late", find)
        assert await transport.fetch("GET", "/x") == 1
        assert await transport.fetch("GET", "/x") == 1
    assert looked == ["once"]


async def test_a_cancelled_request_hangs_up(tmp_path: Path) -> None:
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def respond(_: Request, connection: socket.socket) -> None:
        ended.get_loop().call_soon_threadsafe(ended.set_result, connection.recv(1))

    with ScriptedEngine(tmp_path, respond) as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await Transport(engine.url).fetch("GET", "/x")
        assert await ended == b""


async def test_lines_are_values(tmp_path: Path) -> None:
    reply = chunked("200 OK", b'{"a":1}\n{"a"', b':2}\n\n{"a":3}')
    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(reply)) as engine:
        async with Transport(engine.url).request("GET", "/x") as got:
            assert [value["a"] async for value in got.json_lines()] == [1, 2, 3]
    with pytest.raises(NotFound):
        raise error_for(404, "x")
