"""Which engine is talked to, and how one is started."""

import os
import sys
import threading
from pathlib import Path

import pytest

from cais.cli import start_daemon as starting
from cais.cli.command import CommandError
from cais.cli.connect import DEFAULT_HOST, engine_at
from cais.cli.start_daemon import daemon_command, start_daemon
from cais.client.engine import Engine

LISTEN = """
import fcntl, os, socket, sys, time
path, lock = sys.argv[1], open(sys.argv[2], "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("caisd: the state folder is in use")
    sys.exit(1)
open(sys.argv[3], "a").write("started\\n")
time.sleep(0.2)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
if os.fork():
    os._exit(0)
listener.settimeout(float(sys.argv[4]))
try:
    while True:
        listener.accept()
except TimeoutError:
    pass
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAIS_HOST", "DOCKER_HOST", "CAIS_AUTOSTART"):
        monkeypatch.delenv(name, raising=False)


def _starts(engine: Engine) -> bool:
    return engine._start is not None


def test_the_flag_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_at("").endpoint.url == DEFAULT_HOST
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker:1")
    assert engine_at("").endpoint.url == "tcp://docker:1"
    monkeypatch.setenv("CAIS_HOST", "/run/x.sock")
    assert engine_at("").endpoint.url == "unix:///run/x.sock"
    assert engine_at("other:99").endpoint.url == "tcp://other:99"


def test_only_this_machine_s_own_engine_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _starts(engine_at(""))
    assert not _starts(engine_at("unix:///run/other.sock"))
    monkeypatch.setenv("CAIS_AUTOSTART", "0")
    assert not _starts(engine_at(""))


def test_the_daemon_is_this_interpreter_s() -> None:
    command = daemon_command()
    assert command[0] == sys.executable
    assert command[-1] == "--detach"
    assert (Path(command[-2]) / "cais").is_dir()


def test_who_is_not_root_cannot_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CommandError, match="A command of root starts it") as caught:
        start_daemon(DEFAULT_HOST, ["/bin/false"])
    assert caught.value.message.startswith(f"Cannot connect to the Cais daemon at {DEFAULT_HOST}.")


def test_several_commands_at_once_start_one_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    socket_path = tmp_path / "cais.sock"
    arguments = [str(socket_path), str(tmp_path / "lock"), str(tmp_path / "count"), "2"]
    command = [sys.executable, "-I", "-S", "-c", LISTEN, *arguments]
    failures: list[Exception] = []

    def start() -> None:
        try:
            start_daemon(f"unix://{socket_path}", command)
        except CommandError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert (tmp_path / "count").read_text() == "started\n"


def test_why_it_could_not_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(starting, "_GRACE_SECONDS", 0.05)
    command = ["/bin/sh", "-c", "echo caisd: this kernel is too old >&2; exit 1"]
    with pytest.raises(CommandError, match="It could not be started"):
        start_daemon(f"unix://{tmp_path}/none.sock", command)
    assert capfd.readouterr().err == "caisd: this kernel is too old\n"
