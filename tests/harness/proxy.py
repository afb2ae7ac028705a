"""A proxy for tests, as HTTP_PROXY and HTTPS_PROXY name one: requests by absolute address, and tunnels by CONNECT.

Names that end with ".test" are this machine for it, and for nobody else.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

_PIECE_BYTES = 65536


class Proxy:
    """A running proxy; `requests` are the first lines of what it was asked, `address` is where."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for known in list(self._sockets):
            with contextlib.suppress(OSError):
                known.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._sockets.add(client)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(_PIECE_BYTES)
                if not piece:
                    return
                head += piece
            line, _, rest = head.partition(b"\r\n")
            self.requests.append(line.decode())
            method, target, version = line.decode().split(" ")
            split = urlsplit(f"//{target}" if method == "CONNECT" else target)
            name = "127.0.0.1" if (split.hostname or "").endswith(".test") else split.hostname
            with socket.create_connection((name, split.port or 80), 10) as server:
                self._sockets.add(server)
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = split.path + (f"?{split.query}" if split.query else "")
                    server.sendall(f"{method} {path} {version}\r\nConnection: close\r\n".encode() + rest)
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running_proxy() -> Iterator[Proxy]:
    """A proxy for the time of the block."""
    proxy = Proxy()
    try:
        yield proxy
    finally:
        proxy.close()


@contextlib.contextmanager
def port_to(path: str) -> Iterator[int]:
    """A port of loopback that leads to a unix socket, for clients that speak to no other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(path)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
