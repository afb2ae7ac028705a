"""Whole command lines against an engine that answers as the test says."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import cais
from cais.cli.main import run
from cais.client.codec import dumps, loads
from cais.client.engine import API_VERSION
from tests.unit.scripted_engine import Request, ScriptedEngine, answer, chunked

CONTAINER = "15dd2bfc35b0" + "0" * 52


class FakeContainers:
    """Answers what one run of a container asks for."""

    def __init__(self) -> None:
        self.output = b"\x01\0\0\0\0\0\0\x03hi\n"
        self.status = 0
        self.start_error = b""
        self.has_image = True
        self.pulled = 0

    def reply(self, request: Request, connection: socket.socket) -> None:
        path = request.target.removeprefix(f"/v{API_VERSION}").partition("?")[0]
        if path == "/containers/create":
            if self.has_image:
                connection.sendall(answer("201 Created", dumps({"Id": CONTAINER, "Warnings": ["careful"]})))
            else:
                connection.sendall(answer("404 Not Found", dumps({"message": "No such image: x:latest"})))
        elif path == "/images/create":
            self.pulled += 1
            self.has_image = True
            connection.sendall(chunked("200 OK", b'{"status":"Status: Downloaded newer image for x:latest"}\r\n'))
        elif path.endswith("/attach"):
            connection.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n" + self.output)
            if not self.start_error:
                connection.shutdown(socket.SHUT_WR)
        elif path.endswith("/wait"):
            connection.sendall(chunked("200 OK", dumps({"StatusCode": self.status})))
        elif path.endswith("/start"):
            connection.sendall(
                answer("400 Bad Request", dumps({"message": self.start_error.decode()}))
                if self.start_error
                else answer("204 No Content")
            )
        else:
            connection.sendall(answer("404 Not Found", dumps({"message": "No such container: nope"})))


@pytest.fixture
def fake() -> FakeContainers:
    return FakeContainers()


@pytest.fixture
def scripted(tmp_path: Path, fake: FakeContainers, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedEngine]:
    with ScriptedEngine(tmp_path, fake.reply) as engine:
        monkeypatch.setenv("CAIS_HOST", engine.url)
        yield engine


def _targets(engine: ScriptedEngine) -> list[str]:
    return [request.target.removeprefix(f"/v{API_VERSION}") for request in engine.requests]


def test_run_attaches_and_waits_before_it_starts(scripted: ScriptedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "x", "echo", "hi"]) == 0
    captured = capfd.readouterr()
    assert captured.out == "hi\n"
    assert captured.err == "WARNING: careful\n"
    targets = _targets(scripted)
    assert targets[0] == "/containers/create"
    assert set(targets[1:3]) == {
        f"/containers/{CONTAINER}/attach?stream=1&stdout=1&stderr=1",
        f"/containers/{CONTAINER}/wait?condition=next-exit",
    }
    assert targets[3:] == [f"/containers/{CONTAINER}/start"]


def test_run_ends_with_the_container_s_status(scripted: ScriptedEngine, fake: FakeContainers) -> None:
    fake.status = 42
    assert run(["run", "--rm", "--name", "n", "x"]) == 42
    assert _targets(scripted)[0] == "/containers/create?name=n"
    assert f"/containers/{CONTAINER}/wait?condition=removed" in _targets(scripted)


def test_a_detached_run_prints_the_id(scripted: ScriptedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "-d", "x"]) == 0
    assert capfd.readouterr().out == f"{CONTAINER}\n"
    assert loads(scripted.requests[0].body)["AttachStdout"] is False
    assert len(scripted.requests) == 2


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b'exec: "nope": executable file not found in $PATH', 127),
        (b'exec: "/x": stat /x: no such file or directory', 127),
        (b'exec: "/etc/passwd": permission denied', 126),
        (b'exec: "/etc": is a directory', 126),
        (b"something else", 125),
    ],
)
def test_what_cannot_be_started_has_the_status_that_scripts_expect(
    fake: FakeContainers,
    capfd: pytest.CaptureFixture[str],
    message: bytes,
    status: int,
) -> None:
    fake.start_error, fake.output = message, b""
    assert run(["run", "--rm", "x"]) == status
    assert capfd.readouterr().err == (
        f"WARNING: careful\ncais: Error response from daemon: {message.decode()}\n\n"
        "Run 'cais run --help' for more information\n"
    )


def test_a_missing_image_is_pulled(
    scripted: ScriptedEngine, fake: FakeContainers, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.has_image = False
    assert run(["create", "x"]) == 0
    captured = capfd.readouterr()
    assert captured.out == f"{CONTAINER}\n"
    assert captured.err == (
        "Unable to find image 'x:latest' locally\nStatus: Downloaded newer image for x:latest\nWARNING: careful\n"
    )
    assert _targets(scripted)[1] == "/images/create?fromImage=docker.io%2Flibrary%2Fx&tag=latest"


@pytest.mark.usefixtures("scripted")
def test_a_missing_image_is_not_pulled_against_one_s_will(
    fake: FakeContainers, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.has_image = False
    assert run(["run", "--pull", "never", "x"]) == 125
    assert capfd.readouterr().err == (
        "cais: Error response from daemon: No such image: x:latest\n\nRun 'cais run --help' for more information\n"
    )
    assert run(["create", "--pull", "never", "x"]) == 1
    assert capfd.readouterr().err == "Error response from daemon: No such image: x:latest\n"
    assert fake.pulled == 0


def test_an_image_can_be_pulled_always_and_quietly(
    scripted: ScriptedEngine, fake: FakeContainers, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["run", "-q", "--pull", "always", "--platform", "linux/arm64", "h/x:1"]) == 0
    assert fake.pulled == 1
    assert _targets(scripted)[0] == "/images/create?fromImage=docker.io%2Fh%2Fx&tag=1&platform=linux%2Farm64"
    assert capfd.readouterr().err == "WARNING: careful\n"


@pytest.mark.usefixtures("scripted")
def test_the_id_is_written_to_a_file(fake: FakeContainers, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cid"
    assert run(["create", "--cidfile", str(file), "x"]) == 0
    assert file.read_text() == CONTAINER
    assert run(["run", "--cidfile", str(file), "x"]) == 125
    assert f"container ID file found, make sure the other container isn't running or delete {file}" in (
        capfd.readouterr().err
    )
    fake.has_image = False
    assert run(["create", "--pull", "never", "--cidfile", str(tmp_path / "none"), "x"]) == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("scripted")
def test_a_terminal_is_needed_for_a_container_s(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "-it", "x"]) == 1
    assert capfd.readouterr().err == "the input device is not a TTY\n"
    assert run(["exec", "-it", "nope", "true"]) == 1
    assert capfd.readouterr().err == "Error response from daemon: No such container: nope\n"


def test_detached_and_attached_exclude_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "-d", "-a", "stdout", "x"]) == 1
    assert capfd.readouterr().err == "conflicting options: cannot specify both --attach and --detach\n"


def test_each_failure_of_several_is_told(scripted: ScriptedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", "a", "b"]) == 1
    assert capfd.readouterr().err == "Error response from daemon: No such container: nope\n" * 2
    assert run(["rm", "-f", "a"]) == 0
    assert len(scripted.requests) == 3


def test_an_unknown_name_is_looked_for_everywhere(scripted: ScriptedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "nope"]) == 1
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("[]\n", "Error: No such object: nope\n")
    assert _targets(scripted)[:2] == ["/containers/nope/json", "/images/nope/json"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["foo"], 1, "cais: unknown command: cais foo\n\nRun 'cais --help' for more information\n"),
        (
            ["run", "--no-such-flag", "x"],
            125,
            "unknown flag: --no-such-flag\n\nUsage:  cais run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n"
            "Run 'cais run --help' for more information\n",
        ),
        (
            ["--nope"],
            125,
            "unknown flag: --nope\n\nUsage:  cais [OPTIONS] COMMAND [ARG...]\n\n"
            "Run 'cais --help' for more information\n",
        ),
        (
            ["rm"],
            1,
            "cais: 'cais rm' requires at least 1 argument\n\nUsage:  cais rm [OPTIONS] CONTAINER [CONTAINER...]\n\n"
            "See 'cais rm --help' for more information\n",
        ),
        (["help", "foo"], 1, "unknown help topic: foo\n"),
        (
            ["run", "UPPER"],
            125,
            "cais: invalid reference format: repository name (library/UPPER) must be lowercase\n\n"
            "Run 'cais run --help' for more information\n",
        ),
        (["create", "UPPER"], 1, "invalid reference format: repository name (library/UPPER) must be lowercase\n"),
        (["inspect", "--type", "foo", "x"], 1, None),
        (["start", "-a", "x", "y"], 1, "you cannot start and attach multiple containers at once\n"),
        (
            ["-H", "foo://x", "ps"],
            1,
            "Failed to initialize: unable to resolve cais endpoint: invalid bind address format: foo://x\n",
        ),
    ],
)
def test_mistakes_are_answered_as_docker_does(
    capfd: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str | None
) -> None:
    assert run(arguments) == status
    captured = capfd.readouterr()
    assert captured.out == ""
    assert message is None or captured.err == message


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["help"], ["container", "--help"], ["help", "run"], ["help", "context"], ["run", "--help"]],
)
def test_help_is_no_error(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert run(arguments) == 0
    assert capfd.readouterr().out.startswith("Usage:  cais")


def test_a_group_alone_shows_what_is_in_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["container"]) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage:  cais container COMMAND\n\nManage containers\n")


def test_the_version_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capfd.readouterr().out == f"Cais version {cais.__version__}\n"


def test_an_engine_that_cannot_be_reached_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    host = f"unix://{tmp_path}/none.sock"
    message = f"Cannot connect to the Cais daemon at {host}. Is the cais daemon running?"
    assert run(["-H", host, "ps"]) == 1
    assert capfd.readouterr().err == f"{message}\n"
    assert run(["-H", host, "run", "x"]) == 125
    assert capfd.readouterr().err == f"cais: {message}\n\nRun 'cais run --help' for more information\n"
    assert run(["-H", host, "version"]) == 1
    captured = capfd.readouterr()
    assert captured.out.startswith("Client:\n Version: ")
    assert captured.err == f"{message}\n"
