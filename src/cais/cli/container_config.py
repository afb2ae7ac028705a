"""From the flags of `run` and `create` to what the Engine API creates a container from.

Each flag is one field. Values are checked here as far as Docker's client checks them; the rest is for the engine.
"""

from __future__ import annotations

import os

from cais.cli import key_values
from cais.gotext import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.cli.flags import Parsed
    from cais.client.model import ContainerConfig

_SHARED_PID = ("", "host")
_NETWORK_FLAGS = frozenset(["network", "network-alias", "link", "ip", "ip6", "link-local-ip", "mac-address"])

# What an engine shows as empty, and not as unknown, when no flag is about it.
_LISTS = (
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "Devices",
)

# Flags that go into the host configuration as they are, when they are given.
PLAIN = {
    "annotation": "Annotations",
    "blkio-weight": "BlkioWeight",
    "blkio-weight-device": "BlkioWeightDevice",
    "cgroup-parent": "CgroupParent",
    "cgroupns": "CgroupnsMode",
    "cidfile": "ContainerIDFile",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "cpus": "NanoCpus",
    "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems",
    "device-cgroup-rule": "DeviceCgroupRules",
    "device-read-bps": "BlkioDeviceReadBps",
    "device-read-iops": "BlkioDeviceReadIOps",
    "device-write-bps": "BlkioDeviceWriteBps",
    "device-write-iops": "BlkioDeviceWriteIOps",
    "add-host": "ExtraHosts",
    "gpus": "DeviceRequests",
    "group-add": "GroupAdd",
    "init": "Init",
    "ipc": "IpcMode",
    "isolation": "Isolation",
    "kernel-memory": "KernelMemory",
    "link": "Links",
    "memory": "Memory",
    "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap",
    "mount": "Mounts",
    "oom-kill-disable": "OomKillDisable",
    "oom-score-adj": "OomScoreAdj",
    "pid": "PidMode",
    "pids-limit": "PidsLimit",
    "privileged": "Privileged",
    "publish-all": "PublishAllPorts",
    "read-only": "ReadonlyRootfs",
    "rm": "AutoRemove",
    "runtime": "Runtime",
    "shm-size": "ShmSize",
    "userns": "UsernsMode",
    "uts": "UTSMode",
    "volume-driver": "VolumeDriver",
    "volumes-from": "VolumesFrom",
}


