"""Known attacks through mounts, links, cgroups and devices, played against this engine."""

import os
from pathlib import Path

import pytest

from tests.harness.engine import Daemon
from tests.harness.images import busybox_root
from tests.harness.inside import HOST_MARK, mounts, run

# CVE-2025-31133 and its like: places of the engine's mounts that the image made links of


@pytest.mark.parametrize("target", ["/tmp/elsewhere", "../../../../../../tmp", "/proc/self/root", "/etc"])
@pytest.mark.parametrize("place", ["proc", "sys", "dev"])
def test_an_image_whose_system_folders_are_links_fails_or_has_the_real_ones(
    caisd: Daemon, place: str, target: str
) -> None:
    root = busybox_root()
    root.folder("tmp/elsewhere")
    root.link(place, target)
    caisd.import_root("linked", root)
    before = Path("/proc/self/mountinfo").read_text()
    done = caisd.docker("run", "--rm", "linked", "sh", "-c", "cat /proc/self/mountinfo && echo end")
    if done.returncode == 0:
        found = mounts(done.stdout.removesuffix("end\n"))
        kinds = {"proc": "proc", "sys": "sysfs", "dev": "tmpfs"}
        assert [mount for mount in found.values() if mount.kind == kinds[place]]
        assert done.stdout.endswith("end\n")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert caisd.containers() == []


def test_files_of_the_engine_are_not_written_through_links_of_the_image(caisd: Daemon, marker: Path) -> None:
    root = busybox_root()
    for name in ("hosts", "hostname", "resolv.conf", "mtab"):
        root.link(f"etc/{name}", str(marker))
    caisd.import_root("linked", root)
    caisd.docker("run", "--rm", "--hostname", "changed", "linked", "true")
    assert marker.read_text() == HOST_MARK


def test_a_volume_lands_inside_the_root_whatever_links_the_image_has(caisd: Daemon, marker: Path) -> None:
    shared = caisd.root / "shared"
    shared.mkdir()
    (shared / "inside").write_text("volume")
    root = busybox_root()
    root.link("up", "../../../../../../../../../..")
    root.link("abs", str(caisd.root))
    root.folder("srv")
    root.link("srv/x", "/proc/1/root")
    caisd.import_root("linked", root)
    before = Path("/proc/self/mountinfo").read_text()
    for place in ("/up/mnt", "/abs/mnt", "/srv/x/mnt"):
        done = caisd.docker(
            "run", "--rm", "-v", f"{shared}:{place}", "linked", "sh", "-c", f"cat {place}/inside {marker}"
        )
        assert HOST_MARK not in done.stdout
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not (caisd.root / "mnt").exists()
    assert not Path("/mnt/inside").exists()


def test_a_mount_target_swapped_for_a_link_never_shows_the_host(caisd: Daemon, marker: Path) -> None:
    """CVE-2021-30465: one container swaps a folder of a shared volume for a link to / while others start on it."""
    shared, other = caisd.root / "swapped", caisd.root / "other"
    for folder in (shared, other):
        folder.mkdir()
    (other / "inside").write_text("volume")
    swapper = """
        cd /shared; mkdir a; ln -s / b
        while :; do mv -T a x; mv -T x a; mv -T b x; mv -T x b; done 2>/dev/null"""
    caisd.docker_output("run", "-d", "--name", "swapper", "-v", f"{shared}:/shared", "busybox", "sh", "-c", swapper)
    before = Path("/proc/self/mountinfo").read_text()
    for _ in range(40):
        options = ["-v", f"{shared}:/shared", "-v", f"{other}:/shared/x"]
        done = caisd.docker("run", "--rm", *options, "busybox", "sh", "-c", f"cat /shared/x{marker} {marker}")
        assert HOST_MARK not in done.stdout
    assert Path("/proc/self/mountinfo").read_text() == before
    assert sorted(os.listdir(other)) == ["inside"]


# cgroups and devices


def test_the_release_agent_of_cgroups_cannot_be_set(caisd: Daemon) -> None:
    """CVE-2022-0492."""
    script = """
        for path in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/notify_on_release \\
                    /sys/fs/cgroup/*/notify_on_release /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
            [ -e $path ] && (echo 1 >$path) 2>/dev/null && echo "wrote $path"
        done
        mkdir /c
        mount -t cgroup -o memory none /c 2>/dev/null && echo "mounted v1"
        mount -t cgroup2 none /c 2>/dev/null && echo "mounted v2"
        unshare -r -m -C true 2>/dev/null && echo "made a namespace"
        mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo "made a group"
        true"""
    assert run(caisd, script) == ""


@pytest.mark.parametrize("how", ["run", "exec"])
def test_a_disk_of_the_host_cannot_be_opened(caisd: Daemon, how: str) -> None:
    disk = os.stat("/").st_dev
    nodes = [("b", os.major(disk), os.minor(disk)), ("b", 7, 0), ("c", 1, 1), ("c", 1, 11), ("c", 10, 237)]
    script = "".join(
        f"mknod /tmp/d{number} {kind} {major} {minor} && head -c 1 /tmp/d{number} >/dev/null 2>/tmp/e; cat /tmp/e\n"
        for number, (kind, major, minor) in enumerate(nodes)
    )
    if how == "run":
        shown = run(caisd, script)
    else:
        name = caisd.docker_output("run", "-d", "busybox", "sleep", "100")
        shown = caisd.docker_output("exec", name, "sh", "-c", script)
    lines = shown.splitlines()
    assert len(lines) == len(nodes)
    assert all("Operation not permitted" in line for line in lines)
