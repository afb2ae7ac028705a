"""`cais volume export`, `import` and `clone`, and the requests behind them."""

import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.http import UnixConnection
from tests.harness.inside import HOST_MARK
from tests.harness.life import events, refused, run, status


@pytest.fixture
def cais(caisd: Daemon) -> Iterator[Daemon]:
    """The daemon, by our own command; without volumes afterwards."""
    caisd.client = "cais"
    yield caisd
    caisd.client = "docker"
    caisd.remove_containers()
    names = [item["Name"].text for item in caisd.ask("GET", "/volumes").json["Volumes"].items]
    for name in names:
        assert caisd.ask("DELETE", f"/volumes/{name}").status == 204


def _data(daemon: Daemon, name: str) -> Path:
    return daemon.root / "data/volumes" / name / "_data"


def _fill(daemon: Daemon, name: str) -> None:
    script = """mkdir -m 750 /v/d; echo content >/v/d/f; ln -s d/f /v/link; ln /v/d/f /v/hard; echo odd >/v/.wh.odd
        chown 7:8 /v /v/d/f; chmod 711 /v; truncate -s 8M /v/sparse; mkfifo /v/fifo"""
    daemon.docker_output("run", "--rm", "-v", f"{name}:/v", "busybox", "sh", "-c", script)


