"""The two engines that are compared: a caisd of this tree and a real Docker, each with folders of its own."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from bench.memory import descendants
from tests.harness.http import UnixConnection
from tests.harness.images import PATH, busybox_root

PROJECT = Path(__file__).resolve().parent.parent
INTERPRETER = PROJECT / ".venv/bin/python"
LABEL = "cais.bench"
BRIDGE = "caisbench0"
BRIDGE_ADDRESS = "172.31.250.1/24"
START_SECONDS = 60


def client_environment() -> dict[str, str]:
    """The environment of every client and daemon: nothing that slows Python's start or redirects a client."""
    dropped = ("DOCKER_", "CAIS_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


class Connection:
    """One kept-alive connection to an engine's API."""

    def __init__(self, socket: str) -> None:
        self._connection = UnixConnection(socket, 120)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request; its status and whole body."""
        encoded = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if encoded else {}
        self._connection.request(method, path, body=encoded, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def expect(self, status: int, method: str, path: str, body: object = None) -> bytes:
        """One request that must have this status."""
        answered, content = self.ask(method, path, body)
        if answered != status:
            raise RuntimeError(f"{method} {path}: {answered} {content.decode(errors='replace')}")
        return content

    def close(self) -> None:
        self._connection.close()


class Engine:
    """An engine on a unix socket, with the image busybox."""

    name = ""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.host = f"unix://{socket}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove_containers()

    def docker(self, *arguments: str) -> list[str]:
        """The command line of the real docker client against this engine."""
        return ["docker", "-H", self.host, *arguments]

    def connect(self) -> Connection:
        return Connection(self.socket)

    def import_busybox(self) -> None:
        """Give the engine the image busybox:latest, the same bytes for each engine."""
        self.import_image("busybox", busybox_root().finish())

    def import_image(self, name: str, archive: bytes) -> None:
        """Make the image NAME:latest of a root file system."""
        change = quote(f"ENV PATH={PATH}")
        connection = UnixConnection(self.socket, 120)
        path = f"/images/create?fromSrc=-&repo={name}&tag=latest&changes={change}"
        connection.request("POST", path, body=archive)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200 or b'"error"' in content:
            raise RuntimeError(f"{self.name} does not import {name}: {content.decode(errors='replace')}")

    def remove_containers(self) -> None:
        """Remove the containers of the benchmark."""
        connection = self.connect()
        filters = quote(json.dumps({"label": [LABEL]}))
        for container in json.loads(connection.expect(200, "GET", f"/containers/json?all=1&filters={filters}")):
            connection.ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        connection.close()

    def processes(self) -> list[int]:
        """The engine's own processes, without those of its containers."""
        raise RuntimeError(f"the processes of {self.name} are not known")

    def answers(self) -> bool:
        try:
            connection = self.connect()
            status, _ = connection.ask("GET", "/_ping")
            connection.close()
        except OSError:
            return False
        return status == 200


class Started(Engine):
    """An engine that the benchmark starts itself, in a new folder, and ends and removes at the end."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="/tmp/cais-bench-"))
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(str(self.root / "run" / f"{self.name}.sock"))

    def command(self) -> list[str]:
        """What starts the engine."""
        raise RuntimeError(f"{self.name} cannot be started")

    def __enter__(self) -> Self:
        (self.root / "run").mkdir(mode=0o700)
        log = self.root / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=client_environment()
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)
        self.import_busybox()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)
                self._process.wait(60)
            shutil.rmtree(self.root, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The engine's first process."""
        assert self._process is not None
        return self._process.pid

    def processes(self) -> list[int]:
        return [self.pid, *descendants(self.pid)]


class Caisd(Started):
    """The daemon of this tree."""

    name = "caisd"

    def command(self) -> list[str]:
        return [
            *(str(INTERPRETER), "-m", "cais.daemon.main"),
            *("--data-root", str(self.root / "data"), "--exec-root", str(self.root / "run")),
            *("-H", self.host, "--log-target", "stderr"),
        ]

    def cais(self, *arguments: str) -> list[str]:
        """The command line of the cais command against this engine; CAIS_HOST names it."""
        return ["env", f"CAIS_HOST={self.host}", str(PROJECT / "bin/cais"), *arguments]


class Docker(Started):
    """A real Docker engine, Debian's, with a bridge of its own."""

    name = "docker"

    def command(self) -> list[str]:
        run = self.root / "run"
        return [
            *("dockerd", "-H", self.host, "-b", BRIDGE),
            *("--data-root", str(self.root / "data"), "--exec-root", str(run), "-p", str(run / "docker.pid")),
        ]

    def __enter__(self) -> Self:
        if shutil.which("dockerd") is None:
            environment = client_environment() | {"DEBIAN_FRONTEND": "noninteractive"}
            packages = ["docker.io", "iptables"]
            subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
            subprocess.run(
                ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], check=True, env=environment
            )
        if not Path(f"/sys/class/net/{BRIDGE}").exists():
            subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
            subprocess.run(["ip", "addr", "add", BRIDGE_ADDRESS, "dev", BRIDGE], check=True)
            subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            subprocess.run(["ip", "link", "del", BRIDGE], check=False)


class RunningDocker(Engine):
    """A real Docker engine that runs already; its processes are found by its socket."""

    name = "docker"

    def __enter__(self) -> Self:
        if not self.answers():
            raise RuntimeError(f"no Docker answers at {self.host}")
        self.import_busybox()
        return self

    def processes(self) -> list[int]:
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    arguments = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if self.host.encode() in arguments and os.path.basename(arguments[0]) == b"dockerd":
                    found += [int(entry), *descendants(int(entry))]
        return found
