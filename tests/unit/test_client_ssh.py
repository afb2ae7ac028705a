"""Engines on other machines, through ssh."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cais.client.engine import Engine
from cais.client.http import Endpoint
from cais.client.ssh import ssh_command
from tests.harness.engine import PROJECT
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import Request, ScriptedEngine, answer

SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
echo "$2" >{folder}/machine
exec /bin/sh -c "$3"
"""
CAIS = """#!/bin/sh
export PYTHONPATH={source}
exec {python} -m cais.cli "$@"
"""


@pytest.fixture
def machine(canned: CannedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in which a made-up ssh writes the machine that it was to go to: there, cais is installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("ssh", SSH), ("cais", CAIS)):
        program = programs / name
        program.write_text(text.format(folder=tmp_path, source=PROJECT / "src", python=sys.executable))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    canned.answers["GET /networks"] = [{"Name": "bridge", "Filler": "x" * 300_000}]
    yield tmp_path / "machine"
    with suppress(ChildProcessError):
        while True:
            os.wait()  # a command leaves that to its own end, which is near


def test_requests_go_through_ssh(machine: Path) -> None:
    engine = Engine(Endpoint("ssh://me@far.example:2222"))
    for _ in range(2):
        assert engine.fetch("GET", "/networks")[0]["Name"] == "bridge"
    assert machine.read_text() == "far.example\n"
    engine.close()


def test_a_long_request_meets_a_long_answer(canned: CannedEngine, machine: Path) -> None:
    body = {"Image": "x" * 3_000_000}
    canned.answers["POST /containers/create"] = {"Id": "y" * 3_000_000}
    engine = Engine(Endpoint("ssh://far.example"))
    assert len(engine.fetch("POST", "/containers/create", None, body)["Id"]) == 3_000_000
    assert machine.exists()
    engine.close()


def test_streams_are_carried_to_the_end_of_both(machine: Path) -> None:
    def reply(request: Request, connection: socket.socket) -> None:
        connection.sendall(answer("200 OK", request.body))
        connection.shutdown(socket.SHUT_WR)

    with ScriptedEngine(machine.parent / "bin", reply) as engine:
        command = [str(machine.parent / "bin/cais"), "-H", engine.url, "system", "dial-stdio"]
        request = b"POST /x HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000
        done = subprocess.run(command, input=request, check=True, capture_output=True, timeout=30)
    assert done.stdout == answer("200 OK", b"x" * 300_000)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("host", ["--", "host"]),
        ("me@host", ["-l", "me", "--", "host"]),
        ("me@host:22", ["-l", "me", "-p", "22", "--", "host"]),
        ("[fd00::1]:22", ["-p", "22", "--", "fd00::1"]),
        ("[fd00::1]", ["--", "fd00::1"]),
        ("host/", ["--", "host"]),
    ],
)
def test_an_address_is_taken_apart(address: str, words: list[str]) -> None:
    command = ssh_command(address)
    assert command[4:-1] == words
    assert command[-1].startswith("if command -v docker ")


@pytest.mark.parametrize("address", ["", "-oProxyCommand=x", "me@-x", "-x@host", "host:x", "host/path", "me@"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(OSError, match="invalid SSH host: "):
        ssh_command(address)
