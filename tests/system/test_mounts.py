"""Bind mounts, tmpfs and images as mounts, in every form that a container can be given them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cais.linux import mount
from tests.harness.engine import Daemon, wait_until
from tests.harness.host import mounts_below
from tests.harness.images import busybox_root
from tests.harness.inside import HOST_MARK
from tests.harness.life import create, post, refused, run


def _output(daemon: Daemon, *arguments: str) -> str:
    return daemon.docker_output("run", "--rm", "--network", "none", *arguments)


def _refused(daemon: Daemon, *arguments: str) -> str:
    done = daemon.docker("run", "--rm", "--network", "none", *arguments, "busybox", "true")
    assert done.returncode in {125, 126, 127}
    return done.stderr


@pytest.fixture
def tree(caisd: Daemon) -> Iterator[Path]:
    """A folder of the host that has a tmpfs mounted in it."""
    folder = caisd.root / "tree"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_text("file")
    mount.mount("tmpfs", str(folder / "below"), "tmpfs", 0)
    (folder / "below/inner").write_text("inner")
    yield folder
    mount.umount2(str(folder / "below"), mount.MNT_DETACH)
    subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_missing_source_is_made_for_one_form_and_refused_for_the_other(caisd: Daemon) -> None:
    made = caisd.root / "made/here"
    assert _output(caisd, "-v", f"{made}:/app", "busybox", "ls", "-d", "/app") == "/app"
    assert made.is_dir()
    missing = caisd.root / "missing"
    error = _refused(caisd, "--mount", f"type=bind,source={missing},target=/app")
    assert f'invalid mount config for type "bind": bind source path does not exist: {missing}' in error
    assert not missing.exists()
    body = {"Type": "bind", "Source": str(missing), "Target": "/app", "BindOptions": {"CreateMountpoint": True}}
    run(caisd, "true", host_config={"Mounts": [body]})
    assert missing.is_dir()


def test_files_are_mounted_as_well_as_folders(caisd: Daemon, tree: Path) -> None:
    assert _output(caisd, "-v", f"{tree}/file:/etc/motd", "busybox", "cat", "/etc/motd") == "file"
    assert _output(caisd, "-v", f"{tree}/file:/new/place/f", "busybox", "cat", "/new/place/f") == "file"
    assert "not a directory" in _refused(caisd, "-v", f"{tree}/file:/etc")


def test_names_with_spaces_and_commas(caisd: Daemon) -> None:
    folder = caisd.root / "a b,c"
    folder.mkdir()
    (folder / "f").write_text("odd")
    assert _output(caisd, "--mount", f'type=bind,"source={folder}",target=/x', "busybox", "cat", "/x/f") == "odd"
    assert _output(caisd, "-v", f"{folder}:/x y", "busybox", "cat", "/x y/f") == "odd"


def test_a_read_only_mount_is_so_all_the_way_down_unless_told_otherwise(caisd: Daemon, tree: Path) -> None:
    script = "touch /x/a 2>/dev/null && echo top; touch /x/below/a 2>/dev/null && echo below; true"
    assert _output(caisd, "-v", f"{tree}:/x", "busybox", "sh", "-c", script) == "top\nbelow"
    assert _output(caisd, "-v", f"{tree}:/x:ro", "busybox", "sh", "-c", script) == ""
    source = f"type=bind,source={tree},target=/x"
    assert _output(caisd, "--mount", f"{source},readonly", "busybox", "sh", "-c", script) == ""
    writable = _output(caisd, "--mount", f"{source},readonly,bind-recursive=writable", "busybox", "sh", "-c", script)
    assert writable == "below"
    forced = f"{source},readonly,bind-recursive=readonly,bind-propagation=rprivate"
    assert _output(caisd, "--mount", forced, "busybox", "sh", "-c", script) == ""


def test_mounts_below_the_source_stay_out_when_it_is_not_recursive(caisd: Daemon, tree: Path) -> None:
    source = f"type=bind,source={tree},target=/x"
    assert _output(caisd, "--mount", source, "busybox", "ls", "/x/below") == "inner"
    assert _output(caisd, "--mount", f"{source},bind-recursive=disabled", "busybox", "ls", "/x/below") == ""


def test_propagation(caisd: Daemon, tree: Path) -> None:
    """What the host mounts later arrives in a slave; what a shared one's container mounts arrives on the host."""
    mount.mount("", str(tree / "below"), None, mount.MS_SHARED)
    for name in ("host", "inside"):
        (tree / "below" / name).mkdir()
    inspected = {}
    for kind in ("rprivate", "rslave", "rshared"):
        binds = [f"{tree}/below:/x:{kind}"]
        inspected[kind] = run(caisd, "sleep", "100", host_config={"Binds": binds, "CapAdd": ["SYS_ADMIN"],
                              "SecurityOpt": ["apparmor=unconfined"]})  # fmt: skip
    mount.mount("tmpfs", str(tree / "below/host"), "tmpfs", 0)
    (tree / "below/host/late").touch()
    seen = {kind: caisd.docker_output("exec", item, "ls", "/x/host") for kind, item in inspected.items()}
    assert seen == {"rprivate": "", "rslave": "late", "rshared": "late"}
    for kind, item in inspected.items():
        caisd.docker_output("exec", item, "mount", "-t", "tmpfs", "none", "/x/inside")
        arrived = os.path.ismount(tree / "below/inside")
        assert arrived == (kind == "rshared"), kind
    assert caisd.inspect(inspected["rslave"])["Mounts"][0]["Propagation"].text == "rslave"
    caisd.remove_containers()
    for name in ("host", "inside"):
        if os.path.ismount(tree / "below" / name):
            mount.umount2(str(tree / "below" / name), mount.MNT_DETACH)


