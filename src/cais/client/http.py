"""HTTP/1.1 over a unix or TCP socket: what the Engine API needs of it, and nothing else.

A `Connection` carries one request at a time: `send`, then `receive` a `Response`, then read its body to the end,
after which the connection can be used again. An answer to a request for an upgrade gives the bare socket away
(`Response.hijack`), which is how attach and exec stream.

It is written on `_socket` because `socket`, `http.client` and `urllib` take longer to import than a whole command
should take to run.
"""

from __future__ import annotations

import _socket
import os
from sys import byteorder

from cais.client.errors import CannotConnect, ConnectionLost, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BLOCK_BYTES = 65536
_LONGEST_HEAD_BYTES = 1 << 20
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/")


class Endpoint:
    """Where an engine listens: `unix:///path`, `tcp://host:port`, or, through the program ssh, `ssh://[user@]host[:port]`.

    Raises ValueError for another kind of address.
    `patience_seconds`, where it is set, is how long its connections wait for anything before an OSError.
    """

    __slots__ = ("host", "is_remote", "patience_seconds", "port", "url")

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in {"unix", "tcp", "http", "ssh"} or not rest:
            raise ValueError(f"invalid bind address format: {url}")
        self.url = url
        self.patience_seconds = 0
        self.host = rest
        self.port = 0
        self.is_remote = scheme == "ssh"
        if scheme in {"tcp", "http"}:
            host, _, port = rest.rstrip("/").rpartition(":")
            if not port.isdigit():
                host, port = f"{host}:{port}".strip(":"), "2375"
            self.host = host.strip("[]") or "127.0.0.1"
            self.port = int(port)

    @property
    def is_unix(self) -> bool:
        return self.port == 0 and not self.is_remote

    def connect(self) -> _socket.socket:
        """A connected stream socket. Raises OSError."""
        if self.is_remote:
            from cais.client.ssh import connect_through_ssh  # noqa: PLC0415 -- seldom needed

            return connect_through_ssh(self.host)
        if self.is_unix:
            return self._connected(_socket.AF_UNIX, self.host)
        failure: OSError | None = None
        for family, _, _, _, address in _socket.getaddrinfo(self.host, self.port, 0, _socket.SOCK_STREAM):
            try:
                return self._connected(family, address)
            except OSError as error:
                failure = error
        raise failure or OSError(f"no address for {self.host}")

    def _connected(self, family: int, address: str | tuple[object, ...]) -> _socket.socket:
        made = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            if self.patience_seconds:
                interval = self.patience_seconds.to_bytes(8, byteorder) + bytes(8)  # struct timeval
                made.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, interval)
                made.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, interval)
            made.connect(address)
        except BaseException:
            made.close()
            raise
        return made


def quote(text: str) -> str:
    """`text` with everything but unreserved characters and slashes percent-encoded (RFC 3986, section 2.1)."""
    raw = text.encode("utf-8", "surrogateescape")
    if _UNRESERVED.issuperset(raw):
        return text
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)


def target(path: str, query: Mapping[str, str | Sequence[str]] | None = None) -> str:
    """`path`, which is already quoted, with `query` behind it; a name with several values stands there for each."""
    if not query:
        return path
    pairs = [
        f"{quote(name)}={quote(value).replace('/', '%2F')}"
        for name, values in query.items()
        for value in ((values,) if isinstance(values, str) else values)
    ]
    return f"{path}?{'&'.join(pairs)}" if pairs else path


