"""The exit status of a container in the foreground, also when the engine goes away over it."""

import socket
from pathlib import Path

import pytest

from cais.cli.command import CommandError
from cais.cli.ending import Ending
from cais.client import containers
from cais.client.engine import Engine
from tests.unit.scripted_engine import Request, ScriptedEngine, answer, chunked

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def _ending(engine: Engine, *, removed: bool = False) -> Ending:
    return Ending(engine, "c", containers.wait(engine, "c", "next-exit").response(), removed=removed)


def test_the_status_comes_from_the_wait(tmp_path: Path) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(chunked("200 OK", b'{"StatusCode":7}'))

    with ScriptedEngine(tmp_path, reply) as scripted:
        assert _ending(Engine(scripted.endpoint)).status() == 7


def test_an_error_of_the_wait_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(chunked("200 OK", b'{"StatusCode":-1,"Error":{"Message":"bad"}}'))

    with ScriptedEngine(tmp_path, reply) as scripted:
        assert _ending(Engine(scripted.endpoint)).status() == 125
    assert capfd.readouterr().err == "Error waiting for container: bad\n"


def test_an_engine_that_comes_back_is_asked_again_while_the_container_runs(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(request: Request, connection: socket.socket) -> None:
        asked.append(request.target.partition("?")[2])
        connection.sendall(HEAD if len(asked) == 1 else chunked("200 OK", b'{"StatusCode":3}'))
        if len(asked) == 1:
            connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, reply) as scripted:
        ending = _ending(Engine(scripted.endpoint), removed=True)
        while not ending.is_lost:
            ending.look()
        assert ending.descriptor is None
        ending.look()
        assert ending.descriptor is not None
        assert ending.status() == 3
    assert asked == ["condition=next-exit", "condition=removed"]


def test_a_status_that_is_lost_is_asked_for_again(tmp_path: Path) -> None:
    asked = 0

    def reply(_request: Request, connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        connection.sendall(HEAD if asked == 1 else chunked("200 OK", b'{"StatusCode":4}'))
        if asked == 1:
            connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, reply) as scripted:
        assert _ending(Engine(scripted.endpoint)).status() == 4


def test_a_container_that_nobody_remembers_is_an_error(tmp_path: Path) -> None:
    asked = 0

    def reply(_request: Request, connection: socket.socket) -> None:
        nonlocal asked
        asked += 1
        connection.sendall(HEAD if asked == 1 else answer("404 Not Found", b'{"message":"No such container: c"}'))
        if asked == 1:
            connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, reply) as scripted, pytest.raises(CommandError, match="is not known") as caught:
        _ending(Engine(scripted.endpoint)).status()
    assert caught.value.status == 125