def test_a_source_that_is_not_shared_cannot_be(caisd: Daemon, tree: Path) -> None:
    mount.mount("", str(tree / "below"), None, mount.MS_PRIVATE)
    where = f"path {tree}/below is mounted on {tree}/below but it is not "
    assert f"{where}a shared mount" in _refused(caisd, "-v", f"{tree}/below:/x:rshared")
    assert f"{where}a shared or slave mount" in _refused(caisd, "-v", f"{tree}/below:/x:slave")


def test_labels_are_accepted_and_shown(caisd: Daemon, tree: Path) -> None:
    container = create(caisd, "true", host_config={"Binds": [f"{tree}:/x:ro,z", f"{tree}:/y:Z"]})
    modes = {item["Destination"].text: item["Mode"].text for item in caisd.inspect(container)["Mounts"].items}
    assert modes == {"/x": "ro,z", "/y": "Z"}


def test_tmpfs(caisd: Daemon) -> None:
    script = "echo x >/app/y; stat -c %a /app; grep ' /app ' /proc/mounts"
    mode, line = _output(caisd, "--tmpfs", "/app", "busybox", "sh", "-c", script).splitlines()
    assert (mode, line) == ("1777", "tmpfs /app tmpfs rw,nosuid,nodev,noexec,relatime 0 0")
    shown = _output(caisd, "--tmpfs", "/app:size=1m,mode=700,exec,uid=7", "busybox", "sh", "-c", script)
    assert shown.splitlines()[0] == "700"
    assert "rw,nosuid,nodev,relatime,size=1024k,mode=700,uid=7" in shown
    option = "type=tmpfs,destination=/app,tmpfs-size=1m,tmpfs-mode=1770"
    shown = _output(caisd, "--mount", option, "busybox", "sh", "-c", script)
    assert shown.splitlines()[0] == "1770"
    assert "size=1024k" in shown
    container = create(caisd, "true", host_config={"Mounts": [{"Type": "tmpfs", "Target": "/t", "ReadOnly": True}]})
    (found,) = caisd.inspect(container)["Mounts"].items
    assert (found["Type"].text, found["Source"].text, found["RW"].flag) == ("tmpfs", "", False)
    post(caisd, container, "start")


def test_nothing_of_a_tmpfs_reaches_the_disk(caisd: Daemon) -> None:
    container = run(caisd, "sh", "-c", "echo secret >/app/y; sleep 100", host_config={"Tmpfs": {"/app": ""}})
    wait_until(lambda: caisd.docker("exec", container, "cat", "/app/y").stdout == "secret\n")
    upper = caisd.root / "data/containers" / container / "rw/diff"
    assert sorted(path.name for path in upper.rglob("*") if path.is_file()) == []


def test_an_image_as_a_mount(caisd: Daemon) -> None:
    root = busybox_root()
    root.folder("srv/www")
    root.file("srv/www/index", b"from an image")
    root.link("srv/out", "../../../../../../..")
    caisd.import_root("assets", root)
    image = {"Type": "image", "Source": "assets"}
    mounts = [
        {**image, "Target": "/i"},
        {**image, "Target": "/w", "ImageOptions": {"Subpath": "srv/www"}},
        {**image, "Target": "/f", "ImageOptions": {"Subpath": "srv/www/index"}},
    ]
    container = run(caisd, "sleep", "100", host_config={"Mounts": mounts})
    assert caisd.docker_output("exec", container, "cat", "/i/srv/www/index") == "from an image"
    assert caisd.docker_output("exec", container, "cat", "/w/index") == "from an image"
    assert caisd.docker_output("exec", container, "cat", "/f") == "from an image"
    assert "Read-only file system" in caisd.docker("exec", container, "touch", "/i/x").stderr
    assert "conflict" in caisd.docker("rmi", "assets").stderr
    found = {item["Destination"].text: item for item in caisd.inspect(container)["Mounts"].items}
    assert (found["/i"]["Type"].text, found["/i"]["Name"].text, found["/i"]["RW"].flag) == ("image", "assets", False)
    assert "srv/www/index" in caisd.docker_output("exec", container, "find", "/i/srv")
    caisd.docker_output("rm", "-f", container)
    caisd.docker_output("rmi", "assets")
    missing = {"Mounts": [{"Type": "image", "Source": "assets", "Target": "/i"}]}
    answer = refused(caisd, "POST", "/containers/create", {"Image": "busybox", "Cmd": ["x"], "HostConfig": missing})
    assert answer == (404, "No such image: assets:latest")


