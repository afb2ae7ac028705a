"""Namespaces shared with the host or another container, and the group a container is put below."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import host
from tests.harness.engine import Daemon
from tests.harness.life import create, post, refused, run, wait_for_status


def _namespace(daemon: Daemon, container: str, name: str) -> str:
    return os.readlink(f"/proc/{daemon.container_pid(container)}/ns/{name}")


@pytest.mark.parametrize(
    ("option", "name"), [("PidMode", "pid"), ("IpcMode", "ipc"), ("UTSMode", "uts"), ("NetworkMode", "net")]
)
def test_a_namespace_of_the_host(caisd: Daemon, option: str, name: str) -> None:
    container = run(caisd, "sleep", "100", host_config={option: "host"})
    others = {"pid", "ipc", "uts", "net", "mnt"} - {name}
    assert _namespace(caisd, container, name) == os.readlink(f"/proc/self/ns/{name}")
    for other in others:
        assert _namespace(caisd, container, other) != os.readlink(f"/proc/self/ns/{other}")
    assert caisd.docker_output("exec", container, "echo", "in") == "in"
    post(caisd, container, "kill")


@pytest.mark.parametrize(("option", "name"), [("PidMode", "pid"), ("IpcMode", "ipc"), ("NetworkMode", "net")])
def test_a_namespace_of_another_container(caisd: Daemon, option: str, name: str) -> None:
    donor = run(caisd, "sleep", "100", name="donor", host_config={"IpcMode": "shareable"})
    guest = run(caisd, "sleep", "100", host_config={option: "container:donor"})
    assert caisd.inspect(guest)["HostConfig"][option].text == f"container:{donor}"
    for kind in ("pid", "ipc", "uts", "net", "mnt"):
        assert (_namespace(caisd, guest, kind) == _namespace(caisd, donor, kind)) is (kind == name), kind
    assert caisd.docker_output("exec", guest, "echo", "in") == "in"


def test_what_comes_with_the_network(caisd: Daemon) -> None:
    donor = run(caisd, "sleep", "100", Hostname="giver", host_config={"ExtraHosts": ["x.test:1.2.3.4"]})
    mode = {"NetworkMode": f"container:{donor}"}
    guest = run(caisd, "sh", "-c", "hostname; cat /etc/hosts; sleep 100", host_config=mode)
    shown = caisd.docker_output("exec", guest, "sh", "-c", "hostname; cat /etc/hostname; cat /etc/hosts")
    assert shown.splitlines()[:2] == ["giver", "giver"]
    assert "1.2.3.4\tx.test" in shown
    assert caisd.inspect(guest)["NetworkSettings"]["Networks"].value == {}


def test_shared_memory_is_shared(caisd: Daemon) -> None:
    donor = run(caisd, "sh", "-c", "echo given > /dev/shm/x; sleep 100", host_config={"IpcMode": "shareable"})
    mode = {"IpcMode": f"container:{donor}"}
    guest = run(caisd, "sleep", "100", host_config=mode)
    assert caisd.docker_output("exec", guest, "cat", "/dev/shm/x") == "given"
    caisd.docker_output("exec", guest, "sh", "-c", "echo back > /dev/shm/y")
    assert caisd.docker_output("exec", donor, "cat", "/dev/shm/y") == "back"


@pytest.mark.parametrize("trick", ["umount -l /dev/shm; rmdir /dev/shm; ln -s /etc /dev/shm", "umount -l /dev/shm"])
def test_shared_memory_leads_nowhere_else(caisd: Daemon, trick: str) -> None:
    donor = run(caisd, "sleep", "100", host_config={"IpcMode": "shareable", "CapAdd": ["SYS_ADMIN"]})
    assert caisd.docker("exec", donor, "sh", "-c", trick).returncode == 0
    guest = create(caisd, "true", host_config={"IpcMode": f"container:{donor}"})
    assert caisd.ask("POST", f"/containers/{guest}/start").status == 400


def test_partners_that_cannot_be_joined(caisd: Daemon) -> None:
    private = run(caisd, "sleep", "100")
    ended = create(caisd, "true")

    def start(**host_config: str) -> tuple[int, str]:
        container = create(caisd, "true", host_config=host_config)
        return refused(caisd, "POST", f"/containers/{container}/start")

    assert start(IpcMode=f"container:{private}") == (
        409,
        f"can't join IPC of container {private}: non-shareable IPC "
        "(hint: use IpcMode:shareable for the donor container)",
    )
    expected = f"cannot join PID namespace of a non running container: {ended}"
    assert start(PidMode=f"container:{ended}") == (409, expected)
    expected = f"cannot join network of a non running container: {ended}"
    assert start(NetworkMode=f"container:{ended}") == (409, expected)
    made = refused(
        caisd, "POST", "/containers/create", {"Image": "busybox", "HostConfig": {"PidMode": "container:none"}}
    )  # fmt: skip
    assert made == (400, "No such container: none")


def test_a_pid_namespace_ends_with_its_container(caisd: Daemon) -> None:
    donor = run(caisd, "sleep", "100")
    guest = run(caisd, "sleep", "100", host_config={"PidMode": f"container:{donor}"})
    post(caisd, donor, "kill")
    wait_for_status(caisd, guest, "exited")


def test_options_that_exclude_each_other(caisd: Daemon) -> None:
    donor = run(caisd, "sleep", "100")

    def answer(host_config: dict[str, object], **config: object) -> tuple[int, str]:
        return refused(caisd, "POST", "/containers/create", {"Image": "busybox", "HostConfig": host_config, **config})

    shared: dict[str, object] = {"NetworkMode": f"container:{donor}"}
    conflict = "conflicting options: hostname and the "
    assert answer(shared, Hostname="x") == (400, f"{conflict}network mode")
    assert answer({"UTSMode": "host"}, Hostname="x") == (400, f"{conflict}UTS mode")
    assert answer({**shared, "Dns": ["1.1.1.1"]}) == (400, "conflicting options: dns and the network mode")
    assert answer({"PidMode": "mine"}) == (400, "invalid PID mode: mine")
    assert answer({"IpcMode": "mine"}) == (400, "invalid IPC mode: mine")
    assert answer({"UTSMode": f"container:{donor}"})[0] == 400
    assert answer({"CgroupParent": "/a/../b"}) == (400, "invalid cgroup parent: /a/../b")
    assert answer({"UsernsMode": "mine"})[0] == 501
    quota = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
    assert answer({"StorageOpt": {"size": "1G"}}) == (400, quota)
    maximum = "invalid QoS settings: linux does not support configuration of maximum"
    assert answer({"IOMaximumIOps": 1}) == (400, f"{maximum} IOPs")
    assert answer({"IOMaximumBandwidth": 1}) == (400, f"{maximum} bandwidth")
    assert answer({"KernelMemoryTCP": 1})[0] == 501
    assert answer({"Runtime": "kata"}) == (400, "unknown or invalid runtime name: kata")


def test_limits_that_linux_does_not_have_are_warned_of(caisd: Daemon) -> None:
    body = {"Image": "busybox", "HostConfig": {"KernelMemory": 10000000, "CpuCount": 1, "CpuPercent": 5}}
    created = caisd.ask("POST", "/containers/create", body).json
    assert [warning.text.partition(".")[0] for warning in created["Warnings"].items] == [
        "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted",
        "CpuCount is only supported on Windows",
        "CpuPercent is only supported on Windows",
    ]
    container = created["Id"].text
    assert "KernelMemory" not in caisd.inspect(container)["HostConfig"]
    assert refused(caisd, "POST", f"/containers/{container}/start?checkpoint=x") == (
        400, "checkpoint is only supported in experimental mode"
    )  # fmt: skip


@pytest.fixture
def parent() -> Iterator[str]:
    name = f"cais-test-parent-{os.getpid()}"
    yield name
    for folder in (*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path("/sys/fs/cgroup") / name):
        if folder.is_dir():
            folder.rmdir()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_parent_group(caisd: Daemon, parent: str, slash: str) -> None:
    container = run(caisd, "sleep", "100", host_config={"CgroupParent": f"{slash}{parent}", "PidsLimit": 7})
    groups = Path(f"/proc/{caisd.container_pid(container)}/cgroup").read_text("ascii")
    assert f":/{parent}/{container}\n" in groups
    post(caisd, container, "pause")
    post(caisd, container, "kill")
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{parent}/*/"))


def test_a_group_below_another_parent_is_swept(private_caisd: Daemon, parent: str) -> None:
    daemon = private_caisd
    container = run(daemon, "sleep", "100", host_config={"CgroupParent": parent})
    pid, monitor = daemon.container_pid(container), daemon.monitor_pid(container)
    daemon.kill()
    os.kill(monitor, 9)
    daemon.start()
    wait_for_status(daemon, container, "exited")
    assert not host.alive(pid)
    assert not [path for path in Path("/sys/fs/cgroup").glob(f"*/{parent}/*") if path.is_dir()]


def test_annotations_are_kept(caisd: Daemon) -> None:
    container = create(caisd, "true", host_config={"Annotations": {"a": "b"}})
    assert caisd.inspect(container)["HostConfig"]["Annotations"].value == {"a": "b"}


def test_a_privileged_container_has_the_devices_of_the_host(caisd: Daemon) -> None:
    assert "ptmx" in caisd.docker_output("run", "--rm", "--privileged", "busybox", "ls", "/dev").split()


def test_rates_of_block_devices(caisd: Daemon) -> None:
    device = next((path for path in ("/dev/vda", "/dev/sda", "/dev/loop0") if Path(path).is_block_device()), None)
    if device is None:
        pytest.skip("no block device here")
    rate = {"BlkioDeviceReadBps": [{"Path": device, "Rate": 1048576}]}
    read = "cat /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"
    container = run(caisd, "sleep", "100", host_config=rate)
    number = os.stat(device).st_rdev
    assert caisd.docker_output("exec", container, "sh", "-c", read).splitlines() == [
        f"{os.major(number)}:{os.minor(number)} 1048576"
    ]
    bad = create(caisd, "true", host_config={"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]})
    assert refused(caisd, "POST", f"/containers/{bad}/start") == (400, "/dev/null is not a block device")


def test_a_cgroup_namespace_of_its_own_is_rooted_at_the_container_s_groups(caisd: Daemon) -> None:
    container = caisd.docker_output("run", "-d", "--cgroupns", "private", "busybox", "sleep", "1000")
    assert _namespace(caisd, container, "cgroup") != os.readlink("/proc/self/ns/cgroup")
    for lines in (
        caisd.docker_output("exec", container, "cat", "/proc/self/cgroup"),
        caisd.docker_output("exec", container, "cat", "/proc/1/cgroup"),
    ):
        assert {line.split(":", 2)[2] for line in lines.splitlines()} == {"/"}
    mounted = [
        line.split() for line in caisd.docker_output("exec", container, "cat", "/proc/1/mountinfo").splitlines()
        if " - cgroup" in line
    ]  # fmt: skip
    assert mounted
    assert {fields[3] for fields in mounted} == {"/"}


def test_the_cgroup_namespace_of_the_host(caisd: Daemon) -> None:
    container = caisd.docker_output("run", "-d", "--cgroupns", "host", "busybox", "sleep", "1000")
    assert _namespace(caisd, container, "cgroup") == os.readlink("/proc/self/ns/cgroup")
