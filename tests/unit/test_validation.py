import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from cais.engine.host import Host
from cais.engine.models import CreateRequest
from cais.engine.validation import MASKED_PATHS, READONLY_PATHS, normalise
from cais.errors import CaisError, InvalidArgument, Unsupported
from cais.linux.credentials import CAPABILITY_NAMES
from cais.runtime.cgroups import Features

MIB = 1024 * 1024


FEATURES = Features(
    version=1, memory=True, swap=True, memory_reservation=True, swappiness=True, oom_kill_disable=True,
    cpu_shares=True, cpu_quota=True, cpu_realtime=True, cpuset=True, pids=True, io_weight=True, io_throttle=True,
    devices=True,
)  # fmt: skip


def _host(**features: bool) -> Host:
    """A host with two processors that can limit everything but what is named."""
    return Host(
        cpus=2,
        memory_bytes=1 << 34,
        features=dataclasses.replace(FEATURES, **features),
        capabilities=frozenset(CAPABILITY_NAMES) - {"CAP_SYS_RESOURCE"},
        hostname="quay",
    )


def _request(host_config: dict[str, Any] | None = None, **config: Any) -> CreateRequest:
    return msgspec.convert({"Image": "busybox", "HostConfig": host_config or {}, **config}, CreateRequest)


# what `docker run` sends when it is asked for nothing in particular
FROM_THE_COMMAND: dict[str, Any] = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": True, "AttachStderr": True,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Cmd": ["true"], "Image": "busybox", "Volumes": {},
    "WorkingDir": "", "Labels": {},
    "HostConfig": {
        "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "default", "PortBindings": {},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": True, "VolumeDriver": "",
        "ConsoleSize": [0, 0], "CgroupnsMode": "", "Dns": [], "DnsOptions": [], "DnsSearch": [], "IpcMode": "",
        "Cgroup": "", "OomScoreAdj": 0, "PidMode": "", "Privileged": False, "PublishAllPorts": False,
        "ReadonlyRootfs": False, "UTSMode": "", "UsernsMode": "", "ShmSize": 0, "Isolation": "", "CpuShares": 0,
        "Memory": 0, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [], "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [],
        "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0, "CpusetCpus": "",
        "CpusetMems": "", "Devices": [], "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": -1,
        "OomKillDisable": False, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    },
    "NetworkingConfig": {"EndpointsConfig": {"default": {"MacAddress": "", "GwPriority": 0, "IPPrefixLen": 0}}},
}  # fmt: skip


def test_what_the_command_sends_by_default_is_fine() -> None:
    request = msgspec.convert(FROM_THE_COMMAND, CreateRequest)
    assert normalise(request, _host()) == []
    hc = request.host_config
    assert (hc.IpcMode, hc.CgroupnsMode, hc.log_config.Type, hc.Runtime) == ("private", "host", "json-file", "cais")
    assert hc.MaskedPaths == list(MASKED_PATHS)
    assert hc.ReadonlyPaths == list(READONLY_PATHS)
    assert hc.PidsLimit is None
    assert hc.MemorySwappiness is None


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"Driver": "", "Count": -1, "Capabilities": [["gpu"]]},
            'could not select device driver "" with capabilities: [[gpu]]',
        ),
        ({"Driver": "x", "Capabilities": [["a", "b"], ["c"]]}, 'driver "x" with capabilities: [[a b] [c]]'),
        (
            {"Driver": "cdi", "DeviceIDs": ["v.com/c=x"]},
            "CDI device injection failed: unresolvable CDI devices v.com/c=x",
        ),
    ],
)
def test_there_are_no_drivers_of_devices(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported) as caught:
        normalise(_request({"DeviceRequests": [wanted]}), _host())
    assert message in caught.value.message


@pytest.mark.parametrize(("option", "module"), [("apparmor=mine", "apparmor"), ("label=type:x_t", "selinux")])
def test_what_the_kernel_would_confine_is_not_left_out_in_silence(option: str, module: str) -> None:
    normalise(
        _request({"SecurityOpt": [option]}), _host()
    )  # a kernel without it: the option says nothing, as in Docker
    host = dataclasses.replace(_host(), apparmor=module == "apparmor", selinux=module == "selinux")
    with pytest.raises(Unsupported, match="not supported yet"):
        normalise(_request({"SecurityOpt": [option]}), host)
    normalise(_request({"SecurityOpt": ["apparmor=unconfined", "label=disable"]}), host)


