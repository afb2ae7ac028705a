"""The figures of networks: what a start costs with one, what reaches a container how fast, and names.

iperf3 runs in an image that is made of this machine's own, and on this machine; the look-ups are made by a Python in a
container's network namespace.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.engines import LABEL, Connection, Engine, client_environment
from bench.figures import Bench, Figure, in_turns, ratio, seconds_of
from tests.harness.images import busybox_root

PORTS = 999
IPERF_SECONDS = 3
IPERF_PORT = 5201
LOOKUPS = 500
_LOOK_UP = """
import socket, struct, sys, time
name, count = sys.argv[1], int(sys.argv[2])
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\\0"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.connect(("127.0.0.11", 53))
    for number in range(count):
        began = time.perf_counter()
        asking.send(struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + labels + struct.pack("!2H", 1, 1))
        answer = asking.recv(512)
        assert struct.unpack_from("!4H", answer)[3] == 1, answer
        print(time.perf_counter() - began)
"""


def _run(engine: Engine, *arguments: str) -> str:
    """Start a container in the background; its id."""
    command = engine.docker("run", "-d", "--label", LABEL, *arguments)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=client_environment())
    return done.stdout.strip()


def _inspect(engine: Engine, identity: str) -> dict[str, dict[str, object]]:
    connection = engine.connect()
    answer = connection.expect(200, "GET", f"/containers/{identity}/json")
    connection.close()
    found: dict[str, dict[str, object]] = json.loads(answer)
    return found


def bridge(bench: Bench) -> Figure:
    """The real client, a whole run on the default bridge."""
    return _whole_run(bench, 20, "docker run --rm busybox true on the default bridge, caisd ÷ Docker")


def published(bench: Bench) -> Figure:
    """The same with a published port."""
    return _whole_run(bench, 21, "the same with a published port, caisd ÷ Docker", "-p", "80")


def _whole_run(bench: Bench, number: int, what: str, *flags: str) -> Figure:
    tasks: dict[str, Callable[[], float]] = {
        engine.name: partial(seconds_of, engine.docker("run", "--rm", *flags, "busybox", "true"))
        for engine in (bench.caisd, bench.docker)
    }
    return ratio(number, what, 0.25, in_turns(bench.rounds(20), tasks))


def many_ports(bench: Bench) -> Figure:
    """The start of a container with a port, beside a thousand published ports and beside none."""
    count = bench.containers(PORTS)
    first = in_turns(bench.rounds(10), {"first": partial(_start_with_port, bench.caisd)})["first"]
    _run(bench.caisd, "-p", f"20000-{20000 + count - 1}:20000-{20000 + count - 1}", "busybox", "sleep", "1000")
    last = in_turns(bench.rounds(10), {"last": partial(_start_with_port, bench.caisd)})["last"]
    bench.caisd.remove_containers()
    value = statistics.median(last) / statistics.median(first)
    note = f"the first {statistics.median(first) * 1000:.1f} ms"
    return Figure(22, f"starting with one more port than {count} ÷ with the first", value, 1.5, "ratio", note=note)


def _start_with_port(engine: Engine) -> float:
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000"],
        "Labels": {LABEL: "1"},
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
    }
    connection: Connection = engine.connect()
    identity = json.loads(connection.expect(201, "POST", "/containers/create", body))["Id"]
    began = time.perf_counter()
    connection.expect(204, "POST", f"/containers/{identity}/start")
    elapsed = time.perf_counter() - began
    connection.expect(204, "DELETE", f"/containers/{identity}?force=1")
    connection.close()
    return elapsed


def from_host(bench: Bench) -> Figure:
    """iperf3 on the host through a published port."""
    _prepare_iperf(bench)
    tasks: dict[str, Callable[[], float]] = {}
    for engine in (bench.caisd, bench.docker):
        identity = _run(engine, "-p", f"127.0.0.1::{IPERF_PORT}", "iperf", "iperf3", "-s")
        listed = subprocess.run(
            engine.docker("port", identity, str(IPERF_PORT)), check=True, capture_output=True, text=True,
            env=client_environment(),
        )  # fmt: skip
        port = listed.stdout.split()[0].rpartition(":")[2]
        tasks[engine.name] = partial(_bits_a_second, ["iperf3", "-c", "127.0.0.1", "-p", port])
    return _throughput(bench, 23, "iperf3 host → published port", tasks)


def between_containers(bench: Bench) -> Figure:
    """iperf3 from one container to another."""
    _prepare_iperf(bench)
    tasks: dict[str, Callable[[], float]] = {}
    for engine in (bench.caisd, bench.docker):
        server = _run(engine, "iperf", "iperf3", "-s")
        client = _run(engine, "iperf", "sleep", "1000")
        address = str(_inspect(engine, server)["NetworkSettings"]["IPAddress"])
        tasks[engine.name] = partial(_bits_a_second, engine.docker("exec", client, "iperf3", "-c", address))
    return _throughput(bench, 24, "iperf3 container → container", tasks)


def _throughput(bench: Bench, number: int, what: str, tasks: dict[str, Callable[[], float]]) -> Figure:
    time.sleep(1)
    speeds = in_turns(bench.rounds(3), tasks)
    bench.caisd.remove_containers()
    bench.docker.remove_containers()
    ours, theirs = (statistics.median(speeds[name]) / 1e9 for name in ("caisd", "docker"))
    note = f"{ours:.1f} and {theirs:.1f} Gbit/s"
    return Figure(number, f"{what}, Docker ÷ caisd", theirs / ours, 1, "ratio", note=note)


def _bits_a_second(command: list[str]) -> float:
    command = [*command, "-J", "-t", str(IPERF_SECONDS)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=client_environment())
    answer = json.loads(done.stdout or "{}")
    if "end" not in answer or "sum_received" not in answer["end"]:
        raise RuntimeError(f"{' '.join(command)}: {answer.get('error') or done.stderr}")
    return float(answer["end"]["sum_received"]["bits_per_second"])


def _prepare_iperf(bench: Bench) -> None:
    if shutil.which("iperf3") is None:
        environment = client_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "iperf3"]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    root = busybox_root()
    program = Path(str(shutil.which("iperf3")))
    root.file("bin/iperf3", program.read_bytes(), 0o755)
    listed = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout
    folders = set()
    for word in listed.split():
        if word.startswith("/"):
            for parent in reversed(Path(word).parents[:-1]):
                if parent not in folders:
                    folders.add(parent)
                    root.folder(str(parent)[1:])
            root.file(word[1:], Path(word).read_bytes(), 0o755)
    archive = root.finish()
    for engine in (bench.caisd, bench.docker):
        engine.import_image("iperf", archive)


def look_up(bench: Bench) -> Figure:
    """A container's name, asked for in another one of its network."""
    engine, network = bench.caisd, "bench-names"
    subprocess.run(engine.docker("network", "create", network), check=True, stdout=subprocess.DEVNULL)
    try:
        _run(engine, "--network", network, "--name", "bench-target", "busybox", "sleep", "1000")
        asking = _run(engine, "--network", network, "busybox", "sleep", "1000")
        pid = str(_inspect(engine, asking)["State"]["Pid"])
        command = ["nsenter", "-t", pid, "-n", sys.executable, "-c", _LOOK_UP, "bench-target", str(LOOKUPS)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        engine.remove_containers()
        subprocess.run(engine.docker("network", "rm", network), check=True, stdout=subprocess.DEVNULL)
    samples = [float(line) for line in done.stdout.split()]
    value = statistics.median(samples) * 1000
    return Figure(25, "look-up of a container's name at 127.0.0.11, median", value, 1, "ms", {"caisd": samples})


FIGURES: dict[int, Callable[[Bench], Figure]] = {
    20: bridge,
    21: published,
    22: many_ports,
    23: from_host,
    24: between_containers,
    25: look_up,
}
