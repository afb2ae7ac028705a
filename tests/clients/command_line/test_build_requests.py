"""What docker asks an engine to build, our own command asks for too: the same parameters, archive and credentials."""

import io
import json
import os
import shlex
import socket
import subprocess
import sys
import tarfile
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.harness.engine import PROJECT
from tests.unit.scripted_engine import Request, ScriptedEngine, answer, chunked

ID = "sha256:" + "c" * 64
CASES = """
.
-t a -t b:1 .
-f other .
-f ../outside .
--build-arg A=1 --build-arg SET_NAME --build-arg UNSET_NAME --label l=v --label m .
--target x --no-cache --pull --network none --squash --platform linux/amd64 .
--cache-from a --cache-from b:1 --add-host h:1.2.3.4 --add-host i:host-gateway .
-m 1g --memory-swap -1 --cpu-period 1 --cpu-quota 2 -c 3 --cpuset-cpus 0 --cpuset-mems 0 --shm-size 1m .
--ulimit nofile=1:2 --ulimit core=0 --cgroup-parent p --security-opt seccomp=unconfined .
--force-rm --rm=false .
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / ".docker").mkdir()
    (folder / ".docker" / "config.json").write_text(json.dumps({"auths": {"h:1": {"auth": "dTpw"}}}))
    (folder / "outside").write_text("FROM outside\n")
    context = folder / "context"
    (context / "deep" / "er").mkdir(parents=True)
    (context / "left" / "in").mkdir(parents=True)
    for name in ("Dockerfile", "other", "deep/file", "deep/er/x", "left/out", "left/in/y", "é", "n" * 150, "program"):
        (context / name).write_text(f"FROM {name}\n" * 100)
    (context / "link").symlink_to("deep/file")
    os.link(context / "program", context / "same")
    os.chmod(context / "program", 0o700)
    os.mkfifo(context / "fifo")
    (context / ".dockerignore").write_text("# no\nleft/out\n*/er\nDockerfile\n")
    return folder


@pytest.fixture(scope="module")
def engine_(folder: Path) -> Iterator[ScriptedEngine]:
    def reply(request: Request, connection: socket.socket) -> None:
        if urlsplit(request.target).path.endswith("/build"):
            connection.sendall(chunked("200 OK", json.dumps({"aux": {"ID": ID}}).encode() + b"\n"))
        else:
            headers = ("Api-Version: 1.51", "Ostype: linux", "Docker-Experimental: true")
            connection.sendall(answer("200 OK", b"" if request.method == "HEAD" else b"OK", *headers))

    with ScriptedEngine(folder, reply) as engine:
        yield engine


@dataclass(frozen=True)
class Asked:
    """One request to build."""

    query: dict[str, object]
    members: list[tuple[object, ...]]
    registries: object


def asked(request: Request) -> Asked:
    query: dict[str, object] = {}
    for name, value in parse_qsl(urlsplit(request.target).query):
        found = json.loads(value) if value[:1] in "[{n" and value not in ("none",) else value
        known = query.get(name)
        query[name] = found if known is None else [*(known if isinstance(known, list) else [known]), found]
    said = {name: value for name, value in query.items() if value not in ("", "0", None, [], {}) or name == "rm"}
    # docker leaves out what is so anyway, and names its builder differently from version to version
    said.pop("version", None)
    said.setdefault("rm", "1")
    limits = said.get("ulimits")
    if isinstance(limits, list):
        said["ulimits"] = sorted(json.dumps(limit, sort_keys=True) for limit in limits)
    if str(said.get("dockerfile", "")).startswith(".dockerfile."):
        said["dockerfile"] = ".dockerfile.x"
    registries = json.loads(urlsafe_b64decode(request.headers.get("x-registry-config", "e30=")))
    return Asked(said, list(members(request.body)), registries)


def members(body: bytes) -> Iterator[tuple[object, ...]]:
    found = []
    # docker leaves out the end of an archive whose Dockerfile it has put in
    with tarfile.open(fileobj=io.BytesIO(body + bytes(1024))) as archive:
        for member in archive:
            generated = member.name.startswith(".dockerfile.")
            name = ".dockerfile.x" if generated else member.name
            opened = archive.extractfile(member) if member.isreg() else None
            content = b"" if opened is None else opened.read()
            if member.name == ".dockerignore":
                content = b"\n".join(line for line in content.split(b"\n") if not line.startswith(b".dockerfile."))
            mode = 0 if generated or member.name == ".dockerignore" else member.mode
            found.append((name, member.type, mode, member.uid, member.gid, member.linkname, content))
    return iter(sorted(found, key=str))


def outcome(engine: ScriptedEngine, program: list[str], words: list[str], folder: Path) -> Asked:
    engine.requests.clear()
    environment = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
        "DOCKER_HOST": engine.url,
        "CAIS_HOST": engine.url,
        "DOCKER_BUILDKIT": "0",
        "SET_NAME": "set",
        "PYTHONPATH": str(PROJECT / "src"),
    }
    command = [*program, "build", *words]
    done = subprocess.run(
        command, cwd=folder / "context", capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 0, (command, done.stderr)
    (request,) = [one for one in engine.requests if urlsplit(one.target).path.endswith("/build")]
    return asked(request)


@pytest.mark.parametrize("line", CASES.split("\n")[1:-1])
def test_both_ask_for_the_same_build(engine_: ScriptedEngine, folder: Path, line: str) -> None:
    words = shlex.split(line)
    theirs = outcome(engine_, ["docker"], words, folder)
    ours = outcome(engine_, [sys.executable, "-m", "cais.cli"], words, folder)
    assert ours.query == theirs.query
    assert ours.members == theirs.members
    assert ours.registries == theirs.registries
