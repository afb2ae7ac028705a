"""Volumes: made, filled, shared, mounted, removed, and there again after a restart."""

import json
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness.engine import Daemon, wait_until
from tests.harness.host import mounts_below
from tests.harness.http import Json
from tests.harness.images import busybox_root
from tests.harness.inside import HOST_MARK
from tests.harness.life import create, events, post, refused, run, wait_for_status


@pytest.fixture(autouse=True)
def no_volume_is_left(caisd: Daemon) -> object:
    """Each test begins and ends without volumes."""
    yield
    caisd.remove_containers()
    for name in _names(caisd):
        assert caisd.ask("DELETE", f"/volumes/{name}").status == 204


def _names(daemon: Daemon, **filters: list[str]) -> list[str]:
    found = daemon.ask("GET", f"/volumes?filters={quote(json.dumps(filters))}").json["Volumes"].items
    return [volume["Name"].text for volume in found]


def _make(daemon: Daemon, name: str = "", **body: object) -> Json:
    answer = daemon.ask("POST", "/volumes/create", {"Name": name, **body})
    assert answer.status == 201, answer.body
    return answer.json


def _data(daemon: Daemon, name: str) -> Path:
    return daemon.root / "data/volumes" / name / "_data"


def _output(daemon: Daemon, *arguments: str) -> str:
    return daemon.docker_output("run", "--rm", "--network", "none", *arguments)


def _mounts(daemon: Daemon, container: str) -> dict[str, Json]:
    return {mount["Destination"].text: mount for mount in daemon.inspect(container)["Mounts"].items}


def _image(daemon: Daemon, *changes: str) -> None:
    root = busybox_root()
    root.folder("data/sub", mode=0o750, owner=(7, 8))
    root.file("data/file", b"from the image", mode=0o640, owner=(7, 8))
    root.link("data/link", "file")
    daemon.import_root("filled", root, *changes)


def test_what_create_and_inspect_tell(caisd: Daemon) -> None:
    made = _make(caisd, "told", Labels={"b": "1", "a": "2"})
    assert caisd.ask("GET", "/volumes/told").body == caisd.ask("GET", "/volumes/told").body
    assert (made["Driver"].text, made["Scope"].text) == ("local", "local")
    assert made["Mountpoint"].text == str(_data(caisd, "told"))
    assert made["CreatedAt"].text.endswith("Z")
    again = _make(caisd, "told", Labels={"c": "3"})
    assert "c" not in again["Labels"]
    assert len(_make(caisd)["Name"].text) == 64
    assert refused(caisd, "GET", "/volumes/none") == (404, "get none: no such volume")
    assert refused(caisd, "DELETE", "/volumes/none") == (404, "get none: no such volume")
    assert caisd.ask("DELETE", "/volumes/none?force=1").status == 204
    assert refused(caisd, "PUT", "/volumes/told")[0] == 503


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"Name": "x"},
            400,
            "create x: volume name is too short, names should be at least two alphanumeric characters",
        ),
        ({"Name": "../up"}, 400, 'create ../up: "../up" includes invalid characters for a local volume name'),
        ({"Name": "vol", "Driver": "foo"}, 404, 'error looking up volume plugin foo: plugin "foo" not found'),
        ({"Name": "vol", "DriverOpts": {"foo": "bar"}}, 400, 'create vol: invalid option: "foo"'),
        ({"Name": "vol", "DriverOpts": {"type": "tmpfs"}}, 400, 'create vol: missing required option: "device"'),
        ({"Name": "vol", "DriverOpts": {"o": "x"}}, 400, 'create vol: missing required option: "device"'),
        ({"Name": "vol", "DriverOpts": {"device": "x"}}, 400, 'create vol: missing required option: "type"'),
        ({"Name": "vol", "DriverOpts": {"size": "1m"}}, 400, "quota size requested but no quota support"),
        ({"Name": "vol", "ClusterVolumeSpec": {}}, 501, "cluster volumes are not supported by Cais"),
    ],
    ids=str,
)
def test_what_create_refuses(caisd: Daemon, body: object, status: int, message: str) -> None:
    found = refused(caisd, "POST", "/volumes/create", body)
    assert found[0] == status
    assert message in found[1]


