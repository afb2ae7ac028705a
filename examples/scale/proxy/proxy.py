"""Passes each request on to the next of the servers that the name of a service stands for."""

from __future__ import annotations

import itertools
import os
import socket
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
HOST, _, BACKEND_PORT = os.environ.get("BACKEND", "web:8000").rpartition(":")
turns = itertools.count()


def addresses() -> list[str]:
    """Of all containers of the service; asked for anew each time, since their number may change."""
    found = socket.getaddrinfo(HOST, int(BACKEND_PORT), socket.AF_INET, socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name that the base class calls
        try:
            known = addresses()
            chosen = known[next(turns) % len(known)]
            with urllib.request.urlopen(f"http://{chosen}:{BACKEND_PORT}{self.path}", timeout=5) as answer:
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.read())
        except OSError as error:
            self._answer(502, f"{HOST} cannot be reached: {error}\n".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Proxy).serve_forever()
