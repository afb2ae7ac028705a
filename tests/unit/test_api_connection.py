"""What is passed on to HTTP, and what is kept for a stream."""

import asyncio
from unittest.mock import Mock

import pytest

from cais.api.connection import Connection

ATTACH = b"POST /v1.50/containers/abc/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n"
EXEC = b"POST /exec/abc/start HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


class Inner(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


class Pair:
    def __init__(self) -> None:
        self.inner = Inner()
        self.transport = Mock(spec=asyncio.Transport)
        self.transport.is_closing.return_value = False
        self.connection = Connection(self.inner, set())
        self.connection.connection_made(self.transport)


@pytest.mark.parametrize("request_bytes", [ATTACH, EXEC])
def test_what_follows_in_the_same_segment_is_for_the_stream(request_bytes: bytes) -> None:
    pair = Pair()
    pair.connection.data_received(request_bytes + b"early")
    pair.connection.data_received(b" bird")
    assert pair.inner.received == request_bytes
    assert pair.connection.take() == b"early bird"


@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_request_in_pieces(size: int) -> None:
    pair = Pair()
    data = EXEC + b"early"
    pair.connection.data_received(data[:60])
    for start in range(60, len(data), size):
        pair.connection.data_received(data[start : start + size])
    assert pair.inner.received == EXEC
    assert pair.connection.take() == b"early"


def test_a_request_that_was_answered_in_http_gives_back_what_followed() -> None:
    pair = Pair()
    following = b"GET /_ping HTTP/1.1\r\n\r\n"
    pair.connection.data_received(ATTACH + following)
    pair.connection.release()
    assert pair.inner.received == ATTACH + following


def test_two_hijackable_requests_after_each_other() -> None:
    pair = Pair()
    pair.connection.data_received(ATTACH + EXEC + b"early")
    pair.connection.release()
    assert pair.inner.received == ATTACH + EXEC
    assert pair.connection.take() == b"early"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /containers/abc/attach HTTP/1.1\r\n\r\nrest",
        b"POST /containers/create HTTP/1.1\r\nContent-Length: 4\r\n\r\nrest",
        ATTACH.replace(b"Host: x", b"Transfer-Encoding: chunked") + b"rest",
    ],
)
def test_every_other_request_is_passed_on_as_it_comes(data: bytes) -> None:
    pair = Pair()
    pair.connection.data_received(data)
    assert pair.inner.received == data


def test_a_body_that_looks_like_a_request_is_no_request() -> None:
    pair = Pair()
    pair.connection.data_received(b"POST /images/load HTTP/1.1\r\nContent-Length: 500\r\n\r\n")
    pair.connection.data_received(ATTACH + b"more of the archive")
    assert pair.inner.received.endswith(ATTACH + b"more of the archive")


def test_too_much_for_the_stream_stops_reading() -> None:
    pair = Pair()
    pair.connection.data_received(ATTACH + b"x" * 70_000)
    pair.transport.pause_reading.assert_called()


def test_the_end_of_input_does_not_end_a_stream_that_begins() -> None:
    pair = Pair()
    pair.connection.data_received(ATTACH)
    assert pair.connection.eof_received() is True
    other = Pair()
    other.connection.data_received(b"GET /_ping HTTP/1.1\r\n\r\n")
    assert other.connection.eof_received() is False


async def test_a_task_is_cancelled_when_its_client_hangs_up() -> None:
    pair = Pair()

    async def wait_for_ever() -> None:
        with pair.connection.cancelled_when_lost():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    pair.connection.connection_lost(None)
    with pytest.raises(asyncio.CancelledError):
        await task