def container_config(given: Parsed, image: str, command: list[str], console: list[int]) -> ContainerConfig:
    """What to create. `console` is [rows, columns] of the terminal. Raises ValueError, in Docker's words."""
    attach = given.texts("attach")
    stdin = given.on("interactive")
    config: ContainerConfig = {
        "Hostname": given.text("hostname"),
        "Domainname": given.text("domainname"),
        "User": given.text("user"),
        "AttachStdin": stdin or "stdin" in attach,
        "AttachStdout": not attach or "stdout" in attach,
        "AttachStderr": not attach or "stderr" in attach,
        "Tty": given.on("tty"),
        "OpenStdin": stdin,
        "StdinOnce": stdin,
        "Env": key_values.environment(given.texts("env-file"), given.texts("env")),
        "Cmd": command or None,
        "Image": image,
        "WorkingDir": given.text("workdir"),
        "Entrypoint": [given.text("entrypoint")] if "entrypoint" in given.given else None,
        "Labels": key_values.labels(given.texts("label-file"), given.texts("label")),
    }
    if "stop-signal" in given.given:
        config["StopSignal"] = given.text("stop-signal")
    if "stop-timeout" in given.given:
        config["StopTimeout"] = given.number("stop-timeout")
    _add_health_check(config, given)
    host = _host_config(given)
    host["ConsoleSize"] = console
    _add_volumes(config, host, given)
    _add_ports(config, host, given)
    endpoints: dict[str, Any] = {}
    host["NetworkMode"] = "default"
    if given.given & _NETWORK_FLAGS:
        from cais.cli.networks import attachments  # noqa: PLC0415 -- seldom needed

        host["NetworkMode"], endpoints = attachments(given)
    config["HostConfig"] = host
    config["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return config


def _host_config(given: Parsed) -> dict[str, Any]:
    _check_modes(given)
    host: dict[str, Any] = {field: [] for field in _LISTS}
    host.update((field, given.value(flag)) for flag, field in PLAIN.items() if flag in given.given)
    host["Ulimits"] = sorted(given.items("ulimit"), key=_name_of)
    if given.given & {"annotation", "restart-unhealthy"}:
        host["Annotations"] = {**given.pairs("annotation"), **restart_unhealthy(given)}
    host |= {
        "RestartPolicy": restart_policy(given.text("restart")),
        "LogConfig": _log_config(given),
        "Dns": given.texts("dns"),
        "DnsOptions": given.texts("dns-option"),
        "DnsSearch": given.texts("dns-search"),
    }
    if host["RestartPolicy"]["Name"] not in {"", "no"} and given.on("rm"):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    if given.number("memory-swappiness") != -1:
        host["MemorySwappiness"] = given.number("memory-swappiness")
    if given.texts("sysctl"):
        host["Sysctls"] = given.pairs("sysctl")
    if given.texts("storage-opt"):
        if not all("=" in option for option in given.texts("storage-opt")):
            raise ValueError("invalid storage option")
        host["StorageOpt"] = given.pairs("storage-opt")
    if given.given & {"cap-add", "cap-drop"}:
        host["CapAdd"], host["CapDrop"] = _capabilities(given.texts("cap-add"), given.texts("cap-drop"))
    if given.texts("device"):
        host["Devices"] = [mapping for spec in given.texts("device") for mapping in _devices(spec)]
    if given.texts("security-opt"):
        _add_security(host, given.texts("security-opt"))
    return host


def _name_of(limit: object) -> str:
    return str(limit["Name"]) if isinstance(limit, dict) else ""


def _capabilities(added: list[str], dropped: list[str]) -> tuple[list[str], list[str]]:
    """Both lists with whole names; adding comes before dropping, and ALL says all."""
    add, drop = ({_capability(name) for name in names} for names in (added, dropped))
    add = {"ALL"} if "ALL" in add else add
    drop = {"ALL"} if "ALL" in drop else drop
    return sorted(add), sorted(drop - add)


def _capability(name: str) -> str:
    upper = name.strip().upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"


def _check_modes(given: Parsed) -> None:
    pid, uts, userns, cgroup = (given.text(name) for name in ("pid", "uts", "userns", "cgroupns"))
    if pid not in _SHARED_PID and not (pid.startswith("container:") and pid != "container:"):
        raise ValueError("--pid: invalid PID mode")
    if uts not in {"", "host"}:
        raise ValueError("--uts: invalid UTS mode")
    if userns not in {"", "host"}:
        raise ValueError("--userns: invalid USER mode")
    if cgroup not in {"", "host", "private"}:
        raise ValueError("--cgroupns: invalid CGROUP mode")
    swappiness = given.number("memory-swappiness")
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise ValueError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")


def restart_policy(text: str) -> dict[str, object]:
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    if not count:
        return {"Name": name, "MaximumRetryCount": 0}
    if not count.removeprefix("-").isdigit():
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count)}


def restart_unhealthy(given: Parsed) -> dict[str, str]:
    """The annotation by which an engine knows what --restart-unhealthy says; none when it is not given."""
    if "restart-unhealthy" not in given.given:
        return {}
    return {"cais.restart-unhealthy": "true" if given.on("restart-unhealthy") else "false"}


def _log_config(given: Parsed) -> dict[str, object]:
    driver = given.text("log-driver")
    if driver == "none" and given.texts("log-opt"):
        raise ValueError(f"invalid logging opts for driver {driver}")
    return {"Type": driver, "Config": given.pairs("log-opt")}


