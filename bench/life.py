"""Figures of the life of containers: stopping one, listing many, and what many cost."""

import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.engines import LABEL, Engine
from bench.figures import Bench, Figure, in_turns, ratio, seconds_of, start_idle

CREATED = 500
RUNNING = 1000
IDLE = 200
WATCHED_SECONDS = 30
_ENDS_AT_ONCE = ["sh", "-c", 'trap "exit 0" TERM; sleep 1000 & wait']


def docker_stop(bench: Bench) -> Figure:
    """The real client, stop of a container that ends on SIGTERM."""
    body = {"Image": "busybox", "Cmd": _ENDS_AT_ONCE, "Labels": {LABEL: "1"}, "HostConfig": {"NetworkMode": "none"}}

    def task(engine: Engine) -> float:
        connection = engine.connect()
        identity = json.loads(connection.expect(201, "POST", "/containers/create", body))["Id"]
        connection.expect(204, "POST", f"/containers/{identity}/start")
        time.sleep(0.3)  # until the shell has set its trap
        elapsed = seconds_of(engine.docker("stop", identity))
        connection.expect(204, "DELETE", f"/containers/{identity}")
        connection.close()
        return elapsed

    tasks: dict[str, Callable[[], float]] = {
        engine.name: partial(task, engine) for engine in (bench.caisd, bench.docker)
    }
    what = "docker stop of a container that ends at once, caisd ÷ Docker"
    return ratio(9, what, 0.3, in_turns(bench.rounds(15), tasks))


def docker_ps(bench: Bench) -> Figure:
    """The real client, ps -a with many containers."""
    count = bench.containers(CREATED)
    engines = (bench.caisd, bench.docker)
    for engine in engines:
        _create(engine, count)
    samples = in_turns(bench.rounds(15), {item.name: partial(seconds_of, item.docker("ps", "-a")) for item in engines})
    for engine in engines:
        engine.remove_containers()
    return ratio(10, f"docker ps -a with {count} containers, caisd ÷ Docker", 1, samples)


def run_among_many(bench: Bench) -> Figure:
    """The real client, a run beside many running containers and beside none."""
    count = bench.containers(RUNNING)
    command = bench.caisd.docker("run", "--rm", "--network", "none", "busybox", "true")
    alone = in_turns(bench.rounds(20), {"alone": partial(seconds_of, command)})["alone"]
    start_idle(bench.caisd, count)
    among = in_turns(bench.rounds(20), {"among": partial(seconds_of, command)})["among"]
    bench.caisd.remove_containers()
    value = statistics.median(among) / statistics.median(alone)
    note = f"alone {statistics.median(alone) * 1000:.1f} ms"
    return Figure(
        11, f"docker run beside {count} running ÷ beside none, caisd", value, 1.3, "ratio", {"caisd": among}, note
    )


def cais_ps(bench: Bench) -> Figure:
    """Our own command's ps and Docker's, both against caisd."""
    start_idle(bench.caisd, 5)
    tasks: dict[str, Callable[[], float]] = {
        "caisd": partial(seconds_of, bench.caisd.cais("ps")),
        "docker": partial(seconds_of, bench.caisd.docker("ps")),
    }
    samples = in_turns(bench.rounds(20), tasks)
    bench.caisd.remove_containers()
    return ratio(12, "cais ps ÷ docker ps, whole processes, both on caisd", 2, samples)


def idle_processor(bench: Bench) -> Figure:
    """The processor time that caisd takes while many containers only run."""
    count = bench.containers(IDLE)
    start_idle(bench.caisd, count)
    time.sleep(3)
    before, began = _cpu_seconds(bench.caisd.pid), time.monotonic()
    time.sleep(max(2.0, WATCHED_SECONDS * min(bench.effort, 1.0)))
    value = 100 * (_cpu_seconds(bench.caisd.pid) - before) / (time.monotonic() - began)
    bench.caisd.remove_containers()
    return Figure(13, f"processor time of caisd, {count} idle running containers", value, 1, "%")


def _create(engine: Engine, count: int) -> None:
    connection = engine.connect()
    body = {"Image": "busybox", "Cmd": ["true"], "Labels": {LABEL: "1"}, "HostConfig": {"NetworkMode": "none"}}
    for _ in range(count):
        connection.expect(201, "POST", "/containers/create", body)
    connection.close()


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


FIGURES: dict[int, Callable[[Bench], Figure]] = {
    9: docker_stop,
    10: docker_ps,
    11: run_among_many,
    12: cais_ps,
    13: idle_processor,
}
