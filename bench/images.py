"""The figures of images: what a pull costs beside Docker's, in memory, and in bytes when layers are shared; archives;
the disk that containers take.

Both engines pull from the same docker-registry on loopback; the images are made of this machine's libraries.
"""

import io
import json
import re
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

from bench.engines import LABEL, Connection, Engine
from bench.figures import MIB, Bench, Figure, in_turns, ratio
from bench.memory import pss_bytes
from tests.harness.http import UnixConnection
from tests.harness.registry import RealRegistry, real_registry

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
IMAGE_BYTES = 160 * MIB
LARGE_LAYER_BYTES = 2 << 30
CONTAINERS = 1000
_PIECE = 1 << 20
_SAMPLE_SECONDS = 0.05
_SENT = re.compile(r'"GET /v2/\S+/(?:blobs|manifests)/\S+ HTTP/1\.1" 200 (\d+)')


@contextmanager
def _archive(size_bytes: int) -> Iterator[Path]:
    """A root file system of about that many bytes, of real files."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path in sorted(LIBRARIES.rglob("*")):
                if archive.offset >= size_bytes:
                    break
                archive.add(path, recursive=False)
        file.flush()
        yield Path(file.name)


def _publish(engine: Engine, archive: Path, name: str) -> None:
    """Import an archive as an image, push it, and remove it."""
    _import(engine, archive, name)
    _stream(engine, f"/images/{name}/push", {"X-Registry-Auth": "e30="})
    _remove(engine, name)


def _import(engine: Engine, archive: Path, name: str) -> None:
    connection = UnixConnection(engine.socket, 600)
    with archive.open("rb") as body:
        connection.request("POST", f"/images/create?fromSrc=-&repo={quote(name, safe='')}", body=body)
        answer = connection.getresponse()
        content = answer.read()
    connection.close()
    if answer.status != 200 or b'"error"' in content:
        raise RuntimeError(f"{engine.name} does not import: {content.decode(errors='replace')}")


def _stream(engine: Engine, path: str, headers: dict[str, str] | None = None) -> float:
    """A request that tells its progress, to its end; the seconds it took."""
    connection = UnixConnection(engine.socket, 600)
    began = time.perf_counter()
    connection.request("POST", path, headers=headers or {})
    answer = connection.getresponse()
    content = answer.read()
    elapsed = time.perf_counter() - began
    connection.close()
    if answer.status != 200 or b'"errorDetail"' in content:
        raise RuntimeError(f"{engine.name}: {path}: {content[-500:].decode(errors='replace')}")
    return elapsed


def _pull(engine: Engine, name: str) -> float:
    return _stream(engine, f"/images/create?fromImage={quote(name, safe='')}")


def _remove(engine: Engine, name: str) -> None:
    connection = Connection(engine.socket)
    connection.expect(200, "DELETE", f"/images/{name}?force=1")
    connection.close()


def _pull_and_remove(engine: Engine, name: str) -> float:
    elapsed = _pull(engine, name)
    _remove(engine, name)
    return elapsed


def pull(bench: Bench) -> Figure:
    """A pull of a 160 MB image from a registry on loopback."""
    with real_registry() as registry, _archive(IMAGE_BYTES) as archive:
        name = f"{registry.name}/libraries:1"
        _publish(bench.docker, archive, name)
        tasks: dict[str, Callable[[], float]] = {
            engine.name: partial(_pull_and_remove, engine, name) for engine in (bench.caisd, bench.docker)
        }
        samples = in_turns(bench.rounds(3), tasks)
    return ratio(14, "pull of a 160 MB image from a registry on loopback, caisd ÷ Docker", 0.4, samples)


def pull_memory(bench: Bench) -> Figure:
    """The peak of caisd's memory while it pulls a layer of 2 GB, above what it has idle."""
    with real_registry() as registry, tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        with large.open("wb") as file:
            file.truncate(round(LARGE_LAYER_BYTES * min(1.0, bench.effort)))
        archive = Path(folder) / "root.tar"
        subprocess.run(["tar", "-C", folder, "-cf", str(archive), "large"], check=True)
        large.unlink()
        name = f"{registry.name}/large:1"
        _publish(bench.docker, archive, name)
        before = pss_bytes(bench.caisd.processes())
        peak = before
        pulling = threading.Thread(target=_pull, args=(bench.caisd, name))
        pulling.start()
        while pulling.is_alive():
            peak = max(peak, pss_bytes(bench.caisd.processes()))
            time.sleep(_SAMPLE_SECONDS)
        pulling.join()
        _remove(bench.caisd, name)
    value = (peak - before) / MIB
    return Figure(
        15, "memory of a pull of a 2 GB layer, above idle", value, 150, "MB", {"caisd": [float(peak - before)]}
    )