def _add_security(host: dict[str, Any], options: list[str]) -> None:
    kept = []
    for option in options:
        name, separator, value = option.partition("=")
        if not separator and option != "no-new-privileges":
            name, separator, value = option.partition(":")
            if not separator:
                raise ValueError(f"Invalid --security-opt: {go_quote(option)}")
        if option == "systempaths=unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
        elif name == "seccomp" and value not in {"unconfined", "builtin"}:
            kept.append(f"seccomp={_seccomp_profile(value)}")
        else:
            kept.append(option)
    host["SecurityOpt"] = kept


def _seccomp_profile(path: str) -> str:
    """The profile in a file, as compact JSON."""
    from cais.client.codec import dumps, loads  # noqa: PLC0415

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from error
    try:
        return dumps(loads(data)).decode("ascii")
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from error


def _add_health_check(config: ContainerConfig, given: Parsed) -> None:
    numbers = {
        "Interval": "health-interval",
        "Timeout": "health-timeout",
        "StartPeriod": "health-start-period",
        "StartInterval": "health-start-interval",
        "Retries": "health-retries",
    }
    settings: dict[str, object] = {field: given.number(flag) for field, flag in numbers.items() if given.number(flag)}
    command = given.text("health-cmd")
    if given.on("no-healthcheck"):
        if settings or command:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    for flag in numbers.values():
        if given.number(flag) < 0:
            raise ValueError(f"--{flag} cannot be negative")
    if command:
        settings["Test"] = ["CMD-SHELL", command]
    if settings:
        config["Healthcheck"] = settings


def _add_volumes(config: ContainerConfig, host: dict[str, Any], given: Parsed) -> None:
    binds, volumes = [], {}
    for spec in given.texts("volume"):
        parts = spec.split(":")
        if not spec:
            raise ValueError("invalid empty volume spec")
        if len(parts) > 3:
            raise ValueError(f"invalid spec: {spec}: too many colons")
        if not all(parts):
            raise ValueError(f"invalid spec: {spec}: empty section between colons")
        if len(parts) == 1:
            volumes[spec] = dict[str, str]()
        else:
            source = os.path.abspath(parts[0]) if parts[0].startswith(".") else parts[0]
            binds.append(":".join([source, *parts[1:]]))
    if binds:
        host["Binds"] = list(dict.fromkeys(binds))
    if volumes:
        config["Volumes"] = volumes
    if given.texts("tmpfs"):
        split = (spec.partition(":") for spec in given.texts("tmpfs"))
        host["Tmpfs"] = {path: options for path, _, options in split}


def _add_ports(config: ContainerConfig, host: dict[str, Any], given: Parsed) -> None:
    host["PortBindings"] = {}
    if not given.given & {"publish", "expose"}:
        return
    from cais.cli import ports  # noqa: PLC0415 -- seldom needed

    exposed, bindings = ports.published(given.texts("publish"))
    config["ExposedPorts"] = exposed | ports.exposed(given.texts("expose"))
    host["PortBindings"] = bindings


def _is_device_mode(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def _devices(spec: str) -> list[dict[str, str]]:
    """PATH[:PATH-INSIDE][:rwm], or PATTERN*[:rwm] for all that match."""
    parts = spec.split(":")
    if len(parts) > 3 or not parts[0]:
        raise ValueError(f"bad format for path: {spec}")
    if len(parts) == 3 and not _is_device_mode(parts[2]):
        raise ValueError(f"bad mode specified: {parts[2]}")
    mode = parts[2] if len(parts) == 3 else "rwm"
    inside = ""
    if len(parts) > 1:
        if _is_device_mode(parts[1]):
            mode = parts[1]
        else:
            inside = parts[1]
    if not (inside or parts[0]).startswith("/"):
        raise ValueError(f"{inside or parts[0]} is not an absolute path")
    outside = [parts[0]]
    if parts[0].endswith("*"):
        if inside:
            raise ValueError(f"device with * suffix can't have dst: {spec}")
        from glob import glob  # noqa: PLC0415 -- seldom needed

        outside = sorted(glob(parts[0]))
    return [{"PathOnHost": path, "PathInContainer": inside or path, "CgroupPermissions": mode} for path in outside]
