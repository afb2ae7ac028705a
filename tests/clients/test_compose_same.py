"""What Docker Compose answers to a row of commands, `cais compose` answers too: outputs, statuses, and what is left."""

import re
import shlex
from dataclasses import dataclass, field

import pytest

from tests.harness.compose import Project

_STATE = ("ps", "-a", "--format", "{{.Names}} {{.State}}")
_NETWORKS = ("network", "ls", "--format", "{{.Name}}")
_VOLUMES = ("volume", "ls", "-q")

# What differs from one time to the next. Docker Compose tells some events twice, and in any order.
_PASSING = (
    (re.compile(r"\x1b\[[0-9;]*[a-zA-Z]"), ""),
    (re.compile(r"\b[0-9a-f]{64}\b"), "IDENTITY"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])"), "ID"),
    (re.compile(r'time="[^"]*" '), ""),
    (re.compile(r"(Less than a|About an?|\d+) (second|minute)s?( ago)? *"), "AGE "),
    (re.compile(r"CREATED +STATUS +"), "CREATED STATUS "),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"\(\S+-run-ID.*\) for this"), "(ONE-OFFS) for this"),
)


@dataclass
class Step:
    """A command of Compose."""

    words: str
    answers: str = ""
    variables: dict[str, str] = field(default_factory=dict)


def _plain(text: str) -> str:
    for pattern, shown in _PASSING:
        text = pattern.sub(shown, text)
    return "\n".join(line for line in text.splitlines() if line)


def _played(project: Project, program: str, steps: list[str | Step]) -> list[tuple[object, ...]]:
    told: list[tuple[object, ...]] = []
    for given in steps:
        step = given if isinstance(given, Step) else Step(given)
        done = project.run(*shlex.split(step.words), program=program, answers=step.answers, variables=step.variables)
        lines = sorted({line.strip() for line in _plain(done.stderr).splitlines() if line.strip()})
        told.append((step.words, done.returncode, _plain(done.stdout), lines))
        told += [tuple(sorted(_plain(project.docker(*words)).splitlines())) for words in (_STATE, _NETWORKS, _VOLUMES)]
    project.run("--profile", "*", "down", "-v", "-t", "0", "--remove-orphans", program="cais")
    return told


SLEEPER = "image: busybox, command: sleep 1000, stop_grace_period: 0s"
RUN = f"""
services:
  job: {{image: busybox, command: echo done, depends_on: [db], networks: [inner]}}
  db: {{{SLEEPER}, networks: [inner]}}
  other: {{{SLEEPER}, networks: [outer]}}
networks: {{inner: , outer: }}
"""
TWO = f"""
services:
  one: {{{SLEEPER}}}
  two: {{{SLEEPER}, depends_on: [one]}}
"""
PARTS = """
services:
  shared: {image: busybox, command: 'true', networks: [elsewhere]}
  alone: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
networks: {elsewhere: {external: true}}
"""
ENDS = """
services:
  stays: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
  fails: {image: busybox, command: sh -c 'sleep 0.5; exit 11', depends_on: [stays]}
"""

