"""The projects of `compose_projects`, read by the real Docker Compose and by ours: what both understand is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECTS = Path(__file__).parent / "compose_projects"
DOCKER_COMPOSE = Path(sys.executable).with_name("docker-compose")
VIEWS: tuple[tuple[str, ...], ...] = (
    (),
    ("--format", "json"),
    ("--hash", "*"),
    ("--services",),
    ("--volumes",),
    ("--networks",),
    ("--images",),
    ("--profiles",),
)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "DOCKER_", "CAIS_"))}
    return {**kept, "FROM_SHELL": "shell", "HOME": "/root"}


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, cwd=folder, env=_environment()
    )


def real(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return _run([str(DOCKER_COMPOSE), *words], folder)


def ours(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return _run([sys.executable, "-m", "cais.cli", "compose", *words], folder)


def _projects() -> list[Path]:
    return sorted(folder for folder in PROJECTS.iterdir() if folder.is_dir())


@pytest.mark.parametrize("project", _projects(), ids=lambda folder: folder.name)
def test_a_project_is_understood_as_docker_compose_understands_it(project: Path) -> None:
    for view in VIEWS:
        wanted = real(project, "--profile", "*", "config", *view)
        assert wanted.returncode == 0, wanted.stderr
        found = ours(project, "--profile", "*", "config", *view)
        assert found.returncode == 0, found.stderr
        if view in {(), ("--format", "json"), ("--hash", "*")}:
            assert found.stdout.rstrip("\n") == wanted.stdout.rstrip("\n"), view
        else:  # Docker Compose lists these in no order
            assert sorted(found.stdout.split()) == sorted(wanted.stdout.split()), view


# In `values`, Docker Compose writes times in the form of YAML's own, and the number of containers nowhere.
@pytest.mark.parametrize(
    "project", [folder for folder in _projects() if folder.name != "values"], ids=lambda folder: folder.name
)
def test_without_interpolation_a_project_stays_as_it_is_written(project: Path) -> None:
    wanted = real(project, "config", "--no-interpolate")
    found = ours(project, "config", "--no-interpolate")
    assert (found.returncode, found.stdout) == (wanted.returncode, wanted.stdout)


def test_variables_are_left_where_a_value_is_a_number_a_port_or_a_mount(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        """
services:
  web:
    image: "nginx:${TAG:-1}"
    ports: ["80:80", "${PORT}:81", {target: 5, published: "${PORT}"}]
    volumes: ["./a:/b", "${DATA}:/data"]
    environment: [A=1, "B=${B}"]
    cpus: "${CPUS}"
    deploy: {replicas: "${REPLICAS:-2}"}
    healthcheck: {test: "true", interval: "${INTERVAL}"}
    ulimits: {nofile: "${LIMIT}"}
    command: echo "$$HOME ${WORD}"
    profiles: [p]
"""
    )
    (tmp_path / "more.yaml").write_text("services: {web: {environment: {A: '${A}', C: 3}, ports: ['${PORT}:82']}}\n")
    (tmp_path / "plain.yaml").write_text("services: {a: {image: busybox, command: a b, mem_limit: 1g}}\n")
    for words in (
        ("config", "--no-interpolate"),
        ("-f", "compose.yaml", "-f", "more.yaml", "config", "--no-interpolate"),
        ("config", "--no-interpolate", "--no-path-resolution"),
        ("-f", "plain.yaml", "config", "--no-interpolate"),
        ("-f", "plain.yaml", "config"),  # what was kept is not what is written
        ("-f", "plain.yaml", "config", "--no-interpolate"),
    ):
        wanted, found = real(tmp_path, *words), ours(tmp_path, *words)
        assert (found.returncode, found.stdout) == (wanted.returncode, wanted.stdout), words
    done = ours(tmp_path, "config", "--no-interpolate", "web")
    assert "service filtering is not applied when --no-interpolate is set" in done.stderr
    assert ours(tmp_path, "config", "--no-interpolate", "--format", "json").stdout.startswith('{\n  "name"')


def test_without_profiles_only_what_needs_none_is_enabled() -> None:
    folder = PROJECTS / "profiles"
    for words in (("config",), ("--profile", "one", "config"), ("config", "a"), ("config", "d")):
        assert ours(folder, *words).stdout == real(folder, *words).stdout


def test_files_names_and_environments_are_chosen_as_docker_compose_chooses_them(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("services: {a: {image: 'x:${TAG:-none}'}}\n")
    (tmp_path / "two.yaml").write_text("services: {a: {command: y}}\n")
    (tmp_path / "other.env").write_text("TAG=fromfile\nCOMPOSE_PROJECT_NAME=named\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    for words in (
        ("-f", "one.yaml", "-f", "two.yaml", "config"),
        ("-f", "one.yaml", "--env-file", "other.env", "config"),
        ("-f", "one.yaml", "-p", "mine", "config"),
        ("-f", "one.yaml", "--project-directory", "inner", "config"),
    ):
        found, wanted = ours(tmp_path, *words), real(tmp_path, *words)
        assert (found.returncode, found.stdout) == (wanted.returncode, wanted.stdout), words
    (tmp_path / "compose.yaml").write_text("services: {up: {image: x}}\n")
    assert ours(inner, "config").stdout == real(inner, "config").stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {a: {image: x, prots: ['80']}}", "property 'prots' is not allowed (did you mean 'ports'?)"),
        ("services:\n  a:\n    image: x\n    ports: 5\n", "compose.yaml:4: services.a.ports: must be a list"),
        ("services: {a: [x", "did not find expected ',' or ']'"),
        ("services: {a: {}}", 'service "a" has neither an image nor a build context specified'),
        ("services: {a: {image: x, networks: [q]}}", 'service "a" refers to undefined network q'),
        ("services: {a: {image: x, volumes: ['vol:/v']}}", 'service "a" refers to undefined volume vol'),
        ("services: {a: {image: x, depends_on: [b]}}", 'service "a" depends on undefined service "b"'),
        ("services: {a: {image: '${X:?need x}'}}", "required variable X is missing a value: need x"),
        ("services: {a: {image: '${X'}}", "invalid interpolation format for services.a.image"),
        ("services: {a: {image: x, tty: maybe}}", "services.a.tty: invalid boolean: maybe"),
        ("services: {a: {image: x, mem_limit: 5q}}", "services.a.mem_limit: invalid size: '5q'"),
        ("services: {a: {image: x, image: y}}", 'mapping key "image" already defined at line 1'),
        ("services: {a: {image: x, restart: 1}}", "services.a.restart: must be a string, not the number 1"),
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "a -> b -> a"),
        ("services: {a: {extends: b}, b: {extends: a}}", "circular reference with extends"),
        ("services: {a: {image: x, ports: ['a:b']}}", "invalid containerPort: b"),
        ("", "empty compose file"),
        ("foo: 1", "additional property 'foo' is not allowed"),
    ],
)  # fmt: skip
def test_what_docker_compose_refuses_is_refused_with_file_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    assert real(tmp_path, "config").returncode != 0
    found = ours(tmp_path, "config")
    assert (found.returncode, found.stdout) == (1, "")
    assert said in found.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no configuration file provided: not found" in ours(tmp_path, "config").stderr
    assert f"open {tmp_path}/nope.yaml: no such file or directory" in ours(tmp_path, "-f", "nope.yaml", "config").stderr


def test_a_service_that_is_not_there_is_named() -> None:
    found = ours(PROJECTS / "profiles", "config", "nope")
    assert (found.returncode, found.stderr) == (1, "no such service: nope\n")
