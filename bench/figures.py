"""The figures: each measures both engines in turns and gives one number to hold against its bar."""

import json
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from bench.engines import LABEL, Caisd, Connection, Engine, client_environment
from bench.memory import parent, pss_bytes

MIB = 1024 * 1024
LINES = 1_000_000
LINE = "0123456789" * 4  # with its end 41 bytes
CONTAINERS_AT_ONCE = 200
CLIENTS = 8
IDLE_CONTAINERS = 50


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `samples` are seconds or bytes, by engine."""

    number: int
    what: str
    value: float
    bar: float
    unit: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def passed(self) -> bool:
        return self.value <= self.bar


@dataclass(frozen=True, slots=True)
class Bench:
    """The engines, and how often each thing is repeated (times `effort`)."""

    caisd: Caisd
    docker: Engine
    effort: float

    def rounds(self, usual: int) -> range:
        return range(max(1, round(usual * self.effort)))


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env=client_environment(),
    )  # fmt: skip
    elapsed = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    return elapsed


def in_turns(rounds: range, tasks: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each task once to warm up, then all of them in turns."""
    for task in tasks.values():
        task()
    samples: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in rounds:
        for name, task in tasks.items():
            samples[name].append(task())
    return samples


def ratio(number: int, what: str, bar: float, samples: dict[str, list[float]], note: str = "") -> Figure:
    value = statistics.median(samples["caisd"]) / statistics.median(samples["docker"])
    return Figure(number, what, value, bar, "ratio", samples, note)


def docker_run(bench: Bench) -> Figure:
    """The real client, a whole run."""
    arguments = ("run", "--rm", "--network", "none", "busybox", "true")
    samples = in_turns(
        bench.rounds(20),
        {engine.name: partial(_seconds, engine.docker(*arguments)) for engine in (bench.caisd, bench.docker)},
    )
    return ratio(1, "docker run --rm --network none busybox true, caisd ÷ Docker", 0.25, samples)


def _cycle(connection: Connection) -> float:
    body = {"Image": "busybox", "Cmd": ["true"], "Labels": {LABEL: "1"}, "HostConfig": {"NetworkMode": "none"}}
    began = time.perf_counter()
    identity = json.loads(connection.expect(201, "POST", "/containers/create", body))["Id"]
    connection.expect(204, "POST", f"/containers/{identity}/start")
    waited = json.loads(connection.expect(200, "POST", f"/containers/{identity}/wait"))
    connection.expect(204, "DELETE", f"/containers/{identity}")
    elapsed = time.perf_counter() - began
    if waited["StatusCode"] != 0:
        raise RuntimeError(f"the container ended with {waited['StatusCode']}")
    return elapsed


def daemon_alone(bench: Bench) -> Figure:
    """Create, start, wait, remove over one kept-alive connection."""
    connections = {engine.name: engine.connect() for engine in (bench.caisd, bench.docker)}
    samples = in_turns(bench.rounds(50), {name: partial(_cycle, link) for name, link in connections.items()})
    for connection in connections.values():
        connection.close()
    value = statistics.median(samples["caisd"]) * 1000
    return Figure(2, "create, start, wait, remove over the API, caisd alone", value, 35, "ms", samples)


def docker_exec(bench: Bench) -> Figure:
    """The real client, exec in a running container."""
    tasks: dict[str, Callable[[], float]] = {}
    for engine in (bench.caisd, bench.docker):
        start = engine.docker("run", "-d", "--label", LABEL, "--network", "none", "busybox", "sleep", "1000")
        identity = subprocess.run(start, check=True, capture_output=True, text=True, env=client_environment())
        command = engine.docker("exec", identity.stdout.strip(), "true")
        tasks[engine.name] = partial(_seconds, command)
    samples = in_turns(bench.rounds(20), tasks)
    bench.caisd.remove_containers()
    bench.docker.remove_containers()
    return ratio(3, "docker exec c true, caisd ÷ Docker", 0.35, samples)


def cais_run(bench: Bench) -> Figure:
    """Our own command against Docker's."""
    arguments = ("run", "--rm", "--network", "none", "busybox", "true")
    tasks: dict[str, Callable[[], float]] = {
        "caisd": partial(_seconds, bench.caisd.cais(*arguments)),
        "docker": partial(_seconds, bench.docker.docker(*arguments)),
    }
    return ratio(4, "cais run --rm … ÷ docker run --rm … on Docker", 0.3, in_turns(bench.rounds(20), tasks))


