"""The figures of builds, beside Docker's classic builder, which the same docker client asks."""

import itertools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.engines import INTERPRETER, PROJECT, Engine, client_environment
from bench.figures import MIB, Bench, Figure, in_turns, ratio

RUN_STEPS = 10
STAGE_SECONDS = 5
FILES = 20_000
CONTEXT_BYTES = 1 << 30
_NAME = "bench-build"


@contextmanager
def _folder(dockerfile: str) -> Iterator[Path]:
    """A context with that Dockerfile."""
    with tempfile.TemporaryDirectory(prefix="cais-bench-") as name:
        (Path(name) / "Dockerfile").write_text(dockerfile)
        yield Path(name)


def _seconds_of(command: list[str]) -> float:
    """How long a build takes. Raises RuntimeError when it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True,
        env=client_environment() | {"DOCKER_BUILDKIT": "0", "PYTHONPATH": str(PROJECT / "src")},
    )  # fmt: skip
    elapsed = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    return elapsed


def _build(engine: Engine, folder: Path, *options: str) -> float:
    return _seconds_of(engine.docker("build", "--network", "none", "-t", _NAME, *options, str(folder)))


def _compare(bench: Bench, folder: Path, rounds: int, *options: str) -> dict[str, list[float]]:
    tasks: dict[str, Callable[[], float]] = {
        engine.name: partial(_build, engine, folder, *options) for engine in (bench.caisd, bench.docker)
    }
    return in_turns(bench.rounds(rounds), tasks)


def _run_steps() -> str:
    return "FROM busybox\n" + "".join(f"RUN echo {number} > /file{number}\n" for number in range(RUN_STEPS))


def cold_steps(bench: Bench) -> Figure:
    """Ten RUN steps, none of them cached."""
    with _folder(_run_steps()) as folder:
        samples = _compare(bench, folder, 5, "--no-cache")
    return ratio(40, f"docker build of {RUN_STEPS} RUN steps, cold, caisd ÷ Docker", 0.25, samples)


def cached_steps(bench: Bench) -> Figure:
    """The same build, all of it cached."""
    with _folder(_run_steps()) as folder:
        samples = _compare(bench, folder, 10)
    return ratio(41, "the same build fully cached, caisd ÷ Docker", 0.7, samples)


def stages_at_once(bench: Bench) -> Figure:
    """Two independent stages of five seconds each."""
    stages = "".join(f"FROM busybox AS s{n}\nRUN sleep {STAGE_SECONDS}; echo {n} > /f\n" for n in (1, 2))
    with _folder(f"{stages}FROM busybox\nCOPY --from=s1 /f /f1\nCOPY --from=s2 /f /f2\n") as folder:
        seconds = _build(bench.caisd, folder, "--no-cache")
    return Figure(42, "a build of two independent stages of 5 s each", seconds, 6.5, "s", {"caisd": [seconds]})


def many_files(bench: Bench) -> Figure:
    """COPY of twenty thousand small files."""
    count = round(FILES * min(1.0, bench.effort))
    with _folder("FROM busybox\nCOPY tree /tree\n") as folder:
        for number in range(count):
            path = folder / "tree" / str(number // 100) / f"{number}.js"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"// file {number}\n" * (20 + number % 50))
        samples = _compare(bench, folder, 3, "--no-cache")
    return ratio(43, f"docker build with COPY of {count} small files, caisd ÷ Docker", 0.8, samples)


def unchanged_context(bench: Bench) -> Figure:
    """A context of 1 GB that has not changed, built again by `cais build`."""
    command = [str(INTERPRETER), "-m", "cais.cli", "-H", f"unix://{bench.caisd.socket}", "build", "-t", _NAME]
    size = round(CONTEXT_BYTES * min(1.0, bench.effort))
    with _folder("FROM busybox\nCOPY . /context/\n") as folder:
        for number in itertools.count():
            if number * MIB >= size:
                break
            (folder / f"part-{number}").write_bytes(os.urandom(MIB))
        _seconds_of([*command, str(folder)])
        samples = [_seconds_of([*command, str(folder)]) for _ in bench.rounds(3)]
    seconds = sorted(samples)[len(samples) // 2]
    what = "cais build with an unchanged context of 1 GB"
    return Figure(44, what, seconds, 1.5, "s", {"caisd": samples})


FIGURES: dict[int, Callable[[Bench], Figure]] = {
    40: cold_steps,
    41: cached_steps,
    42: stages_at_once,
    43: many_files,
    44: unchanged_context,
}
