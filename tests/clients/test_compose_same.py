"""What Docker Compose answers to a row of commands, `cais compose` answers too: outputs, statuses, and what is left."""

import re
import shlex
from dataclasses import dataclass, field

import pytest

from tests.harness.compose import Project

_STATE = ("ps", "-a", "--format", "{{.Names}} {{.State}} {{.Networks}}")
_NETWORKS = ("network", "ls", "--format", "{{.Name}}")
_VOLUMES = ("volume", "ls", "-q")

# What differs from one time to the next. Docker Compose tells some events twice, and in any order.
_PASSING = (
    (re.compile(r"\x1b\[[0-9;]*[a-zA-Z]"), ""),
    (re.compile(r"\b[0-9a-f]{64}\b"), "IDENTITY"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r'time="[^"]*" '), ""),
    (re.compile(r"(Less than a|About an?|\d+) (second|minute)s?( ago)? *"), "AGE "),
    (re.compile(r"CREATED +STATUS +"), "CREATED STATUS "),
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
  alone: {image: busybox, command: 'true'}
networks: {elsewhere: {external: true}}
"""
ENDS = """
services:
  stays: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
  fails: {image: busybox, command: sh -c 'sleep 0.5; exit 11', depends_on: [stays]}
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
}


@pytest.mark.parametrize("row", ROWS)
def test_the_same_is_told_and_left(project: Project, row: str) -> None:
    text, steps = ROWS[row]
    project.write(text)
    assert _played(project, "cais", steps) == _played(project, "docker", steps)