def test_filters(caisd: Daemon) -> None:
    _make(caisd, "one", Labels={"tier": "db"})
    _make(caisd, "two")
    container = create(caisd, "true", host_config={"Binds": ["two:/x"]})
    assert _names(caisd) == ["one", "two"]
    assert _names(caisd, name=["on"]) == ["one"]
    assert _names(caisd, label=["tier=db"]) == ["one"]
    assert _names(caisd, driver=["local"]) == ["one", "two"]
    assert _names(caisd, driver=["nfs"]) == []
    assert _names(caisd, dangling=["true"]) == ["one"]
    assert _names(caisd, dangling=["0"]) == ["two"]
    assert refused(caisd, "GET", '/volumes?filters={"foo":["x"]}')[0] == 400
    shown = caisd.ask("GET", '/containers/json?all=1&filters={"volume":["two"]}').json.items
    assert [item["Id"].text for item in shown] == [container]


def test_a_volume_outlives_containers_and_engines(caisd: Daemon) -> None:
    _output(caisd, "-v", "kept:/app", "busybox", "sh", "-c", "echo kept >/app/f")
    caisd.restart()
    assert _output(caisd, "--mount", "source=kept,target=/app,readonly", "busybox", "cat", "/app/f") == "kept"
    done = caisd.docker("run", "--rm", "-v", "kept:/app:ro", "busybox", "touch", "/app/x")
    assert "Read-only file system" in done.stderr


def test_one_that_a_container_has_is_not_removed(caisd: Daemon) -> None:
    container = create(caisd, "true", host_config={"Binds": ["used:/x"]})
    status, message = refused(caisd, "DELETE", "/volumes/used?force=1")
    assert (status, message) == (409, f"remove used: volume is in use - [{container}]")
    caisd.docker_output("rm", "-v", container)
    assert _names(caisd) == ["used"]


def test_the_image_fills_a_new_volume_with_owners_and_modes(caisd: Daemon) -> None:
    _image(caisd)
    container = create(caisd, "true", Image="filled", host_config={"Binds": ["new:/data"]})
    content = _data(caisd, "new")
    assert sorted(os.listdir(content)) == ["file", "link", "sub"]
    assert (content / "file").read_text() == "from the image"
    assert os.readlink(content / "link") == "file"
    found = {name: (content / name).stat() for name in ("file", "sub")}
    assert (found["file"].st_uid, found["file"].st_gid, found["file"].st_mode & 0o7777) == (7, 8, 0o640)
    assert (found["sub"].st_uid, found["sub"].st_gid, found["sub"].st_mode & 0o7777) == (7, 8, 0o750)
    (content / "file").unlink()
    caisd.docker_output("rm", container)
    _output(caisd, "-v", "new:/data", "filled", "true")
    assert sorted(os.listdir(content)) == ["link", "sub"]