def _seen(folder: Path) -> dict[str, tuple[int, ...]]:
    """What is in a folder: kinds and modes, owners, sizes and times."""
    found: dict[str, tuple[int, ...]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        info = path.lstat()
        size = info.st_size if path.is_file() else 0
        found[str(path.relative_to(folder))] = (info.st_mode, info.st_uid, info.st_gid, size, int(info.st_mtime))
    return found


def test_out_and_in_again(cais: Daemon, tmp_path: Path) -> None:
    _fill(cais, "one")
    archive = tmp_path / "one.tar.zst"
    assert cais.docker_output("volume", "export", "one", "-o", str(archive)) == ""
    assert archive.stat().st_size < 20_000
    assert cais.docker_output("volume", "import", "two", str(archive)) == "two"
    assert _seen(_data(cais, "two")) == _seen(_data(cais, "one"))
    assert (_data(cais, "two") / "hard").stat().st_nlink == 2
    assert (_data(cais, "two") / "sparse").stat().st_blocks < 1024
    plain = subprocess.run(["zstd", "-dc", str(archive)], check=True, capture_output=True).stdout
    (tmp_path / "plain.tar").write_bytes(plain)
    assert cais.docker_output("volume", "import", "three", str(tmp_path / "plain.tar")) == "three"
    assert _seen(_data(cais, "three")) == _seen(_data(cais, "one"))
    actions = [event["Action"].text for event in events(cais, type=["volume"], volume=["one"])]
    assert actions[-1] == "export"


def test_through_the_standard_streams(cais: Daemon, tmp_path: Path) -> None:
    _fill(cais, "one")
    client = cais.docker_start("volume", "export", "one")
    archive, _ = client.communicate(timeout=30)
    (tmp_path / "archive").write_bytes(archive)
    with open(tmp_path / "archive", "rb") as file:
        client = cais.docker_start("volume", "import", "two", "-", stdin=file.fileno())
        assert client.wait(30) == 0
    assert _seen(_data(cais, "two")) == _seen(_data(cais, "one"))


def test_a_clone(cais: Daemon) -> None:
    cais.docker_output("volume", "create", "--label", "a=b", "one")
    _fill(cais, "one")
    assert cais.docker_output("volume", "clone", "one", "two") == "two"
    assert _seen(_data(cais, "two")) == _seen(_data(cais, "one"))
    assert cais.ask("GET", "/volumes/two").json["Labels"]["a"].text == "b"
    terminal = cais.docker_terminal("volume", "clone", "one", "three")
    terminal.expect("three: Copying")
    assert terminal.wait() == 0


def test_what_is_refused_leaves_everything_as_it_was(cais: Daemon, tmp_path: Path) -> None:
    _fill(cais, "one")
    _fill(cais, "full")
    archive = tmp_path / "archive"
    cais.docker_output("volume", "export", "one", "-o", str(archive))
    before = _seen(_data(cais, "full"))
    for arguments, words in (
        (["import", "full", str(archive)], "volume full is not empty: remove it first, or choose another name"),
        (["clone", "one", "full"], "volume full is not empty"),
        (["clone", "one", "one"], "volume one cannot be cloned to itself"),
        (["clone", "none", "two"], "get none: no such volume"),
        (["export", "none", "-o", str(tmp_path / "none")], "get none: no such volume"),
        (["import", "two", str(tmp_path / "missing")], f"open {tmp_path}/missing: no such file or directory"),
        (["import", "x", str(archive)], "volume name is too short"),
    ):
        done = cais.docker("volume", *arguments)
        assert done.returncode == 1
        assert words in done.stderr
    for content in (b"no archive", archive.read_bytes()[:200]):
        (tmp_path / "bad").write_bytes(content)
        assert cais.docker("volume", "import", "two", str(tmp_path / "bad")).returncode == 1
    assert refused(cais, "GET", "/volumes/two")[0] == 404
    assert _seen(_data(cais, "full")) == before
    assert not (tmp_path / "none").exists()
    cais.docker_output("volume", "create", "used")
    container = run(cais, "sleep", "100", host_config={"Binds": ["used:/x"]})
    assert f"volume used is in use - [{container}]" in cais.docker("volume", "import", "used", str(archive)).stderr


def test_an_archive_that_leads_elsewhere(cais: Daemon, marker: Path) -> None:
    for kind, name, link in (
        (tarfile.SYMTYPE, "out", str(cais.root)),
        (tarfile.LNKTYPE, "hard", f"../../../..{marker}"),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            archive.addfile(member)
            member = tarfile.TarInfo(f"{name}/stolen")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        connection = UnixConnection(cais.socket, 30)
        connection.request("POST", f"/cais/volumes/{name}/import", buffer.getvalue())
        assert connection.getresponse().status in {201, 400}
        connection.close()
    assert not (cais.root / "stolen").exists()
    assert marker.read_text() == HOST_MARK


def _actions(daemon: Daemon, container: str) -> list[str]:
    return [event["Action"].text for event in events(daemon, container=[container], type=["container"])]


def test_containers_stand_still_while_a_volume_is_read(cais: Daemon, tmp_path: Path) -> None:
    """Two counters that are written one after the other never differ by more than one."""
    script = (
        "i=0; while :; do i=$((i+1)); echo $i >/v/a.new; mv /v/a.new /v/a; echo $i >/v/b.new; mv /v/b.new /v/b; done"
    )
    container = run(cais, "sh", "-c", script, host_config={"Binds": ["busy:/v"]})
    other = run(cais, "sleep", "100")
    wait_until((_data(cais, "busy") / "b").exists)
    cais.docker_output("volume", "export", "--pause", "busy", "-o", str(tmp_path / "busy"))
    wait_until(lambda: _actions(cais, container)[-2:] == ["pause", "unpause"])
    assert "pause" not in _actions(cais, other)
    assert status(cais, container) == "running"
    cais.docker_output("volume", "import", "copy", str(tmp_path / "busy"))
    first, second = ((_data(cais, "copy") / name).read_text() for name in ("a", "b"))
    assert int(first) - int(second) in {0, 1}
    cais.docker_output("volume", "clone", "--pause", "busy", "clone")
    assert status(cais, container) == "running"


def test_who_hangs_up_leaves_no_container_paused(cais: Daemon) -> None:
    container = run(cais, "sleep", "100", host_config={"Binds": ["large:/v"]})
    with open(_data(cais, "large") / "f", "wb") as file:
        for _ in range(40):
            file.write(os.urandom(1 << 20))
    connection = UnixConnection(cais.socket, 30)
    connection.request("GET", "/cais/volumes/large/export?pause=1")
    assert len(connection.getresponse().read(1000)) == 1000
    assert status(cais, container) == "paused"
    connection.close()
    wait_until(lambda: status(cais, container) == "running")
    assert cais.docker_output("rm", "-f", container) == container


def test_a_volume_that_is_a_mount_is_mounted_to_be_read(cais: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "f").write_text("elsewhere")
    options = ["-o", "type=none", "-o", "o=bind", "-o", f"device={folder}"]
    cais.docker_output("volume", "create", *options, "bound")
    cais.docker_output("volume", "clone", "bound", "copy")
    assert (_data(cais, "copy") / "f").read_text() == "elsewhere"
    assert not os.path.ismount(_data(cais, "bound"))
    done = cais.docker("volume", "import", "bound", "/dev/null")
    assert "it has driver options" in done.stderr


def test_progress_at_a_terminal(cais: Daemon, tmp_path: Path) -> None:
    _fill(cais, "one")
    terminal = cais.docker_terminal("volume", "export", "one", "-o", str(tmp_path / "a"))
    terminal.expect("Exporting one - ")
    assert terminal.wait() == 0
    terminal = cais.docker_terminal("volume", "import", "two", str(tmp_path / "a"))
    terminal.expect("Importing two - ")
    assert terminal.wait() == 0
    time.sleep(0.1)
