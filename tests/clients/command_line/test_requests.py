"""What docker asks an engine for, our own command asks for too: a server writes down the requests of both."""

import json
import os
import re
import shlex
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from tests.clients.command_line.request_cases import CREATED, NETWORKS, OTHERS, REFUSED
from tests.harness.engine import PROJECT
from tests.unit.scripted_engine import Request, ScriptedEngine, answer

API = "Api-Version: 1.50"
CONTAINER: dict[str, Any] = {"Id": "a", "State": {"Status": "exited"}, "Config": {}, "HostConfig": {}}
CONTAINER["NetworkSettings"] = {"Ports": {}}
RANGE = {"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}
NETWORK: dict[str, Any] = {
    "Name": "net10",
    "Id": "a" * 64,
    "Created": "2025-01-02T03:04:05.678901234Z",
    "Scope": "local",
}
NETWORK |= {"Driver": "bridge", "EnableIPv4": True, "IPAM": {"Driver": "default", "Options": {}, "Config": [RANGE]}}
NETWORK |= {"Labels": {"a": "b"}}
OTHER_NETWORK = {"Name": "net9", "Id": "b" * 64, "Created": "2025-01-02T03:04:05+02:00", "Internal": True}
ANSWERS: dict[str, object] = {
    "/containers/create": {"Id": "c0ffee", "Warnings": []},
    "/containers/json": [],
    "/containers/prune": {},
    "/images/json": [],
    "/images/prune": {},
    "/images/search": [],
    "/auth": {"Status": "Login Succeeded"},
    "/commit": {"Id": "sha256:c0ffee"},
    "/history": [],
    "/info": {"OSType": "linux"},
    "/system/df": {},
    "/version": {"Os": "linux"},
    "/changes": [],
    "/exec": {"Id": "e"},
    "/json": CONTAINER,
    "/networks": [NETWORK, OTHER_NETWORK],
    "/networks/a": NETWORK,
    "/networks/create": {"Id": "c0ffee"},
    "/networks/prune": {"NetworksDeleted": ["a", "b"]},
    "/stats": {"id": "c0ffee", "name": "/a"},
    "/top": {"Titles": ["PID"], "Processes": []},
    "/update": {},
    "/wait": {"StatusCode": 0},
}
UNORDERED = {"Binds", "Env"}  # docker keeps these in maps on the way
LOOKED_UP = {"/containers/a/json", "/networks/a", "/networks/missing"}  # by docker before it asks for what it is to do


def reply(request: Request, connection: socket) -> None:
    path = urlsplit(request.target).path
    found = next((content for end, content in ANSWERS.items() if path.endswith(end)), None)
    if path.endswith("/_ping"):
        connection.sendall(answer("200 OK", b"" if request.method == "HEAD" else b"OK", API, "Ostype: linux"))
    elif "/networks/missing" in path:
        message = b'{"message":"network missing not found"}'
        connection.sendall(answer("404 Not Found", message, API, "Content-Type: application/json"))
    elif path.endswith(("/export", "/logs", "/events")) or request.method == "DELETE":
        body = b"[]" if request.method == "DELETE" and "/images/" in path else b""
        connection.sendall(answer("200 OK", body, API, "Content-Type: application/vnd.docker.multiplexed-stream"))
    elif found is not None:
        connection.sendall(answer("200 OK", json.dumps(found).encode(), API, "Content-Type: application/json"))
    else:
        connection.sendall(answer("204 No Content", b"", API))


@dataclass(frozen=True)
class Asked:
    """One request, without what is only the way of saying it."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    content: Any
    credentials: Any


def asked(request: Request) -> Asked | None:
    """None for what does not matter: the question for the version of the API."""
    url = urlsplit(request.target)
    path = re.sub(r"^/v[\d.]+", "", url.path)
    if path == "/_ping":
        return None
    query = sorted((name, lists(value) if name == "filters" else value) for name, value in parse_qsl(url.query))
    query = [(name, value) for name, value in query if (name, value) != ("filters", "{}")]
    is_json = request.headers.get("content-type", "application/json") == "application/json"
    content = told(json.loads(request.body)) if request.body and is_json else {}
    credentials = json.loads(urlsafe_b64decode(request.headers.get("x-registry-auth", "e30=")))
    return Asked(request.method, unquote(path), tuple(query), content, credentials)


def lists(filters: str) -> str:
    """Filters with lists for values; docker sends maps where we send lists, and the API takes both."""
    return json.dumps({name: sorted(values) for name, values in sorted(json.loads(filters).items())})


def told(value: Any) -> Any:
    """What a document says, without what it says nothing about: docker writes every field down."""
    if isinstance(value, list):
        return [told(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {name: told(sorted(item) if name in UNORDERED and item else item) for name, item in value.items()}
    return {name: item for name, item in inner.items() if _says_something(name, item)}


def _says_something(name: str, item: object) -> bool:
    if name in {"MaskedPaths", "ReadonlyPaths"} and item == []:  # none, instead of the usual ones
        return True
    if name == "MemorySwappiness" and item == -1:
        return False
    if item == {} and "/" in name:  # of a port that is exposed, or a volume, the name is all there is
        return True
    if name in {"ConsoleSize", "Detach"}:  # only docker says it where it means nothing
        return False
    return item not in (None, False, 0, "", [], {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are named on command lines."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "labels").write_text("x=y\n# no\nz\n")
    (folder / "env").write_text("A=1\nSET_NAME\nUNSET_NAME\n")
    (folder / ".docker").mkdir()
    credentials = {"auth": "dXNlcjpwPz4+fg==", "identitytoken": "t"}
    (folder / ".docker" / "config.json").write_text(json.dumps({"auths": {"h:1": credentials}}))
    (folder / "empty.tar").write_bytes(bytes(1024))
    (folder / "seccomp.json").write_text('{\n  "defaultAction": "SCMP_ACT_ALLOW" }\n')
    return folder


@pytest.fixture(scope="module")
def engine_(folder: Path) -> Iterator[ScriptedEngine]:
    with ScriptedEngine(folder, reply) as engine:
        yield engine


@dataclass(frozen=True)
class Outcome:
    """What came of a command."""

    status: int
    output: str
    errors: str
    requests: list[Asked]


def outcome(engine: ScriptedEngine, folder: Path, program: list[str], words: list[str]) -> Outcome:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DOCKER_HOST": engine.url,
        "PYTHONPATH": str(PROJECT / "src"),
        "SET_NAME": "set",
        "COLUMNS": "80",
    }
    engine.requests.clear()
    done = subprocess.run(
        [*program, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )
    requests = [found for request in engine.requests if (found := asked(request)) is not None]
    errors = re.sub(r"\bdocker\b", "cais", done.stderr)
    return Outcome(done.returncode, done.stdout, errors, requests)


def both(engine: ScriptedEngine, folder: Path, line: str) -> tuple[Outcome, Outcome]:
    words = shlex.split(line.format(files=folder))
    return (
        outcome(engine, folder, ["docker"], words),
        outcome(engine, folder, [sys.executable, "-m", "cais.cli"], words),
    )


def actions(outcome: Outcome) -> list[Asked]:
    """What was asked for in the end; of several at once nobody knows which comes first."""
    without = [one for one in outcome.requests if one.method != "GET" or one.path not in LOOKED_UP]
    return sorted(without or outcome.requests, key=repr)


@pytest.mark.parametrize("line", CREATED)
def test_the_same_container_is_asked_for(engine_: ScriptedEngine, folder: Path, line: str) -> None:
    docker, cais = both(engine_, folder, f"create {line}")
    assert docker.status == 0, docker.errors
    assert cais == docker


@pytest.mark.parametrize("line", REFUSED)
def test_the_same_is_refused_in_the_same_words(engine_: ScriptedEngine, folder: Path, line: str) -> None:
    docker, cais = both(engine_, folder, f"create {line}")
    assert cais == docker


@pytest.mark.parametrize("line", OTHERS)
def test_other_commands_ask_for_the_same(engine_: ScriptedEngine, folder: Path, line: str) -> None:
    docker, cais = both(engine_, folder, line)
    assert cais.status == docker.status
    assert actions(cais) == actions(docker)


@pytest.mark.parametrize("line", NETWORKS)
def test_networks_are_asked_for_shown_and_refused_alike(engine_: ScriptedEngine, folder: Path, line: str) -> None:
    docker, cais = both(engine_, folder, f"network {line}")
    assert (cais.status, cais.output, cais.errors) == (docker.status, docker.output, docker.errors)
    assert actions(cais) == actions(docker)


@pytest.mark.parametrize("name", ["connect", "create", "disconnect", "inspect", "ls", "prune", "rm"])
def test_the_help_about_networks_is_docker_s(engine_: ScriptedEngine, folder: Path, name: str) -> None:
    docker, cais = both(engine_, folder, f"network {name} --help")
    assert cais.output == re.sub(r"\bdocker\b(?!\.com)", "cais", docker.output)