MORE = f"""
services:
  one: {{{SLEEPER}, networks: [first, second], volumes: ["left:/l", "kept:/k"]}}
networks: {{first: , second: }}
volumes: {{left: , kept: }}
"""
LESS = f"""
services:
  one: {{{SLEEPER}, networks: [first], volumes: ["left:/l"]}}
networks: {{first: , second: }}
volumes: {{left: , kept: }}
"""
PROFILES = """
services:
  plain: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
  special: {image: busybox, command: sleep 1000, stop_grace_period: 0s, profiles: [p], depends_on: [plain]}
"""
WAITING = """
services:
  app:
    image: busybox
    command: 'true'
    depends_on: {other: {condition: service_healthy, required: false}}
  other: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
"""
FILES = f"""
services:
  one: {{{SLEEPER}, environment: [A, B=2]}}
  two: {{{SLEEPER}, env_file: [missing.env]}}
  three: {{{SLEEPER}, env_file: [missing.env], profiles: [p]}}
"""
ENDED = """
services:
  app: {image: busybox, command: 'true', depends_on: {other: {condition: service_healthy}}}
  other: {image: busybox, command: sh -c 'exit 5'}
"""
PORTS = """
services:
  one: {image: busybox, command: sleep 1000, stop_grace_period: 0s, expose: [70], ports: ["127.0.0.1:18001:80"]}
  two: {image: busybox, command: sleep 1000, stop_grace_period: 0s, profiles: [p], container_name: only_one}
"""
NOTHING = "volumes: {alone: }\nnetworks: {lonely: }\n"
HOOKS = """
services:
  short: {image: busybox, command: sleep 1}
  long:
    image: busybox
    command: sleep 1000
    stop_grace_period: 0s
    pre_stop: [{command: echo last words}]
"""
OUTPUTS = """
services:
  again: {image: busybox, command: sh -c 'echo trying; exit 4', restart: "on-failure:2"}
  one: {image: busybox, command: sh -c 'echo heard; sleep 0.5'}
  two: {image: busybox, command: sh -c 'echo unheard; sleep 1.2'}
"""
FOREIGN = f"""
services:
  one: {{{SLEEPER}}}
networks: {{default: {{name: not-ours}}}}
"""

