"""A container engine under test: a caisd of our own, with its own folders and socket, and the clients that reach it."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from docker import APIClient, DockerClient

from tests.harness import host
from tests.harness.http import Answer, Json, ask
from tests.harness.images import PATH, RootFilesystem, busybox_root
from tests.harness.terminal import Terminal

SESSION_MARK = uuid.uuid4().hex
PROJECT = Path(__file__).resolve().parent.parent.parent


class Engine:
    """An engine that listens on a unix socket. `folder` is for what its clients keep.

    Containers that it has already are others', and left alone by `remove_containers`. The `docker…` methods run the
    real docker client, or, where `client` is set to "cais", our own command with the same arguments.
    """

    def __init__(self, socket: str, folder: Path, others: frozenset[str] = frozenset()) -> None:
        self.socket = socket
        self.folder = folder
        self.client = "docker"
        self._others = others

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def environment(self) -> dict[str, str]:
        """The environment of the clients: nothing of the developer's own Docker settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "CAIS_"))}
        return kept | {
            "CAIS_HOST": self.host,
            "CAIS_AUTOSTART": "0",
            "DOCKER_CONFIG": str(self.folder / "docker-config"),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            host.TEST_ENVIRONMENT: SESSION_MARK,
        }

    def command_line(self, *arguments: str) -> list[str]:
        """The client's program and arguments."""
        if self.client == "docker":
            return ["docker", "-H", self.host, *arguments]
        return [sys.executable, "-m", "cais.cli", "-H", self.host, *arguments]

    def docker(
        self,
        *arguments: str,
        stdin: str | None = None,
        timeout_seconds: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the real docker client to its end."""
        return self._run(self.command_line(*arguments), stdin, timeout_seconds, environment)

    def docker_output(self, *arguments: str, timeout_seconds: float = 60) -> str:
        """The standard output of a docker command that must succeed, without its last line end."""
        done = self.docker(*arguments, timeout_seconds=timeout_seconds)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: exit {done.returncode}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def docker_start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """Start the real docker client; its output and errors come through pipes."""
        return subprocess.Popen(
            self.command_line(*arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
        )

    def docker_terminal(self, *arguments: str, rows: int = 24, columns: int = 80) -> Terminal:
        """Run the real docker client on a pseudo-terminal."""
        environment = self.environment() | {"TERM": "xterm"}
        return Terminal(self.command_line(*arguments), environment, rows=rows, columns=columns)

    def ask(self, method: str, path: str, body: object = None, *, timeout_seconds: float = 60) -> Answer:
        """One plain HTTP request."""
        return ask(self.socket, method, path, body, timeout_seconds=timeout_seconds)

    def inspect(self, container: str) -> Json:
        """What the API tells of a container."""
        answer = self.ask("GET", f"/containers/{container}/json")
        assert answer.status == 200, answer.body
        return answer.json

    def api(self) -> APIClient:
        """The low-level client of docker-py; the caller closes it."""
        return APIClient(base_url=self.host, version="auto", timeout=60)

    def sdk(self) -> DockerClient:
        """The high-level client of docker-py; the caller closes it."""
        return DockerClient(base_url=self.host, version="auto", timeout=60)

    def import_root(self, name: str, root: RootFilesystem, *changes: str) -> None:
        """Import a root file system as the image `name`; it has the usual PATH, and `changes` (`CMD …`)."""
        options = "".join(f"&changes={quote(change)}" for change in (f"ENV PATH={PATH}", *changes))
        answer = self.ask("POST", f"/images/create?fromSrc=-&repo={quote(name, safe='')}{options}", root.finish())
        assert answer.status == 200, answer.body
        assert b'"error"' not in answer.body, answer.body

    def import_busybox(self) -> None:
        """Give the engine the image busybox:latest."""
        self.import_root("busybox:latest", busybox_root(), 'CMD ["sh"]')

    def containers(self) -> list[str]:
        """The ids of all containers, running or not."""
        answer = self.ask("GET", "/containers/json?all=1")
        assert answer.status == 200, answer.body
        return [identity for item in answer.json.items if (identity := item["Id"].text) not in self._others]

    def remove_containers(self) -> None:
        """Remove every container, running or not."""

        def none_left() -> bool:
            for container in self.containers():
                answer = self.ask("DELETE", f"/containers/{container}?force=1&v=1")
                # A conflict: it is being removed already, by --rm.
                assert answer.status in {204, 404, 409}, answer.body
            return self.containers() == []

        wait_until(none_left, 20)

    def remove_networks(self) -> None:
        """Remove every network that nobody is on, those that are always there apart."""
        answer = self.ask("POST", "/networks/prune")
        assert answer.status == 200, answer.body

    def _run(
        self,
        arguments: Sequence[str],
        stdin: str | None,
        timeout_seconds: float,
        environment: Mapping[str, str] | None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments,
            input=stdin or "",
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            env=self.environment() | dict(environment or {}),
        )


class Daemon(Engine):
    """A caisd of our own. Its folders are made by `start` and removed by `destroy`."""

    def __init__(
        self, *, root: Path | None = None, options: Sequence[str] = (), variables: dict[str, str] | None = None
    ) -> None:
        # Short: the path of a unix socket has at most 107 bytes.
        self.root = root or Path(tempfile.mkdtemp(prefix=host.SESSION_ROOT_PREFIX))
        self.data_root = self.root / "data"
        self.exec_root = self.root / "run"
        self.log = self.root / "caisd.log"
        self.options = tuple(options)
        self.variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(str(self.exec_root / "cais.sock"), self.root)

    @property
    def pid(self) -> int:
        assert self._process is not None, "caisd is not started"
        return self._process.pid

    @property
    def mark(self) -> str:
        """What this engine's table of the firewall is called, and its links are marked with."""
        return f"cais-{hashlib.sha256(str(self.exec_root).encode()).hexdigest()[:12]}"

    @property
    def spawner_pid(self) -> int:
        """The spawner: the one child of caisd."""
        found = host.children(self.pid)
        assert len(found) == 1, [host.command_line(pid) for pid in found]
        return found[0]

    def monitor_pid(self, container: str) -> int:
        """The monitor of a running container: the parent of its first process."""
        return host.parent(self.container_pid(container))

    def container_pid(self, container: str) -> int:
        """The first process of a running container, as the host sees it."""
        pid = self.inspect(container)["State"]["Pid"].number
        assert pid > 0, f"{container} does not run"
        return pid

    def command(self) -> list[str]:
        """What starts this daemon."""
        return [
            sys.executable,
            "-m",
            "cais.daemon.main",
            "--debug",
            *("--log-target", "stderr"),
            *("--data-root", str(self.data_root)),
            *("--exec-root", str(self.exec_root)),
            *("-H", self.host),
            *self.options,
        ]

    def start(self, seconds: float = 20) -> None:
        """Start caisd and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self.environment() | self.variables,
            )
        deadline = time.monotonic() + seconds
        while not self.answers():
            assert self._process.poll() is None, f"caisd ended with {self._process.returncode}: {self.log_text()}"
            assert time.monotonic() < deadline, f"caisd does not answer: {self.log_text()}"
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether the API answers now."""
        try:
            return self.ask("GET", "/_ping", timeout_seconds=5).status == 200
        except OSError:
            return False

    def log_text(self) -> str:
        """The end of what caisd logged."""
        return self.log.read_text("utf-8", errors="replace")[-3000:] if self.log.exists() else ""

    def kill(self) -> None:
        """Kill caisd as a crash would, and only it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        """Ask caisd to end; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(seconds)

    def restart(self) -> None:
        """Stop caisd cleanly, where it still runs, and start it again."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        self.start()

    def destroy(self) -> None:
        """Remove all containers, end caisd, and see to it that nothing of it is left; then remove its folders."""
        try:
            if self._process is None or self._process.poll() is not None:
                self.start()
            self.remove_containers()
            status = self.stop()
            assert status == 0, f"caisd ended with {status}: {self.log_text()}"
            wait_until(lambda: not host.processes_naming(str(self.root)), 10, self._remaining)
            wait_until(lambda: not host.marked(self.mark), 5, lambda: f"left: {host.marked(self.mark)}")
        finally:
            self._kill_remaining()
            shutil.rmtree(self.root, ignore_errors=True)

    def destroy_folders(self) -> None:
        """Remove the folders of a daemon that was never started."""
        shutil.rmtree(self.root)

    def _remaining(self) -> str:
        pids = host.processes_naming(str(self.root))
        return f"processes left: {[(pid, host.command_line(pid)) for pid in pids]}; {self.log_text()}"

    def _kill_remaining(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        for pid in host.processes_naming(str(self.root)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def wait_until(condition: Callable[[], object], seconds: float = 10, describe: Callable[[], str] | None = None) -> None:
    """Wait until `condition` is true; fail, with what `describe` says, when it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, describe() if describe else f"not so within {seconds} s"
        time.sleep(0.02)
