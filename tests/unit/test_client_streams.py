"""Answers that are read as they come."""

import socket
from pathlib import Path

import pytest

from cais.client.engine import Engine
from cais.client.errors import ProtocolError
from cais.client.streams import Dechunker, LineStream
from tests.harness.engine import wait_until
from tests.unit.scripted_engine import Request, ScriptedEngine

BODY = b"5\r\nhello\r\n3;x=y\r\n on\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n"
CONTENT = b"hello on0123456789abcdef"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_chunks_are_joined_however_they_come(size: int) -> None:
    dechunker = Dechunker()
    content = b"".join(dechunker.feed(BODY[start : start + size]) for start in range(0, len(BODY), size))
    assert content == CONTENT
    assert dechunker.ended


def test_what_follows_the_last_chunk_is_not_content() -> None:
    dechunker = Dechunker()
    assert dechunker.feed(b"0\r\n\r\nHTTP/1.1") == b""
    assert dechunker.ended


def test_what_is_no_chunk_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not the size of a chunk"):
        Dechunker().feed(b"zz\r\n")


def _read(stream: LineStream, count: int) -> list[bytes]:
    found: list[bytes] = []

    def enough() -> bool:
        found.extend(stream.read())
        return len(found) >= count

    wait_until(enough)
    return found


def test_lines_are_given_when_they_are_whole(tmp_path: Path) -> None:
    connections: list[socket.socket] = []

    def reply(_: Request, connection: socket.socket) -> None:
        connections.append(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1\n2\r\n")

    with ScriptedEngine(tmp_path, reply) as scripted:
        stream = LineStream(Engine(scripted.endpoint).call("GET", "/events"))
        assert _read(stream, 1) == [b"1"]
        assert stream.read() == []
        connections[0].sendall(b"2\r\n3\n\r\n1\r\n4\r\n0\r\n\r\n")
        assert _read(stream, 2) == [b"23", b"4"]
        assert stream.ended
        stream.close()


def test_a_stream_without_chunks_ends_with_its_connection(tmp_path: Path) -> None:
    def reply(_: Request, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\na\n\nb")
        connection.shutdown(socket.SHUT_WR)

    with ScriptedEngine(tmp_path, reply) as scripted:
        stream = LineStream(Engine(scripted.endpoint).call("GET", "/events"))
        assert _read(stream, 2) == [b"a", b"b"]
        assert stream.ended
        stream.close()