def test_weights_that_the_kernel_does_not_know_are_dropped_with_a_warning() -> None:
    request = _request({"BlkioWeight": 100, "BlkioWeightDevice": [{"Path": "/dev/x", "Weight": 10}]})
    warnings = normalise(request, _host(io_weight=False))
    assert [text.rpartition(". ")[2] for text in warnings] == ["Weight discarded.", "Weight-device discarded."]
    assert (request.host_config.BlkioWeight, request.host_config.BlkioWeightDevice) == (0, [])


UNSUPPORTED: list[dict[str, Any]] = [
    {"UsernsMode": "x"}, {"LogConfig": {"Type": "journald"}}, {"SecurityOpt": ["writable-cgroups=true"]},
]  # fmt: skip


@pytest.mark.parametrize("host_config", UNSUPPORTED, ids=str)
def test_an_option_that_is_not_carried_out_is_refused_by_name(host_config: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="not supported yet"):
        normalise(_request(host_config), _host())


@pytest.mark.parametrize(
    "config",
    [
        {"NetworkDisabled": True},
    ],
    ids=str,
)  # fmt: skip
def test_so_is_one_of_the_container_itself(config: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="not supported yet"):
        normalise(_request(**config), _host())


@pytest.mark.parametrize(
    ("host_config", "says"),
    [
        ({"Memory": MIB}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": 10 * MIB, "MemorySwap": 5 * MIB}, "Minimum memoryswap limit should be larger than memory limit"),
        ({"MemorySwap": 5 * MIB}, "You should always set the Memory limit when using Memoryswap limit"),
        ({"Memory": -1}, "must not be negative"),
        ({"MemorySwappiness": 101}, "valid memory swappiness range is 0-100"),
        ({"NanoCpus": 9_000_000_000}, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
        ({"NanoCpus": -1}, "range of CPUs is from 0.01 to 2.00"),
        ({"NanoCpus": 1}, "range of CPUs is from 0.01 to 2.00"),
        ({"NanoCpus": 10**9, "CpuQuota": 5000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"CpuPeriod": 5}, "CPU cfs period can not be less than 1ms"),
        ({"CpuQuota": 5}, "CPU cfs quota can not be less than 1ms"),
        ({"CpuShares": -1}, "invalid CPU shares"),
        ({"MemoryReservation": 1024}, "Minimum memory reservation allowed is 6MB"),
        ({"CpusetCpus": "a"}, "Invalid value a for cpuset cpus: invalid format: a"),
        ({"CpusetMems": "1-42--"}, "Invalid value 1-42-- for cpuset mems: invalid format: 1-42--"),
        ({"CpusetMems": "0-1"}, "Requested memory nodes are not available - requested 0-1, available: 0"),
        ({"Annotations": {"": "a"}}, "invalid Annotations: the empty string is not permitted as an annotation key"),
        ({"CpusetCpus": "0,9999"}, "Requested CPUs are not available"),
        ({"BlkioWeight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"OomScoreAdj": 1001}, "range for oom score adj"),
        ({"ShmSize": -1}, "SHM size can not be less than 0"),
        ({"CapAdd": ["NOPE"]}, 'invalid CapAdd: unknown capability: "CAP_NOPE"'),
        ({"CapAdd": ["SYS_RESOURCE"]}, "the engine itself does not have it"),
        ({"CgroupnsMode": "x"}, "invalid cgroup namespace mode: x"),
        ({"Runtime": "foo"}, "unknown or invalid runtime name: foo"),
        ({"RestartPolicy": {"Name": "zz"}}, "invalid restart policy: unknown policy 'zz'"),
        ({"RestartPolicy": {"Name": "always"}, "AutoRemove": True}, "can't create 'AutoRemove' container"),
        ({"Ulimits": [{"Name": "foo", "Soft": 1, "Hard": 1}]}, "invalid ulimit type: foo"),
        ({"Ulimits": [{"Name": "core", "Soft": 5, "Hard": 3}]}, "ulimit soft limit must be less than or equal"),
        ({"LogConfig": {"Type": "json-file", "Config": {"nope": "1"}}}, "unknown log opt 'nope'"),
        ({"LogConfig": {"Type": "", "Config": {"max-size": "x"}}}, "invalid size: 'x'"),
        ({"Tmpfs": {"rel": ""}}, "mount path must be absolute"),
        ({"Sysctls": {"net.x": "1"}, "NetworkMode": "host"}, "not allowed in host network namespace"),
        ({"SecurityOpt": ["foo"]}, 'invalid --security-opt 1: "foo"'),
        ({"DeviceCgroupRules": ["x"]}, "invalid device cgroup rule format: 'x'"),
        ({"ExtraHosts": ["a\nb:1.2.3.4"]}, "bad format for add-host"),
        ({"ExtraHosts": ["a:1.2.3"]}, 'invalid IP address in add-host: "1.2.3"'),
        ({"ExtraHosts": ["a:b"]}, 'invalid IP address in add-host: "b"'),
        ({"Dns": ["1.1.1.1\nsearch x"]}, "bad format for dns"),
        ({"Isolation": "hyperv"}, "invalid isolation"),
        ({"StorageOpt": {"size": "1G"}}, "--storage-opt is supported only for overlay over xfs"),
        ({"StorageOpt": {"foo": "1"}}, "Unknown option foo"),
        ({"Tmpfs": {"/x": "ro,foo"}}, 'invalid tmpfs option ["foo"]'),
        ({"Tmpfs": {"/x": "foo=1"}}, 'invalid tmpfs option ["foo" "1"]'),
        ({"CpuRealtimePeriod": 5, "CpuRealtimeRuntime": 6}, "runtime cannot be higher than cpu real-time period"),
        ({"LogConfig": {"Type": "nope"}}, 'error looking up logging plugin nope: plugin "nope" not found'),
        ({"PidMode": "x"}, "invalid PID mode: x"),
        ({"BlkioWeightDevice": [{"Path": "/dev/vda", "Weight": 5}]}, "invalid weight for device: /dev/vda:5"),
    ],
    ids=str,
)
def test_values_that_make_no_sense(host_config: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        normalise(_request(host_config), _host())
    assert says in error.value.message


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"WorkingDir": "rel"}, "the working directory 'rel' is invalid, it needs to be an absolute path"),
        ({"Env": ["=x"]}, "invalid environment variable: =x"),
        ({"Env": [""]}, "invalid environment variable: "),
        ({"Env": ["A=\0"]}, r"invalid environment variable: A=\x00"),
        ({"Cmd": ["a\0b"]}, "NUL byte"),
        ({"StopSignal": "FOO"}, "invalid signal: FOO"),
        ({"Hostname": "a\nb"}, r'invalid hostname: "a\nb"'),
        ({"Hostname": "x" * 65}, "invalid hostname"),
        ({"Domainname": "a b"}, "invalid domainname"),
        ({"ExposedPorts": {"99999": {}}}, "invalid port specification: 99999"),
        ({"ExposedPorts": {"80/x": {}}}, "invalid port specification"),
    ],
    ids=str,
)
def test_values_of_the_container_that_make_no_sense(config: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        normalise(_request(**config), _host())
    assert says in error.value.message


def test_swap_is_twice_the_memory() -> None:
    request = _request({"Memory": 20 * MIB})
    normalise(request, _host())
    assert request.host_config.MemorySwap == 40 * MIB


def test_a_host_that_cannot_limit_swap_warns() -> None:
    request = _request({"Memory": 20 * MIB})
    assert "Memory limited without swap" in normalise(request, _host(swap=False))[0]
    assert request.host_config.MemorySwap == -1


@pytest.mark.parametrize(
    ("feature", "host_config"),
    [("memory", {"Memory": 20 * MIB}), ("cpu_quota", {"NanoCpus": 10**9}), ("pids", {"PidsLimit": 5}),
     ("cpu_shares", {"CpuShares": 5}), ("cpuset", {"CpusetCpus": "0"}), ("cpu_realtime", {"CpuRealtimePeriod": 1000})],
)  # fmt: skip
def test_a_limit_that_the_host_cannot_enforce_is_refused(feature: str, host_config: dict[str, Any]) -> None:
    normalise(_request(dict(host_config)), _host())
    with pytest.raises(Unsupported, match="not possible on this host"):
        normalise(_request(dict(host_config)), _host(**{feature: False}))


def test_a_privileged_container_has_no_hidden_paths() -> None:
    request = _request({"Privileged": True, "CapAdd": ["SYS_RESOURCE"]})
    normalise(request, _host())
    assert request.host_config.MaskedPaths is None
    assert request.host_config.ReadonlyPaths is None


def test_paths_may_be_unhidden() -> None:
    request = _request({"MaskedPaths": [], "ReadonlyPaths": ["/proc/sys"]})
    normalise(request, _host())
    assert request.host_config.MaskedPaths == []
    assert request.host_config.ReadonlyPaths == ["/proc/sys"]


@pytest.mark.parametrize("make", [lambda: _request({"CapAdd": ["\x1b[31m"]}), lambda: _request(Hostname="a\x07b")])
def test_no_control_character_gets_into_a_message(make: Callable[[], CreateRequest]) -> None:
    with pytest.raises(CaisError) as error:
        normalise(make(), _host())
    assert error.value.message.isprintable()
