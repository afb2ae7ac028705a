"""caisd as a process: in the background, under signals, with what it writes; and what it finds again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cais.distribution.reference import parse
from cais.engine.container import Condition
from cais.engine.engine import Engine
from cais.engine.models import CreateRequest
from cais.engine.settings import Settings
from tests.harness import host
from tests.harness.engine import Daemon, wait_until
from tests.harness.images import busybox_root


@pytest.fixture
def folders(clean_host: None) -> Iterator[Daemon]:
    """The folders of a daemon that the test starts itself."""
    daemon = Daemon()
    try:
        yield daemon
    finally:
        pidfile = daemon.exec_root / "caisd.pid"
        if pidfile.exists():
            os.kill(int(pidfile.read_text()), signal.SIGTERM)
            wait_until(lambda: not pidfile.exists())
        wait_until(lambda: not host.processes_naming(str(daemon.root)))
        daemon.destroy_folders()


def _run(daemon: Daemon, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable, "-m", "cais.daemon.main", "--data-root", str(daemon.data_root), "--exec-root",
        str(daemon.exec_root), "--log-file", str(daemon.root / "own.log"), *options,
    ]  # fmt: skip
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=30, env=daemon.environment(), cwd="/"
    )


def test_in_the_background_it_serves_when_the_command_returns(folders: Daemon) -> None:
    done = _run(folders, "--detach", "-H", folders.host)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert folders.answers()
    pid = int((folders.exec_root / "caisd.pid").read_text())
    assert os.getsid(pid) != os.getsid(0)
    assert host.parent(pid) == 1 or host.parent(pid) != os.getpid()
    assert "caisd" in (folders.root / "own.log").read_text()
    again = _run(folders, "--detach", "-H", folders.host)
    assert again.returncode == 1
    assert f"in use by another engine (pid {pid})" in again.stderr
    assert folders.answers()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-H", "tcp://127.0.0.1:2375"], "only unix:///PATH is supported yet"),
        (["-H", "nonsense"], "invalid bind address"),
        (["-H", "unix:///proc/cais.sock"], "cannot listen on '/proc/cais.sock'"),
        (["--log-file", "/proc/x/y"], "cannot write the log '/proc/x/y'"),
        (["--pidfile", "/proc/x.pid"], "cannot write the pid file '/proc/x.pid'"),
    ],
)
@pytest.mark.parametrize("detach", [[], ["--detach"]], ids=["foreground", "background"])
def test_what_cannot_be_served_is_a_clear_error(
    folders: Daemon, options: list[str], says: str, detach: list[str]
) -> None:
    done = _run(folders, *options, *detach)
    assert done.returncode == 1
    assert done.stderr.startswith("caisd: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(folders.socket).exists()


def test_its_version(folders: Daemon) -> None:
    done = _run(folders, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith("caisd version ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_caisd_alone(folders: Daemon, number: signal.Signals) -> None:
    """What Ctrl-C does on a terminal: every process of the group gets the signal."""
    with folders.log.open("ab") as log:
        process = subprocess.Popen(
            folders.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=folders.environment(),
            start_new_session=True,
        )  # fmt: skip
    wait_until(folders.answers)
    folders.import_busybox()
    folders.docker_output("run", "-d", "--name", "long", "busybox", "sleep", "1000")
    pid = folders.inspect("long")["State"]["Pid"].number
    os.killpg(process.pid, number)
    assert process.wait(20) == 0
    assert host.alive(pid)
    assert "Traceback" not in folders.log_text()
    folders.start()
    assert folders.container_pid("long") == pid
    folders.remove_containers()
    assert folders.stop() == 0


def test_a_dump_of_what_it_does(private_caisd: Daemon) -> None:
    os.kill(private_caisd.pid, signal.SIGUSR1)
    wait_until(lambda: b"Stack for <Task" in private_caisd.log.read_bytes())
    assert private_caisd.answers()


def test_requests_that_wait_do_not_hold_up_the_end(private_caisd: Daemon) -> None:
    daemon = private_caisd
    container = daemon.docker_output("run", "-d", "busybox", "sleep", "1000")
    waiting = [
        daemon.docker_start("wait", container),
        daemon.docker_start("events"),
        daemon.docker_start("logs", "-f", container),
    ]
    idle = socket.socket(socket.AF_UNIX)
    idle.connect(daemon.socket)
    time.sleep(0.5)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 3
    idle.close()
    for client in waiting:
        client.communicate(timeout=10)
    assert "Traceback" not in daemon.log_text()


def test_who_has_attached_may_still_start_what_it_attached_to(private_caisd: Daemon) -> None:
    daemon = private_caisd
    body = {"Image": "busybox", "Cmd": ["echo", "hello"], "AttachStdout": True, "Tty": True}
    container = daemon.ask("POST", "/containers/create", body).json["Id"].text
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(daemon.socket)
        client.sendall(f"POST /containers/{container}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        received = client.recv(65536)
        assert received.startswith(b"HTTP/1.1 200 ")
        os.kill(daemon.pid, signal.SIGTERM)
        time.sleep(0.2)
        assert daemon.ask("POST", f"/containers/{container}/start").status == 204
        while data := client.recv(65536):
            received += data
    assert received.endswith(b"hello\r\n")
    daemon.stop()


def test_who_has_connected_is_answered_before_the_end(private_caisd: Daemon) -> None:
    daemon = private_caisd
    os.kill(daemon.pid, signal.SIGSTOP)  # nobody is let in meanwhile
    clients = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    for client in clients:
        client.settimeout(20)
        client.connect(daemon.socket)
    os.kill(daemon.pid, signal.SIGTERM)
    os.kill(daemon.pid, signal.SIGCONT)
    for client in clients:
        client.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    for client in clients:
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        client.close()
    assert daemon.stop() == 0


def test_an_exec_outlives_the_daemon(private_caisd: Daemon) -> None:
    daemon = private_caisd
    container = daemon.docker_output("run", "-d", "busybox", "sleep", "1000")
    ids = []
    for command in ("sleep 0.3; exit 6", "sleep 1000"):
        body = {"Cmd": ["sh", "-c", command], "AttachStdout": True, "User": "0"}
        identity = daemon.ask("POST", f"/containers/{container}/exec", body).json["Id"].text
        assert daemon.ask("POST", f"/exec/{identity}/start", {"Detach": True}).status == 200
        ids.append(identity)
    daemon.kill()
    time.sleep(0.6)
    daemon.start()
    brief, long = (daemon.ask("GET", f"/exec/{identity}/json").json for identity in ids)
    assert (brief["Running"].flag, brief["ExitCode"].number) == (False, 6)
    assert (long["Running"].flag, long["ExitCode"].value) == (True, None)
    assert long["ProcessConfig"]["entrypoint"].text == "sh"
    assert long["ProcessConfig"]["user"].text == "0"
    assert daemon.inspect(container)["ExecIDs"].value == [ids[1]]


def test_a_client_s_exec_goes_on_and_ends_with_its_status_while_the_daemon_restarts(private_caisd: Daemon) -> None:
    daemon = private_caisd
    container = daemon.docker_output("run", "-d", "busybox", "sleep", "1000")
    script = "echo up; until [ -e /started ]; do sleep 0.1; done; echo down; exit 8"
    client = daemon.docker_start("exec", container, "sh", "-c", script)
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    daemon.kill()
    daemon.start()
    daemon.docker("exec", container, "touch", "/started")
    output, _ = client.communicate(timeout=20)
    assert (output, client.returncode) == (b"down\n", 8)


async def test_the_engine_is_a_library(clean_host: None, tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield busybox_root().finish()

    settings = Settings(data_root=tmp_path / "data", exec_root=tmp_path / "run")
    async with Engine(settings) as engine:
        await engine.images.import_(body(), reference=parse("busybox"))
        request = CreateRequest(Image="busybox", Cmd=["sh", "-c", "echo hello; exit 5"])
        container, warnings = await engine.containers.create(request, "lib")
        assert warnings == []
        ended = container.wait(Condition.NEXT_EXIT)
        await engine.lifecycle.start(container)
        assert await ended == 5
        await engine.lifecycle.remove(container)
        assert len(engine.containers) == 0
