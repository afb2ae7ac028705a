"""/containers/{id}/archive: what it answers, and that it stays inside the container."""

import base64
import io
import json
import os
import socket
import tarfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from cais.cli import localtar
from cais.cli.command import CommandError
from tests.harness.engine import Daemon
from tests.harness.host import mounts_below
from tests.harness.http import Answer, UnixConnection
from tests.harness.inside import HOST_MARK
from tests.harness.life import create, events, post, refused, run, wait_for_status


def _path(container: str, path: str, **query: str) -> str:
    rest = "".join(f"&{name}={value}" for name, value in query.items())
    return f"/containers/{container}/archive?path={quote(path)}{rest}"


def _put(daemon: Daemon, location: str, body: bytes) -> tuple[int, str]:
    connection = UnixConnection(daemon.socket, 30)
    connection.request("PUT", location, body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data)["message"] if data else ""


def _get(daemon: Daemon, container: str, path: str) -> Answer:
    return daemon.ask("GET", _path(container, path))


def _stat(daemon: Daemon, container: str, path: str) -> dict[str, object]:
    connection = UnixConnection(daemon.socket, 30)
    connection.request("HEAD", _path(container, path))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    found: dict[str, object] = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
    return found


def _archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _file(name: str, content: bytes = b"content") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), content


