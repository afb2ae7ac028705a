"""What shells are told of how a command line may go on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cais.cli.main import run
from cais.client.http import Connection, Endpoint
from tests.unit.conftest import CannedEngine
from tests.unit.scripted_engine import ScriptedEngine

CAIS = f'#!/bin/sh\nexec "{sys.executable}" -m cais.cli "$@"\n'
ASK_BASH = r"""
source <(cais completion bash)
compopt() { echo "compopt $*"; }
COMP_WORDBREAKS=$' \t\n"\'@><=;|&(:'
COMP_LINE=$1 COMP_POINT=${#1}
_cais
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def objects(canned: CannedEngine) -> CannedEngine:
    canned.answers["GET /containers/json"] = [
        {"Id": "1", "Names": ["/web", "/other/link"]},
        {"Id": "2", "Names": ["/db"]},
    ]
    canned.answers["GET /images/json"] = [
        {"Id": "i", "RepoTags": ["busybox:latest", "<none>:<none>"]},
        {"RepoTags": None},
    ]
    canned.answers["GET /networks"] = [{"Name": "bridge"}, {"Name": "mine"}]
    canned.answers["GET /volumes"] = {"Volumes": [{"Name": "data"}]}
    return canned


@pytest.mark.usefixtures("canned")
def test_registries_are_offered_whose_credentials_are_known(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert answers(capfd, "logout", "") == [":4"]
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "config.json").write_text('{"auths": {"registry.test:5000": {}}}')
    assert answers(capfd, "logout", "") == ["registry.test:5000", ":4"]
    assert answers(capfd, "login", "r") == ["registry.test:5000", ":4"]
    (tmp_path / "settings" / "config.json").write_text('{"credsStore": "none-such"}')
    assert answers(capfd, "logout", "") == [":4"]


def answers(capfd: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The answers without their descriptions; the last says what the shell is to do."""
    capfd.readouterr()
    assert run(["__complete", "--", *words]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    return [line.partition("\t")[0] for line in captured.out.splitlines()]


@pytest.mark.usefixtures("objects")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cont", ["container", "context", ":4"]),
        ("container pr", ["prune", ":4"]),
        ("help ren", ["rename", ":4"]),
        ("run --network-a", ["--network-alias", ":4"]),
        ("run --network ", ["bridge", "mine", ":4"]),
        ("run --network=m", ["--network=mine", ":4"]),
        ("run -it --net b", ["bridge", ":4"]),
        ("run --volumes-from w", ["web", ":4"]),
        ("run --pid ", ["container:", "container:db", "container:web", "host", ":4"]),
        ("run --restart on", ["on-failure", ":4"]),
        ("run -v ", ["data", ":0"]),
        ("run --rm -d b", ["busybox:latest", ":4"]),
        ("run busybox -", [":0"]),
        ("rm ", ["db", "web", ":4"]),
        ("rm web ", ["db", "web", ":4"]),
        ("logs -n 5 -f w", ["web", ":4"]),
        ("logs web ", [":4"]),
        ("push b", ["busybox:latest", ":4"]),
        ("history ", ["busybox:latest", ":4"]),
        ("image l", ["layers", "load", "ls", ":4"]),
        ("image layers ", ["busybox:latest", ":4"]),
        ("image prune --filter u", ["until=", ":2"]),
        ("search --filter is-o", ["is-official=", ":2"]),
        ("commit w", ["web", ":4"]),
        ("save -o ", [":0"]),
        ("load --platform linux/ar", ["linux/arm64", ":4"]),
        ("explain ", ["create", "db", "run", "web", ":4"]),
        ("explain w", ["web", ":4"]),
        ("explain web ", [":4"]),
        ("explain run --form", ["--format", ":4"]),
        ("explain run --rm b", ["busybox:latest", ":4"]),
        ("container explain c", ["create", ":4"]),
        ("network m", ["map", ":4"]),
        ("network rm m", ["mine", ":4"]),
        ("network connect ", ["bridge", "mine", ":4"]),
        ("network connect mine ", ["db", "web", ":4"]),
        ("network connect mine web ", [":4"]),
        ("network create -d m", ["macvlan", ":4"]),
        ("network create -o com.docker.network.bridge.n", ["com.docker.network.bridge.name=", ":2"]),
        ("network create --config-from m", ["mine", ":4"]),
        ("network ls -f dr", ["driver=", ":2"]),
        ("inspect ", ["bridge", "busybox:latest", "data", "db", "mine", "web", ":4"]),
        ("ps -f na", ["name=", ":2"]),
        ("kill -s KI", ["KILL", ":4"]),
        ("context use d", ["default", ":4"]),
        ("export -o ", [":0"]),
        ("-D rm w", ["web", ":4"]),
        ("rm -- ", ["db", "web", ":4"]),
        ("foo ", [":4"]),
        ("version ", [":4"]),
    ],
)
def test_a_line_goes_on(capfd: pytest.CaptureFixture[str], line: str, expected: list[str]) -> None:
    assert answers(capfd, *line.split(" ")) == expected


def test_commands_and_flags_are_described(canned: CannedEngine, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["__complete", "--", "paus"]) == 0
    assert run(["__complete", "--", "ps", "--lat"]) == 0
    assert capfd.readouterr().out == (
        "pause\tPause all processes within one or more containers\n:4\n"
        "--latest\tShow the latest created container (includes all states)\n:4\n"
    )
    assert canned.requests == []


def test_only_containers_in_a_fitting_state_are_asked_for(
    objects: CannedEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    answers(capfd, "start", "")
    assert "%22status%22%3A%5B%22created%22%2C%22exited%22%5D" in objects.requests[-1]


def test_nothing_is_said_when_no_engine_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert answers(capfd, "-H", f"unix://{tmp_path}/none.sock", "rm", "") == [":4"]


def test_a_slow_engine_is_not_waited_for(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path, lambda _request, _connection: None) as scripted:
        endpoint = Endpoint(scripted.url)
        endpoint.patience_seconds = 1
        connection = Connection(endpoint)
        connection.send("GET", "/networks")
        with pytest.raises(BlockingIOError):
            connection.receive()
        assert not connection.is_stale()
        connection.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command by its name, for the scripts."""
    program = tmp_path / "bin/cais"
    program.parent.mkdir()
    program.write_text(CAIS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.mark.usefixtures("objects", "path")
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cais rm w", "web\n"),
        ("cais run --network=b", "bridge\n"),
        ("cais run --pid container:w", "web\n"),
        ("cais run busybox:l", "latest\n"),
        ("cais ps --filter na", "compopt -o nospace\nname=\n"),
        ("cais export -o /et", "compopt -o default\n\n"),
    ],
)
def test_bash_completes(line: str, expected: str) -> None:
    done = subprocess.run(["bash", "-c", ASK_BASH, "bash", line], check=True, capture_output=True, text=True)
    assert done.stdout == expected


@pytest.mark.usefixtures("objects", "path")
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes() -> None:
    script = "cais completion fish | source; complete -C 'cais run --network=b'; complete -C 'cais paus'"
    done = subprocess.run(["fish", "--no-config", "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "--network=bridge"
    assert done.stdout.splitlines()[1].startswith("pause\tPause all processes")


@pytest.mark.usefixtures("path")
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_understands_its_script() -> None:
    subprocess.run(["zsh", "-f", "-n", "/dev/stdin"], check=True, input=_script("zsh"), text=True)


def _script(shell: str) -> str:
    done = subprocess.run(["cais", "completion", shell], check=True, capture_output=True, text=True)
    return done.stdout


def test_commands_flags_and_services_of_compose_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"):
        monkeypatch.delenv(name, raising=False)
    text = "services: {web: {image: x, ports: ['${PORT:?}:1']}, work: {image: x, profiles: [p]}, db: {image: x}}\n"
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text("services: {alone: {image: x}}\n")
    assert answers(capfd, "compose", "un") == ["unpause", ":4"]
    assert answers(capfd, "compose", "--project-d") == ["--project-directory", ":4"]
    assert answers(capfd, "compose", "up", "--no-rec") == ["--no-recreate", ":4"]
    assert answers(capfd, "compose", "-p", "x", "up", "-d", "w") == ["web", "work", ":4"]
    assert answers(capfd, "compose", "up", "web", "") == ["db", "web", "work", ":4"]
    assert answers(capfd, "compose", "-f", "other.yaml", "logs", "") == ["alone", ":4"]
    assert answers(capfd, "compose", "exec", "d") == ["db", ":4"]
    assert answers(capfd, "compose", "exec", "db", "") == [":0"]
    assert answers(capfd, "compose", "-f", "") == [":0"]
    assert answers(capfd, "compose", "-f", "missing.yaml", "up", "") == [":4"]
