"""The progress of pulls and loads."""

import os
import pty
import socket
from pathlib import Path

import pytest

from cais.cli.command import CommandError
from cais.cli.progress import Display, show
from cais.client.engine import Engine
from cais.client.model import ProgressMessage
from tests.unit.scripted_engine import Request, ScriptedEngine, chunked

PULL: list[ProgressMessage] = [
    {"status": "Pulling from library/x", "id": "latest"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "aaa"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "bbb"},
    {"status": "Downloading", "progressDetail": {"current": 500_000, "total": 1_000_000}, "id": "aaa"},
    {"status": "Pull complete", "progressDetail": {}, "id": "aaa"},
    {"status": "Digest: sha256:123"},
    {"stream": "Loaded image: x:latest\n"},
]


def test_elsewhere_than_at_a_terminal_only_what_is_final_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    display = Display(1)
    for message in PULL:
        display.take(message)
    assert capfd.readouterr().out == (
        "latest: Pulling from library/x\n"
        "aaa: Pulling fs layer\n"
        "bbb: Pulling fs layer\n"
        "aaa: Pull complete\n"
        "Digest: sha256:123\n"
        "Loaded image: x:latest\n"
    )


def test_at_a_terminal_each_layer_has_its_line() -> None:
    reading, writing = pty.openpty()
    try:
        display = Display(writing)
        for message in PULL:
            display.take(message)
        shown = ""
        while "Loaded image" not in shown:
            shown += os.read(reading, 65536).decode()
    finally:
        os.close(reading)
        os.close(writing)
    assert "\x1b[2K\raaa: Pulling fs layer\r\n" in shown.replace("\r\r\n", "\r\n")
    assert "\x1b[2A\x1b[2K\raaa: Downloading    500kB/1MB\r\x1b[2B" in shown
    assert shown.endswith("Digest: sha256:123\r\nLoaded image: x:latest\r\n")


def test_quietly_nothing_is_written_and_errors_still_are_errors(capfd: pytest.CaptureFixture[str]) -> None:
    display = Display(None)
    for message in PULL:
        display.take(message)
    with pytest.raises(CommandError, match="no space"):
        display.take({"error": "no space", "errorDetail": {"message": "no space"}})
    assert capfd.readouterr().out == ""


def test_a_stream_that_ends_in_an_error_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def reply(_request: Request, connection: socket.socket) -> None:
        connection.sendall(
            chunked("200 OK", b'{"status":"one"}\r\n', b'{"errorDetail":{"message":"bad"},"error":"bad"}\r\n')
        )

    with ScriptedEngine(tmp_path, reply) as scripted:
        engine = Engine(scripted.endpoint)
        with pytest.raises(CommandError, match="bad"):
            show(engine.call("POST", "/images/create"), 1)
        engine.close()
    assert capfd.readouterr().out == "one\n"
