"""The runtime config, against what Docker gives to runc."""

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from cais.engine import spec
from cais.engine.host import Host
from cais.engine.models import ContainerConfig, CreateRequest, ExecConfig, MountPoint, Record
from cais.engine.validation import normalise
from cais.errors import InvalidArgument
from cais.linux.credentials import CAPABILITY_NAMES
from cais.runtime import spec as runtime_spec
from cais.runtime.cgroups.resources import Resources
from tests.unit.test_validation import FEATURES

HOST = Host(
    cpus=4, memory_bytes=1 << 34, features=FEATURES, capabilities=frozenset(CAPABILITY_NAMES), hostname="quay"
)  # fmt: skip
ETC = spec.EtcFiles("/c/hosts", "/c/hostname", "/c/resolv.conf")
MIB = 1024 * 1024


def _record(host_config: dict[str, Any] | None = None, host: Host = HOST, **config: Any) -> Record:
    request = msgspec.convert({"Image": "busybox", "HostConfig": host_config or {}, **config}, CreateRequest)
    normalise(request, host)
    request.host_config.ShmSize = request.host_config.ShmSize or 64 * MIB
    made: ContainerConfig = request.config()
    made.Hostname = made.Hostname or "a" * 12
    return Record(
        id="a" * 64, name="web", created_ns=1, image_id="sha256:b", path="sleep", args=["1000"], config=made,
        host_config=request.host_config,
    )  # fmt: skip


def _build(record: Record, host: Host = HOST) -> Any:
    return json.loads(spec.encode(spec.build(record, host, ETC, "/cais")))


def _mount(document: Any, destination: str) -> Any:
    found = [mount for mount in document["mounts"] if mount["destination"] == destination]
    assert len(found) == 1, found
    return found[0]


def test_the_default_config_is_docker_s() -> None:
    document = _build(_record())
    assert document["process"]["args"] == ["sleep", "1000"]
    assert document["process"]["env"] == [f"PATH={spec.DEFAULT_PATH}", f"HOSTNAME={'a' * 12}"]
    assert document["process"]["cwd"] == "/"
    assert document["process"]["user"] == {"username": ""}
    assert document["process"]["noNewPrivileges"] is False
    assert len(document["process"]["capabilities"]["bounding"]) == 14
    assert document["process"]["capabilities"]["inheritable"] == []
    assert document["process"]["capabilities"]["ambient"] == []
    assert "oomScoreAdj" not in document["process"]
    assert document["root"]["readonly"] is False
    assert [item["type"] for item in document["linux"]["namespaces"]] == ["mount", "uts", "pid", "ipc", "network"]
    assert document["linux"]["cgroupsPath"] == "/cais/" + "a" * 64
    assert document["linux"]["sysctl"]["net.ipv4.ping_group_range"] == "0 2147483647"
    assert "/proc/kcore" in document["linux"]["maskedPaths"]
    assert document["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]


def test_the_default_mounts_are_docker_s() -> None:
    document = _build(_record())
    assert [mount["destination"] for mount in document["mounts"]] == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm", "/etc/resolv.conf",
        "/etc/hostname", "/etc/hosts",
    ]  # fmt: skip
    assert _mount(document, "/proc")["options"] == ["nosuid", "noexec", "nodev"]
    assert _mount(document, "/sys")["options"] == ["nosuid", "noexec", "nodev", "ro"]
    assert _mount(document, "/dev/shm")["options"] == ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]
    assert _mount(document, "/etc/hosts")["source"] == "/c/hosts"


def test_the_runtime_understands_it() -> None:
    record = _record(
        {
            "Memory": 20 * MIB, "NanoCpus": 1_500_000_000, "PidsLimit": 7, "CpuShares": 512,
            "DeviceCgroupRules": ["c 13:* r"],
        },
        Tty=True, User="1000:1001",
    )  # fmt: skip
    parsed = runtime_spec.parse(_build(record))
    assert parsed.process.user == "1000:1001"
    assert parsed.process.terminal
    resources = Resources.from_oci(parsed.resources)
    assert (resources.memory.limit_bytes, resources.memory.swap_bytes) == (20 * MIB, 40 * MIB)
    assert (resources.cpu.quota_us, resources.cpu.period_us, resources.cpu.shares) == (150_000, 100_000, 512)
    assert resources.pids_limit == 7
    assert resources.devices is not None
    assert (resources.devices[1].major, resources.devices[1].minor) == (13, None)


def test_nothing_is_limited_by_default() -> None:
    resources = Resources.from_oci(_build(_record())["linux"]["resources"])
    assert resources == Resources(devices=resources.devices)


def test_the_host_s_network_has_no_namespace_and_no_sysctls() -> None:
    document = _build(_record({"NetworkMode": "host"}))
    assert "network" not in [item["type"] for item in document["linux"]["namespaces"]]
    assert document["linux"]["sysctl"] == {}


def test_a_cgroup_namespace_where_that_is_the_default() -> None:
    host = dataclasses.replace(HOST, features=dataclasses.replace(FEATURES, version=2))
    assert "cgroup" in [item["type"] for item in _build(_record(host=host), host)["linux"]["namespaces"]]


def test_a_terminal_has_term() -> None:
    assert "TERM=xterm" in _build(_record(Tty=True))["process"]["env"]


