"""The applications of `examples`: started by Compose, and by hand, they do what their files promise."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.harness.engine import PROJECT, Engine, wait_until

EXAMPLES = PROJECT / "examples"
# Each image has packages to fetch, the first time also a Debian to make.
_PATIENCE_SECONDS = 400


class Application:
    """An example, its programs and its page."""

    def __init__(self, engine: Engine, name: str, port: int) -> None:
        self.engine = engine
        self.folder = EXAMPLES / name
        self.name = f"example-{name}"
        self.port = port

    def compose(self, *words: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "cais.cli", "compose", "-p", self.name, *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            cwd=self.folder,
            env=self.engine.environment(),
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def get(self, path: str = "/") -> tuple[int, str]:
        """The status and the text of a page; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)


def _application(engine: Engine, name: str, port: int) -> Application:
    if engine.ask("POST", "/build?dockerfile=none").status == 501:
        pytest.skip("this engine does not build yet")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            pytest.skip(f"port {port} of this machine is in use")
    return Application(engine, name, port)


@pytest.fixture
def books(engine: Engine) -> Iterator[Application]:
    made = _application(engine, "books", 3000)
    yield made
    made.compose("down", "-v", "--remove-orphans")


@pytest.fixture
def scale(engine: Engine) -> Iterator[Application]:
    made = _application(engine, "scale", 3080)
    yield made
    made.compose("down", "-v", "--remove-orphans")


@pytest.mark.timeout(_PATIENCE_SECONDS)
def test_books_started_by_compose(books: Application) -> None:
    books.compose("up", "-d", "--wait")
    assert books.get() == (200, _page("<p>No books yet. <a href='/seed'>Write some.</a></p>"))
    assert books.get("/seed")[0] == 200
    assert "<li>Moby-Dick, by Herman Melville</li>" in books.get()[1]
    books.compose("stop", "db")
    status, text = books.get()
    assert status == 503
    assert "Moby-Dick" not in text
    assert "The database cannot be reached" in text
    books.compose("start", "db")
    wait_until(lambda: "Moby-Dick" in books.get()[1], 20)
    books.compose("down")
    assert books.get()[0] == 0
    books.compose("up", "-d", "--wait")
    assert "Moby-Dick" in books.get()[1]
    books.compose("down", "-v")
    books.compose("up", "-d", "--wait")
    assert "No books yet" in books.get()[1]


def _page(content: str) -> str:
    return f"<!doctype html><meta charset='utf-8'><title>Books</title><h1>Books</h1>{content}\n"


@pytest.mark.timeout(_PATIENCE_SECONDS)
def test_books_started_by_hand(books: Application) -> None:
    books.compose("build", "-q")
    run = books.engine.docker_output
    run("network", "create", "books-by-hand")
    try:
        run("run", "-d", "--name", "books-db", "--network", "books-by-hand", f"{books.name}-db")
        web = ("-e", "DATABASE=books-db:6379", "-p", "3000:8080", f"{books.name}-web")
        run("run", "-d", "--name", "books-web", "--network", "books-by-hand", *web)
        wait_until(lambda: "No books yet" in books.get()[1], 20)
        assert books.get("/seed")[0] == 200
        assert "Frankenstein" in books.get()[1]
        run("stop", "books-db")
        assert books.get()[0] == 503
    finally:
        books.engine.docker("rm", "-f", "-v", "books-web", "books-db")
        books.engine.docker("network", "rm", "books-by-hand")


@pytest.mark.timeout(_PATIENCE_SECONDS)
def test_a_proxy_passes_requests_on_to_each_of_five(scale: Application) -> None:
    scale.compose("up", "-d", "--wait", "--scale", "web=5")
    assert len({scale.get()[1] for _ in range(25)}) == 5
    scale.compose("up", "-d", "--wait", "--scale", "web=2")
    wait_until(lambda: len({scale.get()[1] for _ in range(10)}) == 2, 20)