def shared_bytes(bench: Bench) -> Figure:
    """The bytes fetched for a second image that shares all but one small layer."""
    with real_registry() as registry, _archive(IMAGE_BYTES // 4) as archive:
        first, second = f"{registry.name}/base:1", f"{registry.name}/base:2"
        _publish(bench.docker, archive, first)
        _pull(bench.docker, first)
        small = _commit(bench.docker, first, registry)
        _remove(bench.docker, second)
        _remove(bench.docker, first)
        _pull(bench.caisd, first)
        registry.forget_requests()
        _pull(bench.caisd, second)
        fetched = sum(int(found) for found in _SENT.findall(registry.log))
        for name in (first, second):
            _remove(bench.caisd, name)
    what = "bytes fetched for an image that shares all but one layer ÷ that layer, its manifest and configuration"
    return Figure(16, what, fetched / small, 1.05, "ratio", note=f"{fetched} bytes")


def save_and_load(bench: Bench) -> Figure:
    """An image of 160 MB into an archive and back."""
    with _archive(IMAGE_BYTES) as archive:
        for engine in (bench.caisd, bench.docker):
            _import(engine, archive, "libraries:1")
        tasks: dict[str, Callable[[], float]] = {
            engine.name: partial(_save_and_load, engine, "libraries:1") for engine in (bench.caisd, bench.docker)
        }
        samples = in_turns(bench.rounds(3), tasks)
        for engine in (bench.caisd, bench.docker):
            _remove(engine, "libraries:1")
    return ratio(17, "save and load of a 160 MB image, caisd ÷ Docker", 0.25, samples)


def _save_and_load(engine: Engine, name: str) -> float:
    """The seconds of both, with the image removed in between."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        began = time.perf_counter()
        subprocess.run(engine.docker("save", "-o", file.name, name), check=True)
        elapsed = time.perf_counter() - began
        _remove(engine, name)
        began = time.perf_counter()
        subprocess.run(engine.docker("load", "-q", "-i", file.name), check=True, stdout=subprocess.DEVNULL)
        return elapsed + time.perf_counter() - began


def disk_of_containers(bench: Bench) -> Figure:
    """What each of many containers on one image takes on the disk, the database included."""
    count = len(bench.rounds(CONTAINERS))
    body = {"Image": "busybox", "Cmd": ["true"], "Labels": {LABEL: "1"}, "HostConfig": {"NetworkMode": "none"}}
    connection = bench.caisd.connect()
    before = _disk_bytes(bench.caisd.root / "data")
    for _ in range(count):
        connection.expect(201, "POST", "/containers/create", body)
    each = (_disk_bytes(bench.caisd.root / "data") - before) / count
    connection.close()
    bench.caisd.remove_containers()
    return Figure(18, f"disk of each of {count} containers beyond the image", each / 1024, 64, "KB")


def _disk_bytes(folder: Path) -> int:
    return int(subprocess.run(["du", "-s", "-B1", str(folder)], check=True, capture_output=True).stdout.split()[0])


def _add_file(engine: Engine, path: str) -> None:
    """Put a small file into a container."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        entry = tarfile.TarInfo("more")
        entry.size = 1000
        archive.addfile(entry, io.BytesIO(bytes(1000)))
    connection = UnixConnection(engine.socket, 60)
    connection.request("PUT", path, body=data.getvalue(), headers={"Content-Type": "application/x-tar"})
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise RuntimeError(f"{engine.name}: {path}: {status}")


def _commit(engine: Engine, name: str, registry: RealRegistry) -> int:
    """Push one more layer on an image as tag 2; the bytes of that layer, the manifest and the configuration."""
    connection = Connection(engine.socket)
    created = json.loads(connection.expect(201, "POST", "/containers/create", {"Image": name, "Cmd": ["/none"]}))["Id"]
    _add_file(engine, f"/containers/{created}/archive?path=/")
    connection.expect(201, "POST", f"/commit?container={created}&repo={quote(name[:-2], safe='')}&tag=2")
    connection.expect(204, "DELETE", f"/containers/{created}")
    connection.close()
    _stream(engine, f"/images/{name[:-2]}/push?tag=2", {"X-Registry-Auth": "e30="})
    manifest = registry.get("/v2/base/manifests/2")
    decoded = json.loads(manifest)
    return len(manifest) + int(decoded["config"]["size"]) + int(decoded["layers"][-1]["size"])


FIGURES: dict[int, Callable[[Bench], Figure]] = {
    14: pull,
    15: pull_memory,
    16: shared_bytes,
    17: save_and_load,
    18: disk_of_containers,
}