def _member(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


def _names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        return [member.name + ("/" if member.isdir() and member.name != "/" else "") for member in archive]


def test_what_head_tells(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "mkfifo -m 600 /f; ln -s ../etc/./group /tmp/l; ln -s l /tmp/m; sleep 100")
    caisd.docker_output("exec", container, "sh", "-c", "while ! [ -L /tmp/m ]; do :; done")
    found = {
        path: _stat(caisd, container, path) for path in ("/", ".", "/etc", "/etc/", "/tmp/../etc/.", "/tmp/m", "/f")
    }
    assert [found[path]["name"] for path in found] == ["/", ".", "etc", "etc", ".", "m", "f"]
    assert found["/etc"]["mode"] == 1 << 31 | 0o755
    assert found["/tmp/m"]["mode"] == 1 << 27 | 0o777
    assert found["/tmp/m"]["linkTarget"] == "/etc/group"
    assert found["/f"]["mode"] == 1 << 25 | 0o600
    assert _stat(caisd, container, "/dev/null")["mode"] == 1 << 26 | 1 << 21 | 0o666
    assert _stat(caisd, container, "/tmp")["mode"] == 1 << 31 | 1 << 20 | 0o777


def test_names_in_the_archive_are_those_that_were_asked_for(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "mkdir /a; touch /a/f; ln -s a /l; sleep 100")
    caisd.docker_output("exec", container, "sh", "-c", "while ! [ -L /l ]; do :; done")
    assert _names(_get(caisd, container, "/a")) == ["a/", "a/f"]
    assert _names(_get(caisd, container, "a/")) == ["a/", "a/f"]
    assert _names(_get(caisd, container, "/a/.")) == ["./", "./f"]
    assert _names(_get(caisd, container, "/a/f")) == ["f"]
    assert _names(_get(caisd, container, "/l")) == ["l"]
    assert _names(_get(caisd, container, "/l/")) == ["l/", "l/f"]


def test_a_whole_container_can_be_copied(caisd: Daemon) -> None:
    container = create(caisd, "true")
    names = _names(_get(caisd, container, "/"))
    assert names[0] == "/"
    assert "/bin/busybox" in names
    post(caisd, container, "start")
    wait_for_status(caisd, container, "exited")
    assert "/etc/hosts" in _names(_get(caisd, container, "/"))


def test_what_is_refused(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100", name="refusing")
    head = f"/containers/{container}/archive"
    assert refused(caisd, "GET", head) == (400, "bad parameter: pathcannot be empty")
    assert refused(caisd, "GET", _path(container, "/no\0")) == (
        400,
        "bad parameter: the path /no\\x00 contains a NUL byte",
    )
    missing = "Could not find the file /nope in container refusing"
    assert refused(caisd, "GET", _path(container, "/nope")) == (404, missing)
    assert refused(caisd, "GET", _path(container, "/etc/passwd/")) == (500, "lstat /etc/passwd/: not a directory")
    assert refused(caisd, "GET", _path("nobody", "/")) == (404, "No such container: nobody")
    assert caisd.ask("HEAD", _path(container, "/nope")).status == 404
    assert _put(caisd, _path(container, "/nope"), b"") == (404, missing)
    assert _put(caisd, _path(container, "/etc/passwd"), b"") == (400, "extraction point is not a directory")
    assert _put(caisd, _path(container, "/tmp"), b"no archive" * 100)[0] == 400
    wanted = _path(container, "/etc", noOverwriteDirNonDir="true")
    assert _put(caisd, wanted, _archive(_member("passwd", tarfile.DIRTYPE))) == (
        400,
        'cannot overwrite non-directory "/etc/passwd" with directory "/etc"',
    )
    assert _put(caisd, wanted, _archive(_file("../out")))[0] == 400
    assert _put(caisd, _path(container, "/etc"), _archive(_member("passwd", tarfile.DIRTYPE)))[0] == 200
    assert _stat(caisd, container, "/etc/passwd")["mode"] == 1 << 31 | 0o644


def test_what_is_read_only_stays_as_it_is(caisd: Daemon) -> None:
    (caisd.root / "shared").mkdir(exist_ok=True)
    binds = [f"{caisd.root}/shared:/ro:ro", f"{caisd.root}/shared:/rw"]
    container = run(caisd, "sleep", "100", host_config={"ReadonlyRootfs": True, "Binds": binds})
    stopped = create(caisd, "true", host_config={"ReadonlyRootfs": True, "Binds": binds})
    for which in (container, stopped):
        assert _put(caisd, _path(which, "/tmp"), _archive(_file("x"))) == (403, "container rootfs is marked read-only")
        assert _put(caisd, _path(which, "/ro"), _archive(_file("x"))) == (403, "mounted volume is marked read-only")
        assert _put(caisd, _path(which, "/rw"), _archive(_file(which))) == (200, "")
        assert (caisd.root / "shared" / which).read_text() == "content"


def test_nothing_is_removed_that_a_mount_is_on(caisd: Daemon) -> None:
    shared = caisd.root / "mounted"
    shared.mkdir()
    (shared / "kept").write_text("kept")
    container = run(caisd, "sleep", "100", host_config={"Binds": [f"{shared}:/a/b/c"]})
    for place, name in (("/etc", "hosts"), ("/a/b", "c"), ("/a", "b"), ("/", "a")):
        status, message = _put(caisd, _path(container, place), _archive(_file(name)))
        assert (status, message) == (400, f'unpack "{name}": Device or resource busy')
    assert (shared / "kept").read_text() == "kept"
    assert "/a/b/c" in caisd.docker_output("exec", container, "cat", "/proc/mounts")


def test_events(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100")
    _get(caisd, container, "/etc")
    _put(caisd, _path(container, "/tmp"), _archive(_file("x")))
    found = [event["Action"].text for event in events(caisd, container=[container])]
    assert found[-2:] == ["archive-path", "extract-to-dir"]


def test_compressed_archives_are_taken(caisd: Daemon) -> None:
    container = run(caisd, "sleep", "100")
    for kind in ("gz", "bz2", "xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:  # type: ignore[call-overload]
            member, content = _file(kind)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        assert _put(caisd, _path(container, "/tmp"), buffer.getvalue()) == (200, "")
        assert caisd.docker_output("exec", container, "cat", f"/tmp/{kind}") == "content"


def test_devices_and_fifos_are_copied_and_never_opened(caisd: Daemon) -> None:
    script = "mkdir /d; mkfifo /d/fifo; mknod /d/mem c 1 1; echo x >/d/x; touch /ready; sleep 100"
    container = run(caisd, "sh", "-c", script)
    caisd.docker_output("exec", container, "sh", "-c", "while ! [ -e /ready ]; do :; done")
    answer = _get(caisd, container, "/d")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        kinds = {member.name: member.type for member in archive}
    assert kinds == {"d": tarfile.DIRTYPE, "d/fifo": tarfile.FIFOTYPE, "d/mem": tarfile.CHRTYPE, "d/x": tarfile.REGTYPE}
    assert _put(caisd, _path(container, "/tmp"), answer.body) == (200, "")
    assert (
        caisd.docker_output("exec", container, "stat", "-c", "%F %t:%T", "/tmp/d/mem") == "character special file 1:1"
    )


# CVE-2018-15664: the container swaps a path for a link to / while it is copied from and to

_SWAP = """
mkdir -p /s/real/tmp /s/real/etc; ln -s / /s/link; cd /s; ln -s $MARK /s/l; touch /s/real/f
while :; do mv -T real x; mv -T x y; mv -T link x; mv -T x z; mv -T z x; mv -T x link; mv -T y real
    ln -sf $MARK real/g 2>/dev/null; rm -f real/g; mkfifo real/g; rm -f real/g; done 2>/dev/null"""


def test_a_container_that_swaps_paths_gives_nothing_of_the_host(caisd: Daemon, marker: Path) -> None:
    container = run(caisd, "sh", "-c", _SWAP, Env=[f"MARK={marker}"])
    deadline = time.monotonic() + 4
    node = _archive(_member("g", tarfile.FIFOTYPE), _file("h"), _member("sub/d", tarfile.DIRTYPE))
    tried = 0
    while time.monotonic() < deadline:
        tried += 1
        for path in (f"/s/x{marker}", f"/s/x/{marker.name}", "/s/x", "/s/l", "/s/l/", "/s"):
            if path == "/s/x" and tried % 8:
                continue  # large when it is the container's /
            answer = _get(caisd, container, path)
            assert HOST_MARK.encode() not in answer.body
        _put(caisd, _path(container, "/s/real"), node)
        _put(caisd, _path(container, f"/s/x{caisd.root}"), node)
        _put(caisd, _path(container, "/s/x/tmp"), node)
    assert tried > 5
    assert marker.read_text() == HOST_MARK
    assert marker.stat().st_mode & 0o777 == 0o644
    assert not (caisd.root / "h").exists()
    assert not Path("/tmp/h").exists()


def test_links_of_an_archive_lead_nowhere_else(caisd: Daemon, marker: Path) -> None:
    """Links and hard links in an archive, written through by later entries."""
    container = run(caisd, "sleep", "100")
    hostile = [
        [_member("out", tarfile.SYMTYPE, str(caisd.root)), _file("out/stolen")],
        [_member("up", tarfile.SYMTYPE, "../../../../../.."), _file(f"up{caisd.root}/stolen")],
        [_member("hard", tarfile.LNKTYPE, str(marker)), _file("hard")],
        [_member("hard", tarfile.LNKTYPE, f"../../..{marker}")],
        [_member("self", tarfile.SYMTYPE, "/proc/self/cwd"), _file("self/stolen")],
    ]
    for members in hostile:
        _put(caisd, _path(container, "/tmp"), _archive(*members))
    assert marker.read_text() == HOST_MARK
    assert not (caisd.root / "stolen").exists()
    assert not Path("stolen").exists()


def test_a_process_that_changes_its_root_hides_nothing_and_shows_nothing(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "mkdir -p /jail/bin /jail/deep; cp /bin/busybox /jail/bin; "
                    "exec chroot /jail /bin/busybox sleep 100")  # fmt: skip
    caisd.docker_output("exec", container, "sh", "-c", "while ! [ -e /jail/deep ]; do :; done; sleep 0.3")
    assert "bin/busybox" in _names(_get(caisd, container, "/bin"))
    assert "etc/passwd" in _names(_get(caisd, container, "/etc"))


def test_copying_from_a_container_that_does_not_run_changes_nothing(caisd: Daemon) -> None:
    before = mounts_below(caisd.root)
    (caisd.root / "src").mkdir(exist_ok=True)
    container = create(caisd, "true", host_config={"Binds": [f"{caisd.root}/src:/not/there"]})
    assert _names(_get(caisd, container, "/not")) == ["not/", "not/there/"]
    assert caisd.ask("GET", f"/containers/{container}/changes").json.items == []
    assert mounts_below(caisd.root) == before


def test_a_container_is_not_started_while_it_is_written_to(caisd: Daemon) -> None:
    container = create(caisd, "cat", "/tmp/late")
    connection = UnixConnection(caisd.socket, 30)
    connection.putrequest("PUT", _path(container, "/tmp"))
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    archive = _archive(_file("late", b"copied first"))
    connection.send(b"%x\r\n%b\r\n" % (512, archive[:512]))
    starter = threading.Thread(target=lambda: caisd.ask("POST", f"/containers/{container}/start"))
    time.sleep(0.2)
    starter.start()
    time.sleep(0.2)
    rest = archive[512:]
    connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
    assert connection.getresponse().status == 200
    connection.close()
    starter.join()
    wait_for_status(caisd, container, "exited")
    assert caisd.docker_output("logs", container) == "copied first"


def test_a_client_that_goes_leaves_nothing_behind(caisd: Daemon) -> None:
    container = create(caisd, "true")
    descriptors = Path(f"/proc/{caisd.pid}/fd")
    _get(caisd, container, "/etc")
    before = len(os.listdir(descriptors))
    for method in ("GET", "PUT"):
        for _ in range(3):
            connection = UnixConnection(caisd.socket, 30)
            connection.putrequest(method, _path(container, "/"))
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders()
            time.sleep(0.1)
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()
    deadline = time.monotonic() + 5
    while len(os.listdir(descriptors)) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(os.listdir(descriptors)) <= before
    post(caisd, container, "start")


def test_memory_stays_bounded_however_much_is_copied(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "truncate -s 600M /big; sleep 100")
    caisd.docker_output("exec", container, "sh", "-c", "while ! [ -s /big ]; do :; done")
    _get(caisd, container, "/etc")
    before = _peak_kib(caisd)
    connection = UnixConnection(caisd.socket, 60)
    connection.request("GET", _path(container, "/big"))
    answer = connection.getresponse()
    received = 0
    while block := answer.read(1 << 20):
        received += len(block)
    connection.close()
    assert received > 600 << 20
    assert _peak_kib(caisd) - before < 60 << 10


def _peak_kib(daemon: Daemon) -> int:
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


# what our own command does with an archive that an engine sends


@pytest.mark.parametrize(
    "members",
    [
        [_file("../stolen")],
        [_file("etc/../../stolen")],
        [_file("other/stolen")],
        [_member("etc/out", tarfile.SYMTYPE, ".."), _file("etc/out/stolen")],
        [_member("etc/hard", tarfile.LNKTYPE, "../mark")],
    ],
)
def test_a_hostile_engine_writes_nothing_elsewhere(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "mark").write_text("mark")
    with pytest.raises(CommandError):
        localtar.unpack([_archive(*members)], str(tmp_path / "into"), "etc", "etc")
    assert sorted(os.listdir(tmp_path)) == ["into", "mark"]
    assert (tmp_path / "mark").read_text() == "mark"
