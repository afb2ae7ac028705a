"""Requests of the Engine API, their versions and errors."""

import socket
from pathlib import Path

import pytest

from cais.client import containers
from cais.client.codec import dumps
from cais.client.engine import API_VERSION, Engine, json_lines
from cais.client.errors import CannotConnect, EngineError
from cais.client.http import Endpoint
from tests.unit.scripted_engine import Request, ScriptedEngine, answer, chunked


def _error(status: str, message: str) -> bytes:
    return answer(status, dumps({"message": message}))


def _old_engine(request: Request, connection: socket.socket) -> None:
    """Speaks version 1.41 and nothing newer."""
    if not request.target.startswith("/v1.41/"):
        text = f"client version {API_VERSION} is too new. Maximum supported API version is 1.41"
        connection.sendall(_error("400 Bad Request", text))
    elif request.headers.get("upgrade"):
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\nstream")
    else:
        connection.sendall(answer("200 OK", b"[]"))


def test_our_own_version_is_spoken_at_once(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(answer("200 OK", b"[]"))) as scripted:
        engine = Engine(scripted.endpoint)
        assert engine.fetch("GET", "/containers/json", {"all": "1"}) == []
        assert [request.target for request in scripted.requests] == [f"/v{API_VERSION}/containers/json?all=1"]
        engine.close()


def test_another_engine_is_no_cais(tmp_path: Path) -> None:
    def serve(request: Request, connection: socket.socket) -> None:
        name = b"Cais/1.0 (linux)" if len(scripted.requests) == 1 else b"Docker/28.2.2 (linux)"
        connection.sendall(b"HTTP/1.1 200 OK\r\nServer: " + name + b"\r\nContent-Length: 2\r\n\r\nOK")

    with ScriptedEngine(tmp_path, serve) as scripted:
        engine = Engine(scripted.endpoint)
        assert (engine.is_cais(), engine.is_cais()) == (True, False)
        engine.close()


def test_an_older_engine_is_spoken_to_in_its_version(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, _old_engine) as scripted:
        engine = Engine(scripted.endpoint)
        assert engine.fetch("POST", "/containers/create", None, {"Image": "x"}) == []
        assert engine.fetch("GET", "/images/json") == []
        assert engine.version == "1.41"
        assert [request.target.split("/")[1] for request in scripted.requests] == [f"v{API_VERSION}", "v1.41", "v1.41"]
        assert scripted.requests[1].body == b'{"Image":"x"}'
        engine.close()


def test_a_stream_is_asked_for_again_in_the_older_version(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, _old_engine) as scripted:
        attaching = containers.attach(
            Engine(scripted.endpoint), "c", stdin=True, stdout=True, stderr=False, detach_keys="ctrl-x"
        )
        bare, unread = attaching.response().hijack()
        received = unread or bare.recv(100)
        assert received == b"stream"
        assert scripted.requests[-1].target == "/v1.41/containers/c/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-x"
        bare.close()


def test_a_streamed_body_is_sent_once_the_version_is_known(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, _old_engine) as scripted:
        engine = Engine(scripted.endpoint)
        engine.send_blocks("POST", "/images/load", {"quiet": "1"}, iter([b"ab", b"c"]), "application/x-tar").read()
        assert scripted.requests[-1].target == "/v1.41/images/load?quiet=1"
        assert scripted.requests[-1].body == b"abc"
        engine.close()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (_error("404 Not Found", "No such container: x"), "No such container: x"),
        (answer("400 Bad Request", b"page not found\n"), "page not found"),
        (answer("500 Internal Server Error"), "Internal Server Error"),
    ],
)
def test_a_refusal_is_an_error_with_the_engine_s_words(tmp_path: Path, raw: bytes, message: str) -> None:
    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(raw)) as scripted:
        engine = Engine(scripted.endpoint)
        with pytest.raises(EngineError) as caught:
            containers.detail(engine, "x")
        assert caught.value.message == message
        assert str(caught.value) == f"Error response from daemon: {message}"
        engine.close()


def test_a_connection_that_the_engine_closed_is_replaced(tmp_path: Path) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(answer("200 OK", b"[]"))
        connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, reply) as scripted:
        engine = Engine(scripted.endpoint)
        for _ in range(3):
            assert engine.fetch("GET", "/images/json") == []
        engine.close()


def test_the_lines_of_a_stream_are_values(tmp_path: Path) -> None:
    raw = chunked("200 OK", b'{"a":1}\n', b'{"a":2}\n')
    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(raw)) as scripted:
        engine = Engine(scripted.endpoint)
        assert list(json_lines(engine.call("GET", "/events"))) == [{"a": 1}, {"a": 2}]
        engine.close()


def test_an_engine_that_does_not_run_is_started_once(tmp_path: Path) -> None:
    started: list[ScriptedEngine] = []

    def start() -> None:
        started.append(
            ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(answer("200 OK", b"[]"))).__enter__()
        )

    engine = Engine(Endpoint(f"unix://{tmp_path}/engine.sock"), start)
    assert engine.fetch("GET", "/images/json") == []
    assert engine.fetch("GET", "/images/json") == []
    assert len(started) == 1
    engine.close()
    started[0].__exit__(None, None, None)


def test_an_engine_elsewhere_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(CannotConnect):
        Engine(Endpoint(f"unix://{tmp_path}/none.sock")).fetch("GET", "/images/json")


def test_names_are_quoted_in_paths(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, lambda _, connection: connection.sendall(answer("204 No Content"))) as scripted:
        engine = Engine(scripted.endpoint)
        containers.kill(engine, "a b?c", "TERM")
        assert scripted.requests[0].target == f"/v{API_VERSION}/containers/a%20b%3Fc/kill?signal=TERM"
        engine.close()
