"""From the flags of `run` to what the API creates."""

from pathlib import Path
from typing import Any

import pytest

from cais.cli.container_config import container_config
from cais.cli.flags import FlagError, parse
from cais.cli.options import RUN_FLAGS


def config(*flags: str, image: str = "busybox", command: tuple[str, ...] = ()) -> dict[str, Any]:
    parsed = parse(RUN_FLAGS, [*flags, image, *command], interspersed=False)
    made: dict[str, Any] = dict(container_config(parsed, parsed.arguments[0], parsed.arguments[1:], [24, 80]))
    return made


def host(*flags: str) -> dict[str, Any]:
    made: dict[str, Any] = config(*flags)["HostConfig"]
    return made


def error(*flags: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        config(*flags)
    return str(caught.value)


def test_restart_unhealthy_is_an_annotation() -> None:
    assert "Annotations" not in host()
    assert host("--restart-unhealthy", "--annotation", "a=b")["Annotations"] == {
        "a": "b",
        "cais.restart-unhealthy": "true",
    }
    assert host("--restart-unhealthy=false")["Annotations"] == {"cais.restart-unhealthy": "false"}


def test_gpus_are_devices_of_a_driver() -> None:
    given = {"Driver": "", "Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    assert host("--gpus", "all")["DeviceRequests"] == [given]
    assert host("--gpus", "2")["DeviceRequests"] == [{**given, "Count": 2}]
    assert host("--gpus", '"device=0,1",driver=d,capabilities=utility,options=a=b')["DeviceRequests"] == [
        {
            "Driver": "d",
            "Count": 0,
            "DeviceIDs": ["0", "1"],
            "Capabilities": [["utility", "gpu"]],
            "Options": {"a": "b"},
        }
    ]
    assert host("--gpus", "driver=d")["DeviceRequests"] == [{**given, "Driver": "d", "Count": 1}]


@pytest.mark.parametrize(
    ("text", "message"), [("some", "invalid count"), ("x=1", "unexpected key"), ("1,2", "only once")]
)
def test_gpus_that_are_none(text: str, message: str) -> None:
    with pytest.raises(FlagError, match=message):
        config("--gpus", text)


def test_without_flags_everything_is_a_default() -> None:
    made = config(command=("sh", "-c", "x"))
    assert made["Image"] == "busybox"
    assert made["Cmd"] == ["sh", "-c", "x"]
    assert (made["AttachStdin"], made["AttachStdout"], made["AttachStderr"]) == (False, True, True)
    assert made["Entrypoint"] is None
    assert made["NetworkingConfig"] == {"EndpointsConfig": {}}
    assert made["HostConfig"]["NetworkMode"] == "default"
    assert made["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert made["HostConfig"]["ConsoleSize"] == [24, 80]
    assert "Memory" not in made["HostConfig"]


@pytest.mark.parametrize(
    ("flags", "field", "expected"),
    [
        (["-i"], "OpenStdin", True),
        (["-i"], "StdinOnce", True),
        (["-t"], "Tty", True),
        (["-a", "stdout"], "AttachStderr", False),
        (["-h", "box"], "Hostname", "box"),
        (["--domainname", "d"], "Domainname", "d"),
        (["-u", "1:2"], "User", "1:2"),
        (["-w", "/x"], "WorkingDir", "/x"),
        (["--entrypoint", "/x"], "Entrypoint", ["/x"]),
        (["--entrypoint", ""], "Entrypoint", [""]),
        (["-l", "a=b", "-l", "c"], "Labels", {"a": "b", "c": ""}),
        (["--stop-signal", "INT"], "StopSignal", "INT"),
        (["--stop-timeout", "0"], "StopTimeout", 0),
        (["-v", "/anonymous"], "Volumes", {"/anonymous": {}}),
        (["--no-healthcheck"], "Healthcheck", {"Test": ["NONE"]}),
        (
            ["--health-cmd", "true", "--health-interval", "5s", "--health-retries", "2"],
            "Healthcheck",
            {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 2},
        ),
        (["-p", "80", "--expose", "90-91/udp"], "ExposedPorts", {"80/tcp": {}, "90/udp": {}, "91/udp": {}}),
    ],
)
def test_a_flag_is_a_field(flags: list[str], field: str, expected: object) -> None:
    assert config(*flags)[field] == expected


@pytest.mark.parametrize(
    ("flags", "field", "expected"),
    [
        (["-m", "64m"], "Memory", 64 << 20),
        (["--memory-swap", "-1"], "MemorySwap", -1),
        (["--memory-swappiness", "0"], "MemorySwappiness", 0),
        (["--cpus", "1.5"], "NanoCpus", 1_500_000_000),
        (["-c", "512"], "CpuShares", 512),
        (["--pids-limit", "-1"], "PidsLimit", -1),
        (["--privileged"], "Privileged", True),
        (["--read-only"], "ReadonlyRootfs", True),
        (["--rm"], "AutoRemove", True),
        (["--init=false"], "Init", False),
        (["--cap-add", "net_admin", "--cap-add", "CAP_CHOWN"], "CapAdd", ["CAP_CHOWN", "CAP_NET_ADMIN"]),
        (["--cap-add", "chown", "--cap-add", "all"], "CapAdd", ["ALL"]),
        (["--cap-drop", "ALL", "--cap-add", "CHOWN"], "CapDrop", ["ALL"]),
        (["--cap-drop", "CHOWN", "--cap-add", "CHOWN"], "CapDrop", []),
        (["-v", "/a:/b:ro", "-v", "name:/c"], "Binds", ["/a:/b:ro", "name:/c"]),
        (["--tmpfs", "/a:size=5m", "--tmpfs", "/b"], "Tmpfs", {"/a": "size=5m", "/b": ""}),
        (["--network", "none"], "NetworkMode", "none"),
        (["--net", "host"], "NetworkMode", "host"),
        (["--group-add", "staff"], "GroupAdd", ["staff"]),
        (["--ulimit", "nofile=5:6"], "Ulimits", [{"Name": "nofile", "Soft": 5, "Hard": 6}]),
        (["--shm-size", "1g"], "ShmSize", 1 << 30),
        (["--sysctl", "net.x=1"], "Sysctls", {"net.x": "1"}),
        (["--restart", "on-failure:3"], "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        (
            ["--log-driver", "json-file", "--log-opt", "max-size=1m"],
            "LogConfig",
            {"Type": "json-file", "Config": {"max-size": "1m"}},
        ),
        (["--security-opt", "no-new-privileges"], "SecurityOpt", ["no-new-privileges"]),
        (["--security-opt", "systempaths=unconfined"], "MaskedPaths", []),
        (["--pid", "container:x"], "PidMode", "container:x"),
        (["--cgroupns", "private"], "CgroupnsMode", "private"),
        (
            ["--device", "/dev/null", "--device", "/dev/zero:/dev/z:r"],
            "Devices",
            [
                {"PathOnHost": "/dev/null", "PathInContainer": "/dev/null", "CgroupPermissions": "rwm"},
                {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/z", "CgroupPermissions": "r"},
            ],
        ),
        (["--dns", "1.1.1.1", "--dns-opt", "x"], "DnsOptions", ["x"]),
        (["--add-host", "h=1.2.3.4"], "ExtraHosts", ["h:1.2.3.4"]),
        (["-p", "127.0.0.1:8080:80"], "PortBindings", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
        (["-P"], "PublishAllPorts", True),
        (["--annotation", "a=b"], "Annotations", {"a": "b"}),
        (["--storage-opt", "size=1G"], "StorageOpt", {"size": "1G"}),
        (["--mount", "type=tmpfs,dst=/x"], "Mounts", [{"Type": "tmpfs", "Target": "/x"}]),
        (["--cidfile", "/x"], "ContainerIDFile", "/x"),
    ],
)
def test_a_flag_is_a_field_of_the_host(flags: list[str], field: str, expected: object) -> None:
    assert host(*flags)[field] == expected


def test_a_relative_source_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert host("-v", "./data:/data")["Binds"] == [f"{tmp_path}/data:/data"]
    assert host("-v", ".:/data")["Binds"] == [f"{tmp_path}:/data"]


def test_the_environment_comes_from_files_flags_and_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbf# comment\n\n  X=1 \nHERE\nNOWHERE\nY=a=b # c\r\n")
    monkeypatch.setenv("HERE", "value")
    monkeypatch.delenv("NOWHERE", raising=False)
    made = config("-e", "A=1", "-e", "HERE", "-e", "NOWHERE", "--env-file", str(file))
    assert made["Env"] == ["X=1 ", "HERE=value", "Y=a=b # c", "A=1", "HERE=value", "NOWHERE"]


def test_labels_of_a_file_need_a_value(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("a=b\nbare\n")
    assert config("--label-file", str(file), "-l", "bare2")["Labels"] == {"a": "b", "bare2": ""}


def test_a_seccomp_profile_is_read_and_sent(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    file.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    assert host("--security-opt", f"seccomp={file}")["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']


def test_endpoints_are_settings_of_the_first_network() -> None:
    made = config("--network", "n", "--network-alias", "a", "--ip", "10.0.0.5", "--mac-address", "02:42:ac:11:00:02")
    assert made["HostConfig"]["NetworkMode"] == "n"
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "n": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "10.0.0.5"}, "MacAddress": "02:42:ac:11:00:02"}
    }


def test_the_long_form_of_a_network_is_read() -> None:
    made = config("--network", "name=n,alias=a,alias=b,driver-opt=x=y,ip6=::5", "--network", "m")
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "n": {"Aliases": ["a", "b"], "IPAMConfig": {"IPv6Address": "::5"}, "DriverOpts": {"x": "y"}},
        "m": {},
    }


def test_a_mount_is_read() -> None:
    text = "type=volume,src=v,dst=/x,readonly,volume-nocopy,volume-label=a=b,volume-driver=d,volume-opt=o=p"
    assert host("--mount", text)["Mounts"] == [
        {
            "Type": "volume",
            "Source": "v",
            "Target": "/x",
            "ReadOnly": True,
            "VolumeOptions": {
                "NoCopy": True,
                "Labels": {"a": "b"},
                "DriverConfig": {"Name": "d", "Options": {"o": "p"}},
            },
        }
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--env-file", "/none"], "open /none: no such file or directory"),
        (["--restart", "always", "--rm"], "conflicting options: cannot specify both --restart and --rm"),
        (
            ["--restart", "on-failure:x"],
            "invalid restart policy format: maximum retry count must be an integer",
        ),
        (["--security-opt", "foo"], 'Invalid --security-opt: "foo"'),
        (
            ["--security-opt", "seccomp=/none"],
            "opening seccomp profile (/none) failed: open /none: no such file or directory",
        ),
        (["--pid", "foo"], "--pid: invalid PID mode"),
        (["--uts", "foo"], "--uts: invalid UTS mode"),
        (["--userns", "foo"], "--userns: invalid USER mode"),
        (["--cgroupns", "foo"], "--cgroupns: invalid CGROUP mode"),
        (["--memory-swappiness", "200"], "invalid value: 200. Valid memory swappiness range is 0-100"),
        (["--log-driver", "none", "--log-opt", "a=b"], "invalid logging opts for driver none"),
        (["--storage-opt", "foo"], "invalid storage option"),
        (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
        (["--health-interval=-5s"], "--health-interval cannot be negative"),
        (["-v", ""], "invalid empty volume spec"),
        (["-v", "/a:/b:/c:/d"], "invalid spec: /a:/b:/c:/d: too many colons"),
        (["-v", ":/x"], "invalid spec: :/x: empty section between colons"),
        (["--device", "foo"], "foo is not an absolute path"),
        (["--device", "/dev/null:/x:q"], "bad mode specified: q"),
        (["--mac-address", "foo"], "foo is not a valid mac address"),
        (["--network", ""], "no name set for network"),
        (["--network-alias", "x"], "network-scoped aliases are only supported for user-defined networks"),
        (["--network", "a", "--network", "a"], 'network "a" is specified multiple times'),
        (
            ["--network", "a", "--network", "host"],
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        (["-p", "foo"], "invalid containerPort: foo"),
        (["-p", "80:"], "no port specified: 80:<empty>"),
        (["-p", "a:80"], "invalid hostPort: a"),
        (["-p", "x:80:80"], "invalid IP address: x"),
        (["-p", "80/foo"], "invalid proto: foo"),
        (["-p", "1-2:80-82"], "invalid ranges specified for container and host Ports: 80-82 and 1-2"),
        (["--expose", "80:80"], "invalid port format for --expose: 80:80"),
        (
            ["--expose", "x"],
            'invalid range format for --expose: x, error: strconv.ParseUint: parsing "x": invalid syntax',
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_docker_s_words(flags: list[str], message: str) -> None:
    assert error(*flags) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A B=1\n", "variable 'A B' contains whitespaces"),
        (b"=x\n", "no variable name on line '=x'"),
        (b"A=\xff\n", "invalid utf8 bytes at line 1: [65 61 255]"),
    ],
)
def test_a_bad_environment_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "env"
    file.write_bytes(content)
    assert error("--env-file", str(file)) == f"invalid env file ({file}): {message}"


@pytest.mark.parametrize("flag", ["--env-file", "--label-file"])
def test_a_folder_is_no_environment_file(tmp_path: Path, flag: str) -> None:
    assert error(flag, str(tmp_path)) == f"invalid env file ({tmp_path}): read {tmp_path}: is a directory"
