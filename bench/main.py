"""Compares caisd with a real Docker in one run, and holds the figures against their bars."""

import argparse
import contextlib
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from bench import builds, compose, data, images, life, networks
from bench import figures as starts
from bench.engines import Caisd, Docker, Engine, RunningDocker
from bench.figures import MIB, Bench, Figure

FIGURES = (
    starts.FIGURES | life.FIGURES | images.FIGURES | networks.FIGURES | data.FIGURES | builds.FIGURES | compose.FIGURES
)


def _numbers(text: str) -> list[int]:
    try:
        chosen = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"no list of numbers: {text!r}") from None
    if unknown := set(chosen) - set(FIGURES):
        raise argparse.ArgumentTypeError(f"no such figure: {', '.join(map(str, sorted(unknown)))}")
    return chosen


def _parse(arguments: list[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {number}  {figure.__doc__}" for number, figure in FIGURES.items())
    parser = argparse.ArgumentParser(
        prog="bench/run.py",
        description=f"{__doc__}\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--docker", metavar="SOCKET", help="a Docker that runs already; without it one is started")
    parser.add_argument("--only", type=_numbers, default=sorted(FIGURES), metavar="1,3", help="these figures alone")
    parser.add_argument("--effort", type=float, default=1.0, help="how many rounds, times the usual number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there too")
    return parser.parse_args(arguments)


def _amount(figure: Figure, engine: str) -> str:
    samples = figure.samples.get(engine)
    if not samples:
        return ""
    middle = statistics.median(samples)
    if figure.unit == "MB":
        return f"{middle / MIB:.2f} MB"
    return f"{middle:.2f} s" if middle >= 10 else f"{middle * 1000:.1f} ms"


def _value(figure: Figure, number: float) -> str:
    return f"{number:.2f}" if figure.unit == "ratio" else f"{number:.1f} {figure.unit}"


def _row(figure: Figure) -> str:
    cells = [
        f"{figure.number}. {figure.what}",
        _amount(figure, "caisd"),
        _amount(figure, "docker"),
        _value(figure, figure.value),
        f"≤ {_value(figure, figure.bar)}",
        "pass" if figure.passed else "FAIL",
        figure.note,
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> int:
    """Measure, print the table, and give 1 where a bar is missed."""
    options = _parse(arguments)
    figures = []
    print("| what | caisd | Docker | figure | bar | | |\n|---|---|---|---|---|---|---|", flush=True)
    with contextlib.ExitStack() as stack:
        docker: Engine = RunningDocker(options.docker.removeprefix("unix://")) if options.docker else Docker()
        stack.enter_context(docker)
        bench = Bench(stack.enter_context(Caisd()), docker, options.effort)
        for number in options.only:
            figure = FIGURES[number](bench)
            figures.append(figure)
            print(_row(figure), flush=True)
    if options.json:
        rows = [asdict(figure) | {"passed": figure.passed} for figure in figures]
        options.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    return 0 if all(figure.passed for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
