"""What `docker version` and `docker info` ask: the engine and the host it runs on."""

import os
import platform
import re
import time
import urllib.request
from typing import Any, Final

from cais import __version__
from cais.distribution.platforms import host_platform
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.engine import Engine
from cais.engine.models import Status, timestamp
from cais.engine.unsupported import RUNTIME
from cais.engine.views import STORAGE_DRIVER

Json = dict[str, Any]

INDEX_SERVER: Final = "https://index.docker.io/v1/"
_CREDENTIALS: Final = re.compile(r"(?<=//)[^/@]*@")


def version(api_version: str, min_api_version: str) -> Json:
    """SystemVersion."""
    architecture = host_platform().architecture
    kernel = platform.release()
    python = platform.python_version()
    details = {
        "ApiVersion": api_version,
        "Arch": architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "MinAPIVersion": min_api_version,
        "Os": "linux",
        "Python": python,
    }
    return {
        "Platform": {"Name": "Cais"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        "ApiVersion": api_version,
        "MinAPIVersion": min_api_version,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": kernel,
        "BuildTime": "",
    }


def info(engine: Engine) -> Json:
    """SystemInfo."""
    host = engine.host
    features = host.features
    statuses = [container.status for container in engine.containers]
    paused = statuses.count(Status.PAUSED)
    running = statuses.count(Status.RUNNING) + statuses.count(Status.RESTARTING)
    system = _os_release()
    return {
        "ID": engine.id,
        "Containers": len(statuses),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(statuses) - running - paused,
        "Images": len(engine.images.select(everything=True)),
        "Driver": STORAGE_DRIVER,
        "DriverStatus": [["Backing Filesystem", _filesystem(engine.settings.data_root)], ["Supports d_type", "true"],
                         ["Native Overlay Diff", "true"], ["userxattr", "false"]],
        "Plugins": {
            "Volume": [],
            "Network": ["bridge", "host", "ipvlan", "macvlan", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": features.memory,
        "SwapLimit": features.swap,
        "CpuCfsPeriod": features.cpu_quota,
        "CpuCfsQuota": features.cpu_quota,
        "CPUShares": features.cpu_shares,
        "CPUSet": features.cpuset,
        "PidsLimit": features.pids,
        "OomKillDisable": features.oom_kill_disable,
        "IPv4Forwarding": _read("/proc/sys/net/ipv4/ip_forward").strip() == "1",
        "Debug": engine.settings.debug,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": 0,
        "SystemTime": timestamp(time.time_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(features.version),
        "NEventsListener": engine.events.listeners,
        "KernelVersion": platform.release(),
        "OperatingSystem": system.get("PRETTY_NAME", "Linux"),
        "OSVersion": system.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "IndexServerAddress": INDEX_SERVER,
        "RegistryConfig": _registry_config(engine.settings.registries),
        "NCPU": host.cpus,
        "MemTotal": host.memory_bytes,
        "GenericResources": None,
        "DockerRootDir": str(engine.settings.data_root),
        **_proxies(),
        "Name": host.hostname,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {RUNTIME: {"path": RUNTIME}},
        "DefaultRuntime": RUNTIME,
        "Swarm": {
            "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": security_options(host.unified_cgroups),
        "CDISpecDirs": [],
        "Warnings": warnings(engine),
    }  # fmt: skip


def _registry_config(settings: RegistrySettings) -> Json:
    """RegistryServiceConfig."""
    indexes: dict[str, Json] = {
        host: {"Name": host, "Mirrors": [], "Secure": False, "Official": False} for host in settings.hosts
    }
    mirrors = list(settings.mirrors)
    indexes["docker.io"] = {"Name": "docker.io", "Mirrors": mirrors, "Secure": True, "Official": True}
    return {"InsecureRegistryCIDRs": list(settings.networks), "IndexConfigs": indexes, "Mirrors": mirrors}


def security_options(unified_cgroups: bool) -> list[str]:
    """What protects every container here."""
    options = ["name=seccomp,profile=builtin"]
    return [*options, "name=cgroupns"] if unified_cgroups else options


def warnings(engine: Engine) -> list[str]:
    """What this host cannot do, in Docker's words."""
    features = engine.host.features
    missing = (
        (features.memory, "No memory limit support"),
        (features.swap, "No swap limit support"),
        (features.cpu_quota, "No cpu cfs quota support"),
        (features.cpu_quota, "No cpu cfs period support"),
        (features.cpu_shares, "No cpu shares support"),
        (features.cpuset, "No cpuset support"),
        (features.pids, "No pids limit support"),
    )
    return [f"WARNING: {text}" for there, text in missing if not there]


def _os_release() -> dict[str, str]:
    """os-release(5)."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _filesystem(path: "os.PathLike[str]") -> str:
    """The type of the file system that a folder is on, in Docker's names."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            kind = after.split(maxsplit=1)[0]
            return {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs"}.get(kind, kind)
    return "<unknown>"


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _proxies() -> Json:
    """The proxies by which registries are reached, without their passwords."""
    found = urllib.request.getproxies_environment()
    masked = {kind: _CREDENTIALS.sub("xxxxx:xxxxx@", found.get(kind, "")) for kind in ("http", "https")}
    return {"HttpProxy": masked["http"], "HttpsProxy": masked["https"], "NoProxy": found.get("no", "")}