class Connection:
    """One connection to an engine. Raises CannotConnect, ConnectionLost and ProtocolError."""

    __slots__ = ("_at", "_unread", "asked", "endpoint", "idle", "socket")

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            self.socket = endpoint.connect()
        except OSError as error:
            raise CannotConnect(endpoint.url, error) from error
        self.endpoint = endpoint
        self.idle = True
        self.asked = ""  # the method of the last request
        self._unread = b""
        self._at = 0  # where in _unread the next byte to be read is

    def close(self) -> None:
        self.idle = False
        self.socket.close()

    def is_stale(self) -> bool:
        """Whether the engine closed this idle connection (or said something unasked)."""
        try:
            return self.socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT) is not None
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(
        self,
        method: str,
        location: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] = b"",
    ) -> None:
        """Send a request; a body that is not `bytes` goes in chunks. The answer is then due from `receive`."""
        self.idle = False
        self.asked = method
        host = f"{self.endpoint.host}:{self.endpoint.port}" if self.endpoint.port else "localhost"
        lines = [f"{method} {location} HTTP/1.1", f"Host: {host}", "User-Agent: cais"]
        lines.extend(f"{name}: {value}" for name, value in (headers or {}).items())
        if not isinstance(body, bytes):
            lines.append("Transfer-Encoding: chunked")
        elif body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        try:
            if isinstance(body, bytes):
                self._send_all(head + body)
                return
            self._send_all(head)
            for block in body:
                if block:
                    self._send_chunk(block)
            self._send_all(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            # Refused before it was sent to the end: the answer that says why is waiting to be read, or nothing is.
            return

    def _send_chunk(self, block: bytes) -> None:
        """A chunk (RFC 9112, section 7.1), as far as possible without copying it."""
        head = b"%x\r\n" % len(block)
        sent = self.socket.sendmsg([head, block, b"\r\n"], (), _socket.MSG_NOSIGNAL)
        if sent < len(head) + len(block) + 2:
            self._send_all(memoryview(b"".join((head, block, b"\r\n")))[sent:])

    def _send_all(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.socket.send(rest, _socket.MSG_NOSIGNAL) :]

    def receive(self) -> Response:
        """Read the head of the answer."""
        while True:
            lines = self._read_head()
            version, _, rest = lines[0].partition(" ")
            status_text, _, reason = rest.partition(" ")
            if not version.startswith("HTTP/1.") or not status_text.isdigit():
                raise ProtocolError(f"not an HTTP answer: {lines[0][:80]!r}")
            status = int(status_text)
            if status == 100:
                continue
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            return Response(self, status, reason, headers)

    def _read_head(self) -> list[str]:
        while (end := self._unread.find(b"\r\n\r\n", self._at)) < 0:
            if len(self._unread) - self._at > _LONGEST_HEAD_BYTES:
                raise ProtocolError("the head of an answer does not end")
            self._fill()
        head, self._at = self._unread[self._at : end], end + 4
        return head.decode("latin-1").split("\r\n")

    def _fill(self) -> None:
        if not (data := self._receive_some()):
            raise ConnectionLost
        self._unread, self._at = self._unread[self._at :] + data, 0

    def _receive_some(self) -> bytes:
        try:
            return self.socket.recv(BLOCK_BYTES)
        except ConnectionResetError:
            return b""

    def read_some(self, most_bytes: int) -> bytes:
        """At least one byte and at most `most_bytes`, or nothing at the end of the stream."""
        if self._at == len(self._unread):
            self._unread, self._at = self._receive_some(), 0
        data = self._unread[self._at : self._at + most_bytes]
        self._at += len(data)
        return data

    def read_line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._unread.find(b"\n", self._at)) < 0:
            self._fill()
        line, self._at = self._unread[self._at : end], end + 1
        return line.rstrip(b"\r")

    def has_line(self) -> bool:
        """Whether `read_line` would return without waiting."""
        return self._unread.find(b"\n", self._at) >= 0

    def take_unread(self) -> bytes:
        """What was read past the last answer's head; the reader of the bare socket gets it first."""
        data, self._unread, self._at = self._unread[self._at :], b"", 0
        return data


class Response:
    """The head of an answer, and its body as the engine sends it."""

    __slots__ = ("connection", "headers", "reason", "status")

    def __init__(self, connection: Connection, status: int, reason: str, headers: dict[str, str]) -> None:
        self.connection = connection
        self.status = status
        self.reason = reason
        self.headers = headers
        if status in {204, 304} or headers.get("content-length") == "0" or connection.asked == "HEAD":
            self._finish()

    def _finish(self) -> None:
        if self.headers.get("connection", "").lower() == "close":
            self.connection.close()
        else:
            self.connection.idle = True

    def blocks(self) -> Iterator[bytes]:
        """The body in pieces, as they come; the connection can be used again after the last."""
        if self.connection.idle or self.status in {204, 304}:
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in self.headers:
            yield from self._counted(int(self.headers["content-length"]))
        else:
            while data := self.connection.read_some(BLOCK_BYTES):
                yield data
            self.connection.close()
            return
        self._finish()

    def _counted(self, left: int) -> Iterator[bytes]:
        while left:
            data = self.connection.read_some(min(left, BLOCK_BYTES))
            if not data:
                raise ConnectionLost
            left -= len(data)
            yield data

    def _chunks(self) -> Iterator[bytes]:
        """The content of chunks (RFC 9112, section 7.1). Many small ones that came together leave together."""
        connection = self.connection
        ready: list[bytes] = []
        while True:
            if ready and not connection.has_line():
                yield b"".join(ready)
                ready.clear()
            size_text = connection.read_line().partition(b";")[0]
            try:
                left = int(size_text, 16)
            except ValueError:
                raise ProtocolError(f"not the size of a chunk: {size_text[:40]!r}") from None
            if not left:
                break
            while left:
                data = connection.read_some(left)
                if not data:
                    raise ConnectionLost
                ready.append(data)
                left -= len(data)
                if left:
                    yield b"".join(ready)
                    ready.clear()
            connection.read_line()
        while connection.read_line():
            pass  # trailer fields
        if ready:
            yield b"".join(ready)

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.blocks())

    def lines(self) -> Iterator[bytes]:
        """The lines of the body as they come, without their ends; empty ones are left out."""
        rest = b""
        for block in self.blocks():
            *whole, rest = (rest + block).split(b"\n")
            yield from (stripped for line in whole if (stripped := line.strip()))
        if stripped := rest.strip():
            yield stripped

    def hijack(self) -> tuple[_socket.socket, bytes]:
        """The bare socket of an upgraded connection, and what was already read from it. The caller owns it now."""
        return self.connection.socket, self.connection.take_unread()


def blocks_of(descriptor: int, size_bytes: int = 1 << 18) -> Iterator[bytes]:
    """What can be read from a descriptor, to its end."""
    while block := os.read(descriptor, size_bytes):
        yield block