def test_a_part_of_an_image_that_leads_out_of_it(caisd: Daemon, marker: Path) -> None:
    root = busybox_root()
    root.link("out", str(caisd.root))
    caisd.import_root("hostile", root)
    mounts = [{"Type": "image", "Source": "hostile", "Target": "/i", "ImageOptions": {"Subpath": "out"}}]
    container = create(caisd, "cat", f"/i/{marker.name}", host_config={"Mounts": mounts})
    assert caisd.ask("POST", f"/containers/{container}/start").status >= 400
    assert HOST_MARK not in caisd.docker("logs", container).stdout


def test_mounts_nest_in_the_order_of_their_paths(caisd: Daemon, tree: Path) -> None:
    options = ["-v", f"{tree}/below:/a/b/c", "--tmpfs", "/a/b", "-v", "nested:/a"]
    script = "cat /a/b/c/inner; touch /a/volume /a/b/memory; ls /a /a/b"
    shown = _output(caisd, *options, "busybox", "sh", "-c", script)
    assert shown == "inner/a:\nb\nvolume\n\n/a/b:\nc\nmemory"
    caisd.remove_containers()
    caisd.docker_output("volume", "rm", "nested")


def test_a_destination_is_given_once(caisd: Daemon, tree: Path) -> None:
    assert "Duplicate mount point: /x" in _refused(caisd, "-v", f"{tree}:/x", "-v", "named:/x")
    assert "Duplicate mount point: /x" in _refused(caisd, "-v", f"{tree}:/x", "--tmpfs", "/x")


# CVE-2021-30465 and its like: links in an image, or in a volume that others change meanwhile


def test_links_in_a_shared_volume_lead_no_mount_to_the_host(caisd: Daemon, marker: Path) -> None:
    """One container swaps a folder of a volume for a link to / while others start with mounts below it."""
    inner = caisd.root / "inner"
    inner.mkdir()
    (inner / "inside").write_text("volume")
    script = """cd /s; mkdir a; ln -s / b
        while :; do mv -T a x; mv -T x a; mv -T b x; mv -T x b; done 2>/dev/null"""
    caisd.docker_output("run", "-d", "--name", "swapper", "-v", "swapped:/s", "busybox", "sh", "-c", script)
    before = mounts_below(caisd.root)
    forms = [
        ["-v", "swapped:/s", "-v", f"{inner}:/s/x"],
        ["-v", "swapped:/s", "--tmpfs", "/s/x"],
        ["-v", "swapped:/s", "-v", f"deep:/s/x{caisd.root}"],
        ["--mount", "source=swapped,target=/s,volume-subpath=x"],
    ]
    for number in range(48):
        options = forms[number % len(forms)]
        done = caisd.docker("run", "--rm", *options, "busybox", "sh", "-c", f"cat /s/x{marker} /s{marker} {marker}")
        assert HOST_MARK not in done.stdout
    assert mounts_below(caisd.root) == before
    assert sorted(os.listdir(inner)) == ["inside"]
    assert marker.read_text() == HOST_MARK
    caisd.remove_containers()
    caisd.docker_output("volume", "rm", "swapped", "deep")


@pytest.mark.parametrize("kind", ["volume", "tmpfs", "image"])
def test_links_of_an_image_lead_no_mount_to_the_host(caisd: Daemon, marker: Path, kind: str) -> None:
    root = busybox_root()
    root.link("up", "../../../../../../../..")
    root.link("abs", str(caisd.root))
    caisd.import_root("linked", root)
    source = {"volume": "source=lands,", "tmpfs": "", "image": "source=busybox,"}[kind]
    before = mounts_below(caisd.root)
    for place in ("/up/mnt", "/abs/mnt", "/proc/1/root/mnt"):
        option = f"type={kind},{source}target={place}"
        done = caisd.docker("run", "--rm", "--mount", option, "linked", "sh", "-c", f"cat {place}/../{marker.name}")
        assert HOST_MARK not in done.stdout
    assert mounts_below(caisd.root) == before
    assert not (caisd.root / "mnt").exists()
    caisd.remove_containers()
    caisd.docker("volume", "rm", "-f", "lands")


def test_a_failed_start_leaves_no_mount(caisd: Daemon, tree: Path) -> None:
    before = mounts_below(caisd.root)
    options = ["-v", f"{tree}:/x", "-v", "left:/y", "--tmpfs", "/z", "-v", f"{tree}/file:/etc"]
    assert caisd.docker("run", "--name", "fails", *options, "busybox", "true").returncode != 0
    assert mounts_below(caisd.root) == before
    caisd.remove_containers()
    caisd.docker_output("volume", "rm", "left")
