"""Attach by websocket: the streams of a container in binary messages, as any client of the protocol has them."""

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.life import actions, create, post, refused, run, wait_for_status

ALL = "stream=1&stdin=1&stdout=1&stderr=1"

Open = Callable[[str, str], "AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse[bool]]"]


@pytest.fixture
async def attach(caisd: Daemon) -> AsyncIterator[Open]:
    """Opens a websocket on a container, with a query."""
    connector = aiohttp.UnixConnector(caisd.socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield lambda container, query: session.ws_connect(
            f"http://localhost/v1.51/containers/{container}/attach/ws?{query}", max_msg_size=0
        )


async def _rest(websocket: "aiohttp.ClientWebSocketResponse[bool]") -> bytes:
    """Everything up to the end of the stream, which is a proper close."""
    found = bytearray()
    async with asyncio.timeout(20):
        async for message in websocket:
            assert message.type is aiohttp.WSMsgType.BINARY
            found += message.data
    assert websocket.close_code == 1000
    return bytes(found)


def _memory_bytes(daemon: Daemon) -> int:
    """What the daemon has of its own."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


async def _until(websocket: "aiohttp.ClientWebSocketResponse[bool]", expected: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(20):
        while expected not in found:
            message = await websocket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY
            found += message.data
    return found


async def test_both_streams_come_raw_and_the_end_closes(caisd: Daemon, attach: Open) -> None:
    container = create(caisd, "sh", "-c", "echo out; sleep 0.1; echo err >&2")
    async with attach(container, ALL) as websocket:
        await asyncio.to_thread(post, caisd, container, "start")
        assert await _rest(websocket) == b"out\nerr\n"
    assert "attach" in actions(caisd, container)


async def test_only_the_streams_that_were_asked_for(caisd: Daemon, attach: Open) -> None:
    container = create(caisd, "sh", "-c", "echo out; echo err >&2")
    async with attach(container, "stream=1&stderr=1") as websocket:
        await asyncio.to_thread(post, caisd, container, "start")
        assert await _rest(websocket) == b"err\n"


async def test_input_goes_in_and_the_client_s_end_is_its_end(caisd: Daemon, attach: Open) -> None:
    container = run(caisd, "sh", "-c", "cat > /got; md5sum < /got", OpenStdin=True, StdinOnce=True)
    async with attach(container, ALL) as websocket:
        for _ in range(20):
            await websocket.send_bytes(b"x" * 50_000)
        await websocket.send_str("é")
    await asyncio.to_thread(wait_for_status, caisd, container, "exited")
    assert caisd.docker_output("logs", container).split()[0] == "49591da4952ee47049e85af4bc783a0e"


async def test_a_terminal_is_talked_to_and_detached_from(caisd: Daemon, attach: Open) -> None:
    container = run(caisd, "cat", Tty=True, OpenStdin=True)
    async with attach(container, f"{ALL}&detachKeys=a,b") as websocket:
        await websocket.send_bytes(b"hello\r")
        assert await _until(websocket, b"hello\r\nhello\r\n")
        await websocket.send_bytes(b"ab")
        await _rest(websocket)
    assert actions(caisd, container)[-1] == "detach"
    assert caisd.inspect(container)["State"]["Running"].flag


async def test_what_was_written_before_comes_first(caisd: Daemon, attach: Open) -> None:
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo all; read x; echo got $x"
    container = run(caisd, "sh", "-c", script, OpenStdin=True)
    await asyncio.to_thread(wait_until, lambda: caisd.docker_output("logs", "-n", "1", container) == "all")
    async with attach(container, "logs=1&stdout=1") as websocket:
        assert len(await _rest(websocket)) == sum(len(f"line {number}\n") for number in range(20_000)) + 4
    async with attach(container, f"logs=1&{ALL}") as websocket:
        await _until(websocket, b"all\n")
        await websocket.send_bytes(b"it\n")
        assert await _rest(websocket) == b"got it\n"


async def test_a_client_that_does_not_read_costs_no_memory(caisd: Daemon, attach: Open) -> None:
    container = run(caisd, "sh", "-c", "read x; head -c 30000000 /dev/zero; echo done", OpenStdin=True)
    before = _memory_bytes(caisd)
    async with attach(container, ALL) as websocket:
        await websocket.send_bytes(b"go\n")
        await asyncio.sleep(1)
        assert _memory_bytes(caisd) < before + (16 << 20)
        assert len(await _rest(websocket)) == 30_000_005


async def test_a_process_that_does_not_read_costs_no_memory(caisd: Daemon, attach: Open) -> None:
    container = run(caisd, "sleep", "1000", OpenStdin=True)
    before = _memory_bytes(caisd)
    async with attach(container, ALL) as websocket:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(200):
                    await websocket.send_bytes(b"x" * 500_000)
        assert _memory_bytes(caisd) < before + (16 << 20)
        await asyncio.to_thread(post, caisd, container, "kill")


async def test_a_message_without_measure_is_refused(caisd: Daemon, attach: Open) -> None:
    container = run(caisd, "cat", OpenStdin=True)
    async with attach(container, ALL) as websocket:
        with contextlib.suppress(ConnectionError):  # it may be told before it has sent all of it
            await websocket.send_bytes(b"x" * (2 << 20))
        async with asyncio.timeout(10):
            assert (await websocket.receive()).type is not aiohttp.WSMsgType.BINARY
        assert websocket.close_code in {1009, 1006}


async def test_the_daemon_s_end_closes_the_stream_and_not_the_container(private_caisd: Daemon) -> None:
    container = run(private_caisd, "sleep", "1000")
    connector = aiohttp.UnixConnector(private_caisd.socket)
    url = f"http://localhost/containers/{container}/attach/ws?{ALL}"
    async with aiohttp.ClientSession(connector=connector) as session, session.ws_connect(url) as websocket:
        stopped = asyncio.create_task(asyncio.to_thread(private_caisd.stop, 3))
        async with asyncio.timeout(5):
            assert (await websocket.receive()).type is not aiohttp.WSMsgType.BINARY
        assert await stopped == 0
    private_caisd.start()
    assert private_caisd.inspect(container)["State"]["Running"].flag


async def test_a_stream_is_left_with_its_container(caisd: Daemon, attach: Open) -> None:
    container = create(caisd, "true")
    async with attach(container, ALL) as websocket:
        await asyncio.to_thread(caisd.ask, "DELETE", f"/containers/{container}")
        assert await _rest(websocket) == b""


def _handshake(path: str, *headers: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _head(path: str, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(path)
        client.sendall(request)
        return client.recv(4096)


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost", b"101"), ("http://elsewhere.example", b"403"), ("null", b"403")],
)
def test_a_page_of_another_origin_is_refused(caisd: Daemon, origin: str, status: bytes) -> None:
    container = run(caisd, "sleep", "1000")
    request = _handshake(f"/containers/{container}/attach/ws?{ALL}", f"Origin: {origin}")
    assert _head(caisd.socket, request).split()[1] == status


def test_what_cannot_be_attached_to_is_told_in_http(caisd: Daemon) -> None:
    assert refused(caisd, "GET", "/containers/none/attach/ws") == (404, "No such container: none")
    container = run(caisd, "sleep", "1000")
    path = f"/containers/{container}/attach/ws"
    assert refused(caisd, "GET", f"{path}?detachKeys=xyz") == (400, "Invalid detach keys (xyz) provided")
    assert refused(caisd, "GET", path)[0] == 400
    post(caisd, container, "pause")
    assert refused(caisd, "GET", path)[0] == 409
