"""The figures of data: copying in and out of containers beside Docker, and writing to a volume beside the host."""

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.engines import LABEL, Engine
from bench.figures import MIB, Bench, Figure, in_turns, ratio, seconds_of
from bench.memory import pss_bytes

FILE_BYTES = 200_000_000
LARGE_FILE_BYTES = 2 << 30
FILES = 10_000
FILES_IN_FOLDER = 100
WRITTEN = "256M"
_SAMPLE_SECONDS = 0.05
_LIBRARIES = ("/usr", "/lib", "/lib64")


@contextmanager
def _container(engine: Engine, *binds: str) -> Iterator[str]:
    """A container that only stands there."""
    body = {"Image": "busybox", "Cmd": ["sleep", "3600"], "Labels": {LABEL: "1"},
            "HostConfig": {"NetworkMode": "none", "Binds": list(binds)}}  # fmt: skip
    connection = engine.connect()
    identity: str = json.loads(connection.expect(201, "POST", "/containers/create", body))["Id"]
    connection.expect(204, "POST", f"/containers/{identity}/start")
    try:
        yield identity
    finally:
        connection.expect(204, "DELETE", f"/containers/{identity}?force=1&v=1")
        connection.close()


def _in_and_out(engine: Engine, source: Path) -> float:
    """The seconds of copying a file or a folder into a container and out again, by the real client."""
    with _container(engine) as container, tempfile.TemporaryDirectory() as folder:
        elapsed = seconds_of(engine.docker("cp", str(source), f"{container}:/copied"))
        return elapsed + seconds_of(engine.docker("cp", f"{container}:/copied", f"{folder}/copied"))


def _beside_docker(bench: Bench, number: int, what: str, bar: float, source: Path) -> Figure:
    tasks: dict[str, Callable[[], float]] = {
        engine.name: partial(_in_and_out, engine, source) for engine in (bench.caisd, bench.docker)
    }
    return ratio(number, what, bar, in_turns(bench.rounds(5), tasks))


def one_file(bench: Bench) -> Figure:
    """The real client, cp of 200 MB in and out."""
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(FILE_BYTES // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        return _beside_docker(bench, 30, "docker cp of 200 MB in and out, caisd ÷ Docker", 0.6, Path(file.name))


def many_files(bench: Bench) -> Figure:
    """The real client, cp of a folder of 10,000 small files in and out."""
    with tempfile.TemporaryDirectory() as folder:
        count = bench.containers(FILES)
        for number in range(count):
            place = Path(folder) / str(number // FILES_IN_FOLDER)
            place.mkdir(exist_ok=True)
            (place / str(number)).write_text(f"the content of file {number}\n")
        what = f"docker cp of a folder of {count} small files in and out, caisd ÷ Docker"
        return _beside_docker(bench, 31, what, 1, Path(folder))


def volume_writes(bench: Bench) -> Figure:
    """fio, sequential and random writes to a volume beside the same on the host; this machine's fio in both."""
    binds = ["fio-volume:/data", *(f"{path}:{path}:ro" for path in _LIBRARIES if Path(path).is_dir())]
    with _container(bench.caisd, *binds) as container, tempfile.TemporaryDirectory(dir=bench.caisd.root) as folder:
        inside = bench.caisd.docker("exec", container)
        samples = in_turns(
            bench.rounds(3),
            {"caisd": partial(_fio_seconds, inside, "/data"), "host": partial(_fio_seconds, [], folder)},
        )
    seconds_of(bench.caisd.docker("volume", "rm", "fio-volume"))
    host, own = (sorted(samples[name])[len(samples[name]) // 2] for name in ("host", "caisd"))
    note = f"the host alone: {host:.2f} s"
    what = "time of sequential and random writes to a volume ÷ on the host"
    return Figure(32, what, own / host, 1 / 0.95, "ratio", {"caisd": samples["caisd"]}, note)


def _fio_seconds(prefix: list[str], folder: str) -> float:
    """How long fio itself says that both kinds of writing took."""
    total = 0.0
    for kind in ("write", "randwrite"):
        command = [*prefix, "/usr/bin/fio", "--name=w", f"--directory={folder}", f"--rw={kind}", f"--size={WRITTEN}",
                   "--bs=64k", "--end_fsync=1", "--output-format=json"]  # fmt: skip
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        total += json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]["write"]["runtime"] / 1000
    return total


def memory(bench: Bench) -> Figure:
    """The peak of caisd's memory while 2 GB are copied in and out, above what it has idle."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(round(LARGE_FILE_BYTES * min(1.0, bench.effort)))
        before = peak = pss_bytes(bench.caisd.processes())
        copying = threading.Thread(target=_in_and_out, args=(bench.caisd, Path(file.name)))
        copying.start()
        while copying.is_alive():
            peak = max(peak, pss_bytes(bench.caisd.processes()))
            time.sleep(_SAMPLE_SECONDS)
        copying.join()
    value = (peak - before) / MIB
    return Figure(33, "memory while 2 GB are copied, above idle", value, 60, "MB", {"caisd": [float(peak - before)]})


FIGURES: dict[int, Callable[[Bench], Figure]] = {30: one_file, 31: many_files, 32: volume_writes, 33: memory}