def test_variables_replace_the_defaults_in_their_places() -> None:
    record = _record(Env=["PATH=/mine", "A=1", "HOSTNAME"])
    assert spec.environment(record.config, False) == ["PATH=/mine", "A=1"]


def test_a_read_only_root_leaves_the_usual_places_writable() -> None:
    document = _build(_record({"ReadonlyRootfs": True}))
    assert document["root"]["readonly"] is True
    assert "ro" in _mount(document, "/etc/hosts")["options"]
    assert _mount(document, "/sys")["options"].count("ro") == 1
    for destination in ("/proc", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue"):
        assert "ro" not in _mount(document, destination)["options"]


def test_privileged_is_everything() -> None:
    document = _build(_record({"Privileged": True}))
    assert "ro" not in _mount(document, "/sys")["options"]
    assert "ro" not in _mount(document, "/sys/fs/cgroup")["options"]
    assert document["linux"]["maskedPaths"] == []
    assert document["linux"]["readonlyPaths"] == []
    assert document["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert set(document["process"]["capabilities"]["effective"]) == set(CAPABILITY_NAMES)
    paths = [node["path"] for node in document["linux"]["devices"]]
    assert "/dev/null" in paths
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/", "/dev/mqueue/")) for path in paths)


def test_the_processors_are_masked_with_the_rest() -> None:
    host = dataclasses.replace(HOST, thermal_paths=("/sys/devices/system/cpu/cpu0/thermal_throttle",))
    assert "/sys/devices/system/cpu/cpu0/thermal_throttle" in _build(_record(), host)["linux"]["maskedPaths"]
    assert _build(_record({"MaskedPaths": []}), host)["linux"]["maskedPaths"] == []


def test_mounts_of_the_user_come_last_parents_first_and_replace_default_ones() -> None:
    record = _record({"Tmpfs": {"/dev/shm": "size=1m", "/x/y": ""}})
    record.mounts = [
        MountPoint(Type="volume", Name="data", Source="/v/data/_data", Destination="/etc", Driver="local"),
        MountPoint(Type="bind", Source="/s", Destination="/x", RW=False, Propagation="rprivate"),
        MountPoint(Type="bind", Source="/h", Destination="/etc/hosts", RW=True, Propagation="rslave"),
    ]
    document = _build(record)
    order = [mount["destination"] for mount in document["mounts"]][-7:]
    assert set(order[:2]) == {"/etc", "/x"}
    assert set(order[2:]) == {"/dev/shm", "/x/y", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    assert _mount(document, "/x")["options"] == ["rbind", "rprivate", "ro", "rro"]
    assert _mount(document, "/etc/hosts") == {
        "destination": "/etc/hosts", "type": "bind", "source": "/h", "options": ["rbind", "rslave"],
    }  # fmt: skip
    assert _mount(document, "/dev/shm")["options"] == ["noexec", "nosuid", "nodev", "rprivate", "size=1m"]


def test_limits_of_a_process() -> None:
    record = _record({"Ulimits": [{"Name": "nofile", "Soft": 5, "Hard": -1}], "OomScoreAdj": 10})
    process = spec.process(record, HOST)
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": -1}]
    assert process["oomScoreAdj"] == 10


def test_a_protected_engine_does_not_pass_its_protection_on() -> None:
    assert spec.process(_record(), dataclasses.replace(HOST, inherited_oom_score=-500))["oomScoreAdj"] == 0


def test_no_ipc_means_no_shm() -> None:
    assert all(mount["destination"] != "/dev/shm" for mount in _build(_record({"IpcMode": "none"}))["mounts"])


def test_a_device_of_the_host() -> None:
    record = _record(
        {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/hole", "CgroupPermissions": "r"}]}
    )
    document = _build(record)
    node = document["linux"]["devices"][0]
    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/dev/hole", "c", 1, 3)
    assert document["linux"]["resources"]["devices"][1] == {
        "allow": True, "type": "c", "major": 1, "minor": 3, "access": "r",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "says"),
    [("/dev/no-such", "no such file"), ("/etc/passwd", "not a device node"), ("/etc", "no device files")],
)  # fmt: skip
def test_a_device_that_is_none(path: str, says: str) -> None:
    record = _record({"Devices": [{"PathOnHost": path}]})
    with pytest.raises(InvalidArgument, match=says):
        _build(record)


def test_an_exec_has_the_container_s_environment_user_and_folder() -> None:
    record = _record({"GroupAdd": ["staff"]}, Env=["A=1"], User="web", WorkingDir="/srv")
    process = spec.exec_process(record, ExecConfig(Cmd=["id"], Env=["B=2"]), HOST)
    assert process["env"][-2:] == ["A=1", "B=2"]
    assert process["user"] == {"username": "web", "additionalGroups": ["staff"]}
    assert process["cwd"] == "/srv"
    other = spec.exec_process(record, ExecConfig(Cmd=["id"], User="0", WorkingDir="/", Privileged=True), HOST)
    assert other["user"] == {"username": "0"}
    assert other["cwd"] == "/"
    assert set(other["capabilities"]["bounding"]) == set(CAPABILITY_NAMES)
    runtime_spec.parse_process(other)
