"""The HTTP client, against a real socket."""

import socket
import threading
from pathlib import Path

import pytest

from cais.client.errors import CannotConnect, ConnectionLost, ProtocolError
from cais.client.http import Connection, Endpoint, quote, target
from tests.unit.scripted_engine import Request, ScriptedEngine, answer, chunked


def _body(tmp_path: Path, raw: bytes, *, close: bool = False) -> bytes:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(raw)
        if close:
            connection.shutdown(socket.SHUT_WR)

    with ScriptedEngine(tmp_path, reply) as engine:
        connection = Connection(engine.endpoint)
        connection.send("GET", "/x")
        try:
            return connection.receive().read()
        finally:
            connection.close()


def test_a_counted_body_is_read(tmp_path: Path) -> None:
    assert _body(tmp_path, answer("200 OK", b"hello")) == b"hello"


def test_a_chunked_body_is_read(tmp_path: Path) -> None:
    assert _body(tmp_path, chunked("200 OK", b"hel", b"l" * 100_000, b"o")) == b"hel" + b"l" * 100_000 + b"o"


def test_extensions_and_trailers_of_chunks_are_skipped(tmp_path: Path) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"
    assert _body(tmp_path, raw) == b"abc"


def test_a_body_may_end_with_the_connection(tmp_path: Path) -> None:
    assert _body(tmp_path, b"HTTP/1.1 200 OK\r\n\r\nto the end", close=True) == b"to the end"


def test_an_interim_answer_is_passed_over(tmp_path: Path) -> None:
    assert _body(tmp_path, b"HTTP/1.1 100 Continue\r\n\r\n" + answer("200 OK", b"x")) == b"x"


def test_a_body_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        _body(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", close=True)


def test_chunks_that_break_off_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        _body(tmp_path, chunked("200 OK", b"abc", end=False), close=True)


def test_a_connection_closed_before_an_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        _body(tmp_path, b"", close=True)


@pytest.mark.parametrize("raw", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\r\n\r\n"])
def test_what_is_no_http_is_an_error(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        _body(tmp_path, raw)


def test_a_bad_chunk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError):
        _body(tmp_path, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


def test_a_connection_is_used_again_and_noticed_when_it_has_gone(tmp_path: Path) -> None:
    def reply(request: Request, connection: socket.socket) -> None:
        connection.sendall(answer("200 OK", request.target.encode()))
        if request.target == "/last":
            connection.shutdown(socket.SHUT_RDWR)

    with ScriptedEngine(tmp_path, reply) as engine:
        connection = Connection(engine.endpoint)
        for path in ("/one", "/two", "/last"):
            connection.send("GET", path)
            assert connection.receive().read() == path.encode()
            assert connection.idle
        assert engine.connections == 1
        connection.socket.settimeout(5)
        assert connection.socket.recv(1, socket.MSG_PEEK) == b""
        connection.socket.settimeout(None)
        assert connection.is_stale()
        connection.close()


def test_the_request_is_well_formed(tmp_path: Path) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(answer("204 No Content"))

    with ScriptedEngine(tmp_path, reply) as engine:
        connection = Connection(engine.endpoint)
        connection.send("POST", "/a?b=c", {"Content-Type": "application/json"}, b"{}")
        connection.receive().read()
        connection.send("POST", "/none")
        connection.receive().read()
        connection.send("PUT", "/blocks", None, iter([b"abc", b"", b"d" * 1000]))
        connection.receive().read()
        connection.close()
        first, second, third = engine.requests
    assert (first.method, first.target, first.body) == ("POST", "/a?b=c", b"{}")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["host"] == "localhost"
    assert second.headers["content-length"] == "0"
    assert third.body == b"abc" + b"d" * 1000


def test_an_early_refusal_of_a_long_body_is_read(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "early.sock"))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(answer("400 Bad Request", b"no"))
            connection.shutdown(socket.SHUT_RD)
            done.wait(5)

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    connection = Connection(Endpoint(f"unix://{tmp_path}/early.sock"))
    connection.send("POST", "/x", None, (b"x" * 65536 for _ in range(100)))
    response = connection.receive()
    assert (response.status, response.read()) == (400, b"no")
    done.set()
    thread.join(5)
    connection.close()
    listener.close()


def test_an_upgrade_gives_the_socket_and_what_was_already_read(tmp_path: Path) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nalready")
        assert connection.recv(5) == b"hello"
        connection.sendall(b"more")
        connection.shutdown(socket.SHUT_WR)

    with ScriptedEngine(tmp_path, reply) as engine:
        connection = Connection(engine.endpoint)
        connection.send("POST", "/attach", {"Connection": "Upgrade", "Upgrade": "tcp"})
        response = connection.receive()
        assert response.status == 101
        bare, unread = response.hijack()
        bare.sendall(b"hello")
        received = unread
        while data := bare.recv(100):
            received += data
        assert received == b"alreadymore"
        connection.close()


def test_lines_come_as_they_are_complete(tmp_path: Path) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(chunked("200 OK", b'{"a":1}\r\n{"b"', b":2}\n\n", b'{"c":3}'))

    with ScriptedEngine(tmp_path, reply) as engine:
        connection = Connection(engine.endpoint)
        connection.send("GET", "/events")
        assert list(connection.receive().lines()) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
        connection.close()


def test_nobody_at_the_socket_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CannotConnect) as caught:
        Connection(Endpoint(f"unix://{tmp_path}/none.sock"))
    expected = f"Cannot connect to the Cais daemon at unix://{tmp_path}/none.sock. Is the cais daemon running?"
    assert str(caught.value) == expected


def test_a_tcp_endpoint_is_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connection = Connection(Endpoint(f"tcp://127.0.0.1:{port}"))
        accepted, _ = listener.accept()
        connection.send("GET", "/x")
        assert f"Host: 127.0.0.1:{port}\r\n".encode() in accepted.recv(1000)
        accepted.close()
        connection.close()


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("unix:///run/x.sock", "/run/x.sock", 0),
        ("tcp://host:1234", "host", 1234),
        ("tcp://host", "host", 2375),
        ("tcp://[::1]:99", "::1", 99),
    ],
)
def test_endpoints_are_read(url: str, host: str, port: int) -> None:
    endpoint = Endpoint(url)
    assert (endpoint.host, endpoint.port) == (host, port)


@pytest.mark.parametrize("url", ["foo://x", "/run/x.sock", "unix://", ""])
def test_other_endpoints_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="invalid bind address format"):
        Endpoint(url)


def test_names_and_values_are_quoted() -> None:
    assert quote("a b/c:é") == "a%20b/c%3A%C3%A9"
    assert target("/x", {"filters": '{"a":["b/c"]}'}) == "/x?filters=%7B%22a%22%3A%5B%22b%2Fc%22%5D%7D"
    assert target("/x", {}) == "/x"
