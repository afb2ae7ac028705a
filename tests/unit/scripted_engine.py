"""A server on a unix socket that answers HTTP requests as a test says, byte for byte."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cais.client.http import Endpoint


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Request, socket.socket], None]


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an answer with a counted body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(status: str, *chunks: bytes, end: bool = True) -> bytes:
    """The bytes of an answer in chunks."""
    head = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if end else b"")


class ScriptedEngine:
    """Listens while its context lasts. `reply` gets each request and the connection to answer on."""

    def __init__(self, folder: Path, reply: Answer) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._reply = reply
        self._path = folder / "engine.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.url)

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(5)
        for connection in self._open:
            connection.close()

    def _spawn(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._spawn(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while line := _readline(stream.readline):
                method, target, _ = line.decode().split(" ", 2)
                headers = {}
                while (field := _readline(stream.readline).strip()) != b"":
                    name, _, value = field.decode().partition(":")
                    headers[name.lower()] = value.strip()
                request = Request(method, target, headers, _body(headers, stream.read, stream.readline))
                self.requests.append(request)
                try:
                    self._reply(request, connection)
                except OSError:
                    return


def _readline(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError:
        return b""


def _body(headers: dict[str, str], read: Callable[[int], bytes], read_line: Callable[[], bytes]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        blocks = []
        while size := int(read_line(), 16):
            blocks.append(read(size))
            read_line()
        read_line()
        return b"".join(blocks)
    return read(int(headers.get("content-length", "0")))