def test_what_is_not_filled(caisd: Daemon) -> None:
    _image(caisd)
    for options in (["-v", "bare:/data:nocopy"], ["--mount", "source=bare,target=/data,volume-nocopy"]):
        assert _output(caisd, *options, "filled", "ls", "/data") == ""
    _make(caisd, "memory", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    assert _output(caisd, "-v", "memory:/data", "filled", "ls", "/data") == ""
    assert _output(caisd, "-v", "elsewhere:/nothing/here", "filled", "ls", "/nothing/here") == ""


def test_links_of_an_image_fill_a_volume_with_nothing_of_the_host(caisd: Daemon, marker: Path) -> None:
    root = busybox_root()
    root.link("data", str(caisd.root))
    root.link("up", f"../../../../../../..{caisd.root}")
    caisd.import_root("hostile", root)
    for name, place in (("one", "/data"), ("two", "/up")):
        assert HOST_MARK not in _output(
            caisd, "-v", f"{name}:{place}", "hostile", "sh", "-c", f"cat {place}/{marker.name} || true"
        )
        assert not (_data(caisd, name) / marker.name).exists()


def test_volumes_without_a_name(caisd: Daemon) -> None:
    _image(caisd, 'VOLUME ["/data", "/other"]')
    container = create(caisd, "true", Image="filled", Volumes={"/more": {}}, host_config={"Binds": ["named:/other"]})
    found = _mounts(caisd, container)
    assert set(found) == {"/data", "/other", "/more"}
    anonymous = {found[path]["Name"].text for path in ("/data", "/more")}
    assert anonymous | {"named"} == set(_names(caisd))
    assert (_data(caisd, found["/data"]["Name"].text) / "file").exists()
    assert "com.docker.volume.anonymous" in caisd.ask("GET", f"/volumes/{found['/data']['Name'].text}").json["Labels"]
    other = create(caisd, "true", host_config={"VolumesFrom": [container]})
    assert set(_mounts(caisd, other)) == {"/data", "/other", "/more"}
    assert caisd.ask("DELETE", f"/containers/{container}?v=1").status == 204
    assert set(_names(caisd)) == anonymous | {"named"}  # the other one has them still
    assert caisd.ask("DELETE", f"/containers/{other}?v=1").status == 204
    assert set(_names(caisd)) == anonymous | {"named"}  # they are no volumes of its own, as in Docker
    pruned = caisd.ask("POST", "/volumes/prune").json
    assert {item.text for item in pruned["VolumesDeleted"].items} == anonymous
    assert pruned["SpaceReclaimed"].number == len("from the image")  # a short link takes none


def test_volumes_without_a_name_go_with_a_container_that_is_to_be_removed(caisd: Daemon) -> None:
    _output(caisd, "-v", "/gone", "-v", "kept:/kept", "busybox", "true")
    wait_until(lambda: _names(caisd) == ["kept"])
    done = caisd.docker("run", "--rm", "-v", "/gone", "busybox", "no-such-command")
    assert done.returncode == 127
    wait_until(lambda: _names(caisd) == ["kept"])
    assert caisd.docker("create", "-v", "/gone", "--cpus", "1000", "busybox", "true").returncode != 0
    assert _names(caisd) == ["kept"]


def test_volumes_of_another_container(caisd: Daemon) -> None:
    (caisd.root / "bound").mkdir(exist_ok=True)
    one = run(caisd, "sleep", "100", host_config={"Binds": ["shared:/s", f"{caisd.root}/bound:/b:ro"]})
    caisd.docker_output("exec", one, "sh", "-c", "echo shared >/s/f")
    assert _output(caisd, "--volumes-from", one, "busybox", "cat", "/s/f") == "shared"
    done = caisd.docker("run", "--rm", "--volumes-from", f"{one}:ro", "busybox", "touch", "/s/x")
    assert "Read-only file system" in done.stderr
    done = caisd.docker("run", "--rm", "--volumes-from", one, "busybox", "touch", "/b/x")
    assert "Read-only file system" in done.stderr
    for reference, message in (("none", "No such container: none"), (f"{one}:foo", "invalid mode: foo")):
        assert message in caisd.docker("run", "--rm", "--volumes-from", reference, "busybox", "true").stderr


def test_a_part_of_a_volume(caisd: Daemon, marker: Path) -> None:
    links = f"ln -s {caisd.root} /p/out; ln -s ../../../../../.. /p/up; ln -s a /p/in"
    _output(caisd, "-v", "parts:/p", "busybox", "sh", "-c", f"mkdir -p /p/a/b; echo part >/p/a/b/f; {links}")
    option = "source=parts,target=/x,volume-subpath="
    assert _output(caisd, "--mount", f"{option}a/b", "busybox", "cat", "/x/f") == "part"
    assert _output(caisd, "--mount", f"{option}in/b/f", "busybox", "cat", "/x") == "part"
    for subpath in ("none", "out", f"up{caisd.root}", "up"):
        done = caisd.docker("run", "--rm", "--mount", f"{option}{subpath}", "busybox", "cat", f"/x/{marker.name}")
        assert done.returncode in {125, 127}
        assert HOST_MARK not in done.stdout
    assert caisd.docker("create", "--mount", f"{option}../x", "busybox").returncode != 0


def test_the_driver_s_options_are_mounted_while_somebody_uses_them(caisd: Daemon) -> None:
    _make(caisd, "memory", DriverOpts={"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"})
    mountinfo = Path("/proc/self/mountinfo")
    point = str(_data(caisd, "memory"))
    one = run(caisd, "sleep", "100", host_config={"Binds": ["memory:/m"]})
    two = run(caisd, "sleep", "100", host_config={"Binds": ["memory:/m"]})
    assert mountinfo.read_text().count(point) == 1
    caisd.docker_output("exec", one, "sh", "-c", "echo both >/m/f; grep ' /m ' /proc/mounts | grep -q size=1024k")
    assert caisd.docker_output("exec", two, "cat", "/m/f") == "both"
    caisd.restart()
    post(caisd, one, "kill")
    assert point in mountinfo.read_text()
    post(caisd, two, "kill")
    wait_until(lambda: point not in mountinfo.read_text())
    assert os.listdir(point) == []


def test_a_bind_as_a_volume_and_an_unmount_after_a_crash(caisd: Daemon) -> None:
    folder = caisd.root / "device"
    folder.mkdir()
    (folder / "f").write_text("bound")
    _make(caisd, "bound", DriverOpts={"type": "none", "device": str(folder), "o": "bind,ro"})
    container = run(caisd, "sleep", "100", host_config={"Binds": ["bound:/m"]})
    assert caisd.docker_output("exec", container, "cat", "/m/f") == "bound"
    assert "Read-only" in caisd.docker("exec", container, "touch", "/m/x").stderr
    pid = caisd.container_pid(container)
    caisd.kill()
    os.kill(pid, 9)
    time.sleep(0.3)
    caisd.start()
    wait_until(lambda: str(_data(caisd, "bound")) not in Path("/proc/self/mountinfo").read_text())
    assert caisd.ask("DELETE", f"/containers/{container}?force=1").status == 204
    assert caisd.ask("DELETE", "/volumes/bound").status == 204
    assert (folder / "f").read_text() == "bound"


@pytest.mark.parametrize(
    "options",
    [
        {"type": "nope", "device": "nope"},
        {"type": "none", "o": "bind", "device": "/no/such/place"},
        {"type": "nfs", "o": "addr=127.0.0.1,nolock", "device": ":/x"},
    ],
    ids=str,
)
def test_options_that_cannot_be_mounted_fail_clearly_and_leave_nothing(caisd: Daemon, options: dict[str, str]) -> None:
    _make(caisd, "broken", DriverOpts=options)
    before = mounts_below(caisd.root)
    done = caisd.docker("run", "--name", "fails", "-v", "broken:/m", "busybox", "true")
    assert done.returncode in {125, 127}  # the client's choice, by the words of the error
    where = f"error while mounting volume '{_data(caisd, 'broken')}': failed to mount local volume: mount "
    assert f"{where}{options['device']}:{_data(caisd, 'broken')}" in done.stderr
    assert mounts_below(caisd.root) == before
    assert caisd.inspect("fails")["State"]["Status"].text == "created"


def test_a_failed_start_unmounts_what_it_has_mounted(caisd: Daemon) -> None:
    _make(caisd, "memory", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    before = mounts_below(caisd.root)
    assert caisd.docker("run", "--name", "bad", "-v", "memory:/m", "busybox", "no-such-command").returncode == 127
    assert mounts_below(caisd.root) == before


def test_events(caisd: Daemon) -> None:
    _output(caisd, "-v", "told:/x:ro", "busybox", "true")
    wait_until(lambda: len(events(caisd, volume=["told"], type=["volume"])) == 3)
    caisd.ask("DELETE", "/volumes/told")
    found = events(caisd, volume=["told"], type=["volume"])
    assert [event["Action"].text for event in found] == ["create", "mount", "unmount", "destroy"]
    mounted = found[1]["Actor"]["Attributes"]
    assert (mounted["destination"].text, mounted["read/write"].text, mounted["driver"].text) == ("/x", "false", "local")


def test_what_is_on_the_disk(caisd: Daemon) -> None:
    _output(caisd, "-v", "big:/x", "busybox", "sh", "-c", "head -c 100000 /dev/zero >/x/f; ln /x/f /x/g")
    create(caisd, "true", host_config={"Binds": ["big:/x"]})
    _make(caisd, "memory", DriverOpts={"type": "tmpfs", "device": "tmpfs"})
    found = {item["Name"].text: item["UsageData"] for item in caisd.ask("GET", "/system/df").json["Volumes"].items}
    assert (found["big"]["Size"].number, found["big"]["RefCount"].number) == (100_000, 1)
    assert (found["memory"]["Size"].number, found["memory"]["RefCount"].number) == (-1, 0)


def test_prune(caisd: Daemon) -> None:
    for name, labels in (("one", {"keep": "yes"}), ("two", {})):
        _make(caisd, name, Labels=labels)
    (_data(caisd, "two") / "f").write_bytes(bytes(5000))
    with open(_data(caisd, "two") / "sparse", "wb") as file:
        file.truncate(1 << 30)
    assert caisd.ask("POST", "/volumes/prune").json["SpaceReclaimed"].number == 0
    assert refused(caisd, "POST", '/volumes/prune?filters={"until":["1h"]}')[0] == 400
    answer = caisd.ask("POST", '/volumes/prune?filters={"all":["true"],"label!":["keep"]}').json
    assert [name.text for name in answer["VolumesDeleted"].items] == ["two"]
    assert answer["SpaceReclaimed"].number == 5000
    assert [name.text for name in caisd.ask("POST", "/v1.41/volumes/prune").json["VolumesDeleted"].items] == ["one"]
    assert len(caisd.ask("POST", "/volumes/prune").json["VolumesDeleted"]) == 0


@pytest.mark.parametrize("client", ["docker", "cais"])
def test_a_prune_of_everything_takes_volumes_without_a_name_if_it_is_to(caisd: Daemon, client: str) -> None:
    caisd.client = client
    try:
        caisd.docker_output("volume", "create", "kept")
        anonymous = caisd.docker_output("volume", "create")
        (_data(caisd, anonymous) / "f").write_bytes(bytes(4096))
        assert anonymous not in caisd.docker_output("system", "prune", "-f")
        shown = caisd.docker_output("system", "prune", "-f", "--volumes").splitlines()
        assert shown == ["Deleted Volumes:", anonymous, "", "Total reclaimed space: 4.096kB"]
        assert _names(caisd) == ["kept"]
        shown = caisd.docker_output("volume", "prune", "-a", "-f").splitlines()
        assert shown == ["Deleted Volumes:", "kept", "", "Total reclaimed space: 0B"]
        done = caisd.docker("volume", "prune", "-a", "--filter", "all=1")
        assert "conflicting options: cannot specify both --all and --filter all=1" in done.stderr
    finally:
        caisd.client = "docker"


def test_volumes_that_the_database_does_not_know(caisd: Daemon) -> None:
    _make(caisd, "listed")
    caisd.stop()
    volumes = caisd.root / "data/volumes"
    (volumes / "found/_data").mkdir(parents=True)
    (volumes / "found/_data/f").write_text("somebody's")
    (volumes / "empty/_data").mkdir(parents=True)
    (volumes / "listed/_data").rmdir()
    (volumes / "listed").rmdir()
    caisd.start()
    assert _names(caisd) == ["found"]
    assert not (volumes / "empty").exists()
    assert _output(caisd, "-v", "found:/x", "busybox", "cat", "/x/f") == "somebody's"


def test_a_volume_at_etc_does_not_hide_the_engine_s_files(caisd: Daemon) -> None:
    shown = _output(caisd, "-v", "etc:/etc", "--hostname", "named", "busybox", "cat", "/etc/hostname")
    assert shown == "named"
    assert (_data(caisd, "etc") / "hostname").read_text() == ""


def test_cp_sees_volumes(caisd: Daemon, tmp_path: Path) -> None:
    container = create(caisd, "true", host_config={"Binds": ["seen:/deep/er"]})
    (tmp_path / "f").write_text("copied")
    caisd.docker_output("cp", str(tmp_path / "f"), f"{container}:/deep/er")
    assert (_data(caisd, "seen") / "f").read_text() == "copied"
    post(caisd, container, "start")
    wait_for_status(caisd, container, "exited")
