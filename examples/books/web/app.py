"""A page of books out of Redis: `/` shows them, `/seed` writes some.

`app.py check` asks the page itself whether it answers, for the health check.
"""

from __future__ import annotations

import html
import os
import socket
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO

PORT = 8080
BOOKS = {
    "Moby-Dick": "Herman Melville",
    "Frankenstein": "Mary Shelley",
    "The Trial": "Franz Kafka",
}


class Unreachable(Exception):
    """The database does not answer."""


def ask(*words: str) -> list[str]:
    """Send one command to Redis (RESP, https://redis.io/docs/reference/protocol-spec): the lines of its answer."""
    host, _, port = os.environ.get("DATABASE", "db:6379").rpartition(":")
    request = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    try:
        with socket.create_connection((host, int(port)), timeout=2) as connection:
            connection.sendall(f"*{len(words)}\r\n{request}".encode())
            with connection.makefile("rb") as answer:
                return _lines(answer)
    except OSError as error:
        raise Unreachable(str(error)) from error


def _lines(answer: BinaryIO) -> list[str]:
    head = answer.readline().decode().strip()
    kind, rest = head[:1], head[1:]
    if kind == "-":
        raise Unreachable(rest)
    if kind == "$":
        return [] if rest == "-1" else [answer.read(int(rest) + 2)[:-2].decode()]
    if kind == "*":
        return [line for _ in range(int(rest)) for line in _lines(answer)]
    return [rest]


def page() -> tuple[int, str]:
    """The status and the text of the page."""
    try:
        found = ask("HGETALL", "books")
    except Unreachable as error:
        return 503, f"<h1>Books</h1><p>The database cannot be reached: {html.escape(str(error))}</p>"
    if not found:
        return 200, "<h1>Books</h1><p>No books yet. <a href='/seed'>Write some.</a></p>"
    books = sorted(zip(found[::2], found[1::2], strict=True))
    items = "".join(f"<li>{html.escape(title)}, by {html.escape(author)}</li>" for title, author in books)
    return 200, f"<h1>Books</h1><ul>{items}</ul>"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name that the base class calls
        if self.path == "/health":
            self._answer(200, "well")
        elif self.path == "/seed":
            self._seed()
        elif self.path == "/":
            self._answer(*page())
        else:
            self._answer(404, "<h1>There is no such page</h1>")

    def _seed(self) -> None:
        try:
            for title, author in BOOKS.items():
                ask("HSET", "books", title, author)
        except Unreachable as error:
            self._answer(503, f"<p>The database cannot be reached: {html.escape(str(error))}</p>")
            return
        self._answer(200, f"<p>{len(BOOKS)} books written. <a href='/'>See them.</a></p>")

    def _answer(self, status: int, text: str) -> None:
        body = f"<!doctype html><meta charset='utf-8'><title>Books</title>{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    if sys.argv[1:] == ["check"]:
        urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2).read()
        return
    ThreadingHTTPServer(("", PORT), Page).serve_forever()


if __name__ == "__main__":
    main()
