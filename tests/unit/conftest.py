"""Fixtures of the unit tests."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cais.client.codec import dumps
from cais.client.engine import API_VERSION
from tests.unit.scripted_engine import Request, ScriptedEngine, answer


class CannedEngine:
    """Answers requests from a table: "METHOD /path" and what is answered, JSON or the bytes of a whole answer.

    What is not in the table does not exist, as far as this engine knows.
    """

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.scripted: ScriptedEngine | None = None

    def refuse(self, request: str, status: str, message: str) -> None:
        self.answers[request] = answer(status, dumps({"message": message}))

    def reply(self, request: Request, connection: socket.socket) -> None:
        path = urlsplit(request.target).path.removeprefix(f"/v{API_VERSION}")
        found = self.answers.get(f"{request.method} {path}")
        if found is None:
            connection.sendall(answer("404 Not Found", dumps({"message": f"No such thing: {path}"})))
        elif isinstance(found, bytes):
            connection.sendall(found)
        else:
            connection.sendall(answer("200 OK", dumps(found), "Content-Type: application/json"))

    @property
    def requests(self) -> list[str]:
        """What was asked for: "METHOD /path?query"."""
        asked = self.scripted.requests if self.scripted else []
        return [f"{one.method} {one.target.removeprefix(f'/v{API_VERSION}')}" for one in asked]

    @property
    def bodies(self) -> list[bytes]:
        return [one.body for one in self.scripted.requests] if self.scripted else []


@pytest.fixture
def canned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CannedEngine]:
    """An engine that the commands of the test talk to, and a folder of settings of its own."""
    engine = CannedEngine()
    with ScriptedEngine(tmp_path, engine.reply) as scripted:
        engine.scripted = scripted
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("CAIS_HOST", scripted.url)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "settings"))
        yield engine
