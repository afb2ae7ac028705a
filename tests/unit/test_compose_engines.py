"""The pool of connections to one engine."""

import socket
from pathlib import Path

import pytest

from cais.client.engine import Engine
from cais.client.errors import EngineError
from cais.compose.engines import Engines
from tests.unit.scripted_engine import Request, ScriptedEngine, answer


def reply(request: Request, connection: socket.socket) -> None:
    name = request.target.rpartition("/")[2]
    if name == "missing":
        connection.sendall(answer("404 Not Found", b'{"message": "no such image"}'))
    elif name == "broken":
        connection.sendall(answer("500 Internal Server Error", b'{"message": "broken"}'))
    else:
        connection.sendall(answer("200 OK", b'{"Id": "%s"}' % name.encode()))


@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.parametrize("count", [1, 3, 70])
def test_what_is_found_comes_in_the_order_of_the_paths(tmp_path: Path, most: int, count: int) -> None:
    names = ["missing", *map(str, range(count - 1))]
    with ScriptedEngine(tmp_path, reply) as server:
        engines = Engines(Engine(server.endpoint), most)
        found = engines.find_each([f"/images/{name}" for name in names])
        assert found == [None, *({"Id": name} for name in names[1:])]
        assert engines.get("/images/after") == {"Id": "after"}


@pytest.mark.parametrize("names", [["broken"], ["a", "broken", "b"]])
def test_another_refusal_is_raised(tmp_path: Path, names: list[str]) -> None:
    with ScriptedEngine(tmp_path, reply) as server:
        engines = Engines(Engine(server.endpoint))
        with pytest.raises(EngineError, match="broken"):
            engines.find_each([f"/images/{name}" for name in names])
        assert engines.find("/images/after") == {"Id": "after"}


def test_nothing_is_asked_for_nothing(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, reply) as server:
        assert Engines(Engine(server.endpoint)).find_each([]) == []
        assert server.requests == []


def test_a_client_that_failed_is_not_used_again_and_no_place_is_lost(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, reply) as server:
        engines = Engines(Engine(server.endpoint), 1)
        with pytest.raises(ValueError, match="half read"), engines.one():
            raise ValueError("half read")
        with engines.one() as first:
            assert first.fetch("GET", "/images/a") == {"Id": "a"}
