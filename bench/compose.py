"""The figures of Compose: `cais compose` on caisd beside the real Docker Compose on Docker, with the same project."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.engines import INTERPRETER, LABEL
from bench.figures import Bench, Figure, in_turns, ratio, seconds_of

SERVICES = 10
PROJECT = "benchproject"
DOCKER_COMPOSE = INTERPRETER.with_name("docker-compose")
_SERVICE = f"""
  s{{number}}:
    image: busybox
    init: true
    command: ["sleep", "1000"]
    labels: ["{LABEL}=1"]
"""


@contextmanager
def _commands(bench: Bench) -> Iterator[dict[str, list[str]]]:
    """The command line of each Compose, up to its verb; what they have made is gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compose.yaml"
        file.write_text("services:" + "".join(_SERVICE.format(number=number) for number in range(SERVICES)))
        arguments = ["-f", str(file), "-p", PROJECT]
        commands = {
            "caisd": bench.caisd.cais("compose", *arguments),
            "docker": ["env", f"DOCKER_HOST={bench.docker.host}", str(DOCKER_COMPOSE), *arguments],
        }
        try:
            yield commands
        finally:
            for command in commands.values():
                seconds_of([*command, "down"])


def _timed(command: list[str], verb: list[str], before: list[str], after: list[str]) -> float:
    if before:
        seconds_of([*command, *before])
    elapsed = seconds_of([*command, *verb])
    if after:
        seconds_of([*command, *after])
    return elapsed


def _measure(bench: Bench, verb: list[str], before: list[str], after: list[str]) -> dict[str, list[float]]:
    with _commands(bench) as commands:
        tasks: dict[str, Callable[[], float]] = {
            name: partial(_timed, command, verb, before, after) for name, command in commands.items()
        }
        return in_turns(bench.rounds(3), tasks)


def up(bench: Bench) -> Figure:
    """Ten services, none of which is there."""
    what = f"up -d of {SERVICES} services, cais compose on caisd ÷ Docker Compose on Docker"
    return ratio(50, what, 0.3, _measure(bench, ["up", "-d"], [], ["down"]))


def up_again(bench: Bench) -> Figure:
    """Ten services that run already."""
    return ratio(51, "up -d again, nothing changed, ÷", 0.5, _measure(bench, ["up", "-d"], ["up", "-d"], []))


def down(bench: Bench) -> Figure:
    """Ten services, each of which stops at once."""
    return ratio(52, "down of the ten, ÷", 0.4, _measure(bench, ["down"], ["up", "-d"], []))


FIGURES: dict[int, Callable[[Bench], Figure]] = {50: up, 51: up_again, 52: down}