def idle_memory(bench: Bench) -> Figure:
    """The engine's own processes with no container, after it has worked."""
    for engine in (bench.caisd, bench.docker):
        _seconds(engine.docker("run", "--rm", "--network", "none", "busybox", "true"))
    time.sleep(2)
    samples = {engine.name: [float(pss_bytes(engine.processes()))] for engine in (bench.caisd, bench.docker)}
    value = samples["caisd"][0] / MIB
    return Figure(5, "PSS of caisd and spawner, idle", value, 70, "MB", samples)


def memory_per_container(bench: Bench) -> Figure:
    """What each running container adds in new processes, and how the engine's own grow."""
    samples = {}
    notes = []
    for engine in (bench.caisd, bench.docker):
        before = pss_bytes(engine.processes())
        pids = _start_idle(engine)
        time.sleep(2)
        monitors = {parent(pid) for pid in pids}
        samples[engine.name] = [pss_bytes([*pids, *monitors]) / IDLE_CONTAINERS]
        own = [pid for pid in engine.processes() if pid not in monitors and pid not in pids]
        growth = (pss_bytes(own) - before) / IDLE_CONTAINERS / MIB
        notes.append(f"{engine.name} itself grows by {growth:.2f} MB a container")
        engine.remove_containers()
    value = samples["caisd"][0] / MIB
    return Figure(6, "PSS per running idle container, monitor included", value, 2.5, "MB", samples, "; ".join(notes))


def _start_idle(engine: Engine) -> list[int]:
    connection = engine.connect()
    pids = []
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": {LABEL: "1"}, "HostConfig": {"NetworkMode": "none"}}
    for _ in range(IDLE_CONTAINERS):
        identity = json.loads(connection.expect(201, "POST", "/containers/create", body))["Id"]
        connection.expect(204, "POST", f"/containers/{identity}/start")
        shown = json.loads(connection.expect(200, "GET", f"/containers/{identity}/json"))
        pids.append(shown["State"]["Pid"])
    connection.close()
    return pids


def many_at_once(bench: Bench) -> Figure:
    """Many containers from several real clients at once."""
    samples: dict[str, list[float]] = {}
    failures = {}
    for engine in (bench.caisd, bench.docker):
        seconds, failures[engine.name] = _flood(engine)
        samples[engine.name] = [seconds]
        engine.remove_containers()
    note = f"failures: {failures['caisd']} (Docker: {failures['docker']})"
    what = f"{CONTAINERS_AT_ONCE} containers from {CLIENTS} clients at once: time, caisd ÷ Docker"
    figure = ratio(7, what, 0.3, samples, note)
    if failures["caisd"]:
        return Figure(7, what, float("inf"), 0.3, "ratio", samples, note)
    return figure


def _flood(engine: Engine) -> tuple[float, int]:
    arguments = ("run", "-d", "--label", LABEL, "--network", "none", "busybox", "sleep", "1000")
    waiting = list(range(CONTAINERS_AT_ONCE))
    failures: list[str] = []

    def client() -> None:
        while waiting:
            try:
                waiting.pop()
            except IndexError:
                return
            try:
                _seconds(engine.docker(*arguments))
            except RuntimeError as error:
                failures.append(str(error))

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return time.perf_counter() - began, len(failures)


def much_output(bench: Bench) -> Figure:
    """A run that prints a million lines, to the end."""
    script = f"yes {LINE} | head -n {LINES}"
    arguments = ("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    expected = LINES * (len(LINE) + 1)

    def task(engine: Engine) -> float:
        began = time.perf_counter()
        with subprocess.Popen(
            engine.docker(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=client_environment()
        ) as client:
            assert client.stdout is not None
            received = 0
            while data := client.stdout.read(1 << 20):
                received += len(data)
        elapsed = time.perf_counter() - began
        if received != expected or client.returncode != 0:
            raise RuntimeError(f"{engine.name}: {received} of {expected} bytes, exit {client.returncode}")
        return elapsed

    samples: dict[str, list[float]] = {"caisd": [], "docker": []}
    for _ in bench.rounds(3):
        for engine in (bench.caisd, bench.docker):
            samples[engine.name].append(task(engine))
    return ratio(8, "run that prints 1,000,000 lines of 41 bytes, to the end, caisd ÷ Docker", 0.4, samples)