ROWS: dict[str, tuple[str, list[str | Step]]] = {
    "run makes only what its service needs, and leaves what it has made": (
        RUN,
        [
            "run -T job",
            "run -T job echo again",
            "run -T --rm --quiet job echo quiet",
            "run -T --rm job no-such-command",
            "run -T --rm --env-from-file nope job",
            Step("run -T --rm job cat", answers="typed\n"),
            "down",
            "down --remove-orphans",
        ],
    ),
    "pausing twice and killing nothing": (
        TWO,
        ["up -d", "pause one", "pause one", "unpause one", "unpause one", "kill", "kill", "ls --filter what=one"],
    ),
    "rm asks": (
        TWO,
        ["up -d", "rm -sf one", "stop two", Step("rm two", answers="n\n"), Step("rm two", answers="y\n"), "rm"],
    ),
    "what is external is looked for only where it is used": (PARTS, ["up -d", "up -d alone"]),
    "flags that contradict each other": (
        ENDS,
        [
            "up -d --abort-on-container-exit",
            "up -d --attach stays",
            "up -d --attach-dependencies",
            "up -d --exit-code-from fails",
            "up --wait --abort-on-container-exit",
            "up --abort-on-container-exit --abort-on-container-failure",
            "up --no-recreate -V",
            "up --force-recreate --no-recreate",
            "up --build --no-build",
            "up --exit-code-from nobody",
            "create --force-recreate --no-recreate",
        ],
    ),
    "up ends with what it was asked for": (
        ENDS,
        ["up fails", "ps --format {{.Service}}", "down", "up --abort-on-container-failure", "down"],
    ),
    "down leaves what the file does not speak of": (
        MORE,
        [
            "up -d",
            "-f less.yaml down -v",
            "up -d",
            "down one",
            "down -v",
            "--all-resources -f less.yaml up -d",
            "down -v",
        ],
    ),
    "what others have made is left alone": (
        TWO,
        [
            "up -d",
            *(f"-f less.yaml {word}" for word in ("restart", "pause", "unpause", "stop", "kill", "down")),
            Step("-f less.yaml up -d", variables={"COMPOSE_REMOVE_ORPHANS": "1"}),
        ],
    ),
    "a project of resources alone": (NOTHING, ["up -d", "up", "--all-resources up", "--all-resources down -v"]),
    "down of services with profiles": (
        PROFILES,
        ["--profile p up -d", "-f compose.yaml down", "-f compose.yaml --profile p down"],
    ),
    "a dependency that need not be": (WAITING, ["up -d"]),
    "a dependency that has ended": (ENDED, ["up -d"]),
    "ports and scales": (
        PORTS,
        [
            "up -d",
            "port one 80",
            "port one",
            "port one 81",
            "port one 70",
            "port --index 2 one 80",
            "port nobody 1",
            "exec nobody true",
            "logs --index 3 one",
            "ps --filter what=one",
            "scale one",
            "up -d --scale one=x",
            "up -d --scale nobody=2",
            "--profile p up -d --scale two=2",
            "up --wait --wait-timeout 5 one",
            "start --wait --wait-timeout 5 one",
            "wait nobody",
        ],
    ),
    "by the name of the project alone": (
        TWO,
        [
            "up -d",
            *(
                f"{word} nobody"
                for word in ("stop", "start", "restart", "kill", "pause", "logs", "ps", "down", "volumes")
            ),
            "stop two",
            "start two",
            "stop",
            "start two",
            "down",
            "down",
            "start",
            "restart",
        ],
    ),
    "variables of files are read where they are needed": (
        FILES,
        [
            "up -d one",
            *(
                f"-f compose.yaml {word}"
                for word in ("ps --services", "config -q", "config --volumes", "up -d", "stop", "down")
            ),
        ],
    ),
    "what is shown of which container": (
        OUTPUTS,
        [
            "up --timestamps one",
            "up --attach one one two",
            "up --no-attach two --no-attach nobody one two",
            "up --attach nobody",
            "down",
        ],
    ),
    "names with underscores": (TWO, ["--compatibility up -d", "--compatibility run --rm one true", "ps --services"]),
    "a progress that there is not": (TWO, ["--progress nope ps"]),
    "what hooks write is shown": (HOOKS, ["up --abort-on-container-exit"]),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_same_is_told_and_left(project: Project, row: str) -> None:
    text, steps = ROWS[row]
    project.write(text)
    project.write(LESS, "less.yaml")
    assert _played(project, "cais", steps) == _played(project, "docker", steps)


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(project: Project) -> None:
    steps: list[str | Step] = [
        "--dry-run up -d",
        "up -d --dry-run",
        "up -d",
        *(f"--dry-run {word}" for word in ("stop", "restart", "kill", "pause", "scale two=2", "create", "up -d")),
        "--dry-run exec one true",
        "--dry-run run one true",
        "stop",
        "--dry-run up",
    ]
    project.write(TWO)
    kept = [one for one in _played(project, "cais", steps) if one != ()]
    assert kept == [one for one in _played(project, "docker", steps) if one != ()]


def test_a_dry_run_makes_and_removes_nothing(project: Project) -> None:
    project.write(RUN.replace("image: busybox, command: echo", "build: ., command: echo"))
    project.write("FROM busybox\nRUN false\n", "Dockerfile")
    done = project.run("--dry-run", "up", "-d")
    assert done.returncode == 0, done.stderr
    assert f"Image {project.name}-job Built" in done.stderr
    assert f"Container {project.name}-job-1 Started" in done.stderr
    assert project.containers() == {}
    project.write(TWO)
    project.good("up", "-d")
    before = project.containers()
    for words in (("down", "-v"), ("up", "-d", "--force-recreate"), ("commit", "one", "made"), ("cp", "one:/etc", "x")):
        project.good("--dry-run", *words)
    assert project.containers() == before
    assert project.running() == ["one-1", "two-1"]
    assert not (project.folder / "x").exists()
    project.write("services: {a: {image: 'localhost:1/nobody'}}\n")
    assert project.run("--dry-run", "pull").returncode == 1
    assert "attach is not supported in dry-run mode" in project.run("--dry-run", "attach", "one").stderr
    assert "--dry-run" in project.good("up", "--help")


def test_up_goes_on_with_what_is_restarted(project: Project) -> None:
    project.write(OUTPUTS)
    lines = project.good("up", "again").splitlines()
    assert lines.count("again-1  | trying") == 3
    assert lines.count("again-1 exited with code 4 (restarting)") == 2
    assert lines[-1] == "again-1 exited with code 4"


def test_a_network_that_others_have_made_is_used_and_left(project: Project) -> None:
    project.write(FOREIGN)
    project.docker("network", "create", "not-ours")
    try:
        done = project.run("up", "-d")
        assert done.returncode == 0, done.stderr
        assert "a network with name not-ours exists but was not created by compose" in done.stderr
        project.good("-f", "compose.yaml", "down")
        assert "not-ours" in project.docker(*_NETWORKS).split()
    finally:
        project.run("down")
        project.docker("network", "rm", "not-ours")
