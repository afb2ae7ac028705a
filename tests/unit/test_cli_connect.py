"""Which engine is talked to, and how one is started."""

import os
import sys
import threading
from pathlib import Path

import pytest

from cais.cli import start_daemon as starting
from cais.cli.command import CommandError
from cais.cli.connect import DEFAULT_HOST, Choice
from cais.cli.contexts import Context, Store
from cais.cli.settings import Settings
from cais.cli.start_daemon import daemon_command, start_daemon

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
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CAIS_HOST", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION", "CAIS_AUTOSTART"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "settings"))


def _url(host: str = "", context: str = "") -> str:
    return Choice(host, context).engine().endpoint.url


def _starts(host: str = "") -> bool:
    return Choice(host).engine()._start is not None


def _keep(name: str, host: str) -> None:
    Store(Settings().folder).save(Context(name, {}, {"docker": {"Host": host}}))


def test_the_flag_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _url() == DEFAULT_HOST
    monkeypatch.setenv("DOCKER_HOST", "tcp://docker:1")
    assert _url() == "tcp://docker:1"
    monkeypatch.setenv("CAIS_HOST", "/run/x.sock")
    assert _url() == "unix:///run/x.sock"
    assert _url("other:99") == "tcp://other:99"


def test_a_context_is_chosen_by_flag_environment_or_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        _keep(name, f"unix:///{name}.sock")
    Settings().set_text("currentContext", "one")
    assert (_url(), Choice().context) == ("unix:///one.sock", "one")
    monkeypatch.setenv("DOCKER_CONTEXT", "two")
    assert (_url(), Choice().context) == ("unix:///two.sock", "two")
    monkeypatch.setenv("DOCKER_HOST", "unix:///here.sock")
    assert (_url(), Choice().context) == ("unix:///here.sock", "default")
    assert _url(context="three") == "unix:///three.sock"
    assert _url(context="default") == "unix:///here.sock"


def test_a_context_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match="Failed to initialize: unable to resolve cais endpoint: context "):
        _url(context="gone")


def test_the_version_of_the_api_can_be_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.40")
    assert Choice().engine().version == "1.40"


def test_only_this_machine_s_own_engine_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _starts()
    assert not _starts("unix:///run/other.sock")
    monkeypatch.setenv("CAIS_AUTOSTART", "0")
    assert not _starts()


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


def test_an_engine_behind_tls_is_refused_and_not_spoken_to_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    Store(Settings().folder).save(Context("far", {}, {"docker": {"Host": "tcp://h:2376"}}), {"ca.pem": b"CA"})
    with pytest.raises(CommandError, match="tcp://h:2376: TLS is not supported by cais"):
        _url(context="far")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    with pytest.raises(CommandError, match="TLS is not supported"):
        _url("tcp://h:2376")
    assert _url("unix:///x.sock") == "unix:///x.sock"
