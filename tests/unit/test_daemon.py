"""The command line, the sockets and the log of caisd."""

import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from cais.daemon import logs
from cais.daemon.listeners import Listeners, unix_path
from cais.daemon.options import parse
from cais.daemon.process import PidFile
from cais.errors import Conflict, InvalidArgument, Unavailable, Unsupported


def test_the_defaults() -> None:
    options = parse([])
    assert options.settings.data_root == Path("/var/lib/cais")
    assert options.sockets == (Path("/run/cais/cais.sock"),)
    assert options.pidfile == Path("/run/cais/caisd.pid")
    assert options.log_target is logs.Target.FILE
    assert not options.detach


def test_folders_of_its_own() -> None:
    options = parse(["--data-root", "/d", "--exec-root", "/e", "-D", "--detach", "--log-target", "stderr"])
    assert options.sockets == (Path("/e/cais.sock"),)
    assert options.pidfile == Path("/e/caisd.pid")
    assert options.settings.debug
    assert options.detach


def test_several_sockets() -> None:
    assert parse(["-H", "unix:///a", "--host", "unix:///b"]).sockets == (Path("/a"), Path("/b"))


@pytest.mark.parametrize("host", ["/a", "unix://", "unix://a", "unix:///" + "x" * 200])
def test_addresses_that_are_none(host: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid bind address"):
        unix_path(host)


@pytest.mark.parametrize("host", ["tcp://0.0.0.0:2375", "fd://", "npipe://x"])
def test_addresses_that_are_not_served(host: str) -> None:
    with pytest.raises(Unsupported):
        unix_path(host)


def test_one_folder_for_both_kinds_of_state_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        parse(["--data-root", "/x", "--exec-root", "/x"])


def test_a_socket_is_there_when_it_listens_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "run" / "c.sock"
    with Listeners([path]):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert os.listdir(path.parent) == ["c.sock"]
    assert not path.exists()


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with Listeners([path]):
        with pytest.raises(Conflict, match="another process does"), Listeners([path]):
            pass
        assert path.exists()


def test_a_socket_that_somebody_else_put_there_is_left(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with Listeners([path]):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"


def test_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot listen"), Listeners([tmp_path / "a.sock", tmp_path / "file" / "c"]):
        pass
    assert not (tmp_path / "a.sock").exists()


def test_the_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "caisd.pid"
    with PidFile(path):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with PidFile(path):
        path.write_text("1\n")
    assert path.exists()


def test_nothing_that_is_logged_forges_a_line() -> None:
    record = logging.LogRecord("cais.x", logging.INFO, "", 0, "name %s", ("a\nINFO forged\x1b[2J",), None)
    text = logs.OneLineFormatter("%(levelname)s %(message)s").format(record)
    assert text == r"INFO name a\nINFO forged\x1b[2J"


def test_the_journal_gets_fields(tmp_path: Path) -> None:
    address = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(address)
        handler = logs.JournalHandler(address)
        handler.setFormatter(logging.Formatter("%(message)s"))
        handler.handle(logging.LogRecord("cais.x", logging.WARNING, "", 0, "one\ntwo", (), None))
        sent = journal.recv(4096)
        handler.close()
    assert sent == b"PRIORITY=4\nSYSLOG_IDENTIFIER=caisd\nLOGGER=cais.x\nMESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\n"


def test_no_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot log to the journal"):
        logs.JournalHandler(str(tmp_path / "absent"))
