"""The limits of a container: memory, processors, processes, block IO, setrlimit(2).

Each function checks one group of options and completes it in place; errors are in Docker's words. A limit that this
host cannot enforce is an error, unless Docker only warns.
"""

import os
import re
from typing import Final

import msgspec

from cais.engine.host import Host
from cais.engine.models import HealthConfig, HostConfig
from cais.engine.text import printable
from cais.errors import CaisError, InvalidArgument, Unsupported

MIN_MEMORY_BYTES: Final = 6 * 1024 * 1024
MIN_DURATION_NS: Final = 1_000_000
ULIMITS: Final = frozenset(
    {
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    }
)  # fmt: skip

_CPU_LIST: Final = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")


def refuse(wrong: bool, message: str, kind: type[CaisError] = InvalidArgument) -> None:
    """Raises the error with the message when something is wrong."""
    if wrong:
        raise kind(message)


def require(possible: bool, what: str, missing: str) -> None:
    """Raises Unsupported when this host lacks what a limit needs."""
    if not possible:
        raise Unsupported(f"{what} not possible on this host: {missing}")


def memory(hc: HostConfig, host: Host, warnings: list[str]) -> None:
    """Memory, swap and what happens when it runs out."""
    limit, swap = hc.Memory, hc.MemorySwap
    refuse(limit < 0 or hc.MemoryReservation < 0 or swap < -1, "invalid memory limit: it must not be negative")
    refuse(0 < limit < MIN_MEMORY_BYTES, "Minimum memory limit allowed is 6MB")
    refuse(0 < hc.MemoryReservation < MIN_MEMORY_BYTES, "Minimum memory reservation allowed is 6MB")
    refuse(0 < swap < limit, "Minimum memoryswap limit should be larger than memory limit, see usage")
    refuse(
        limit == 0 and swap > 0, "You should always set the Memory limit when using Memoryswap limit, see usage"
    )  # fmt: skip
    refuse(
        0 < limit < hc.MemoryReservation,
        "Minimum memory limit can not be less than memory reservation limit, see usage",
    )
    require(host.features.memory or not limit, "memory limits are", "it has no memory cgroup")
    if limit and not host.features.swap:
        warnings.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
        hc.MemorySwap = -1
    elif limit and swap == 0:
        hc.MemorySwap = 2 * limit
    if hc.KernelMemory:
        # Linux 5.4 took it away, and Docker ignores it since API 1.42
        warnings.append(
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
            "Limitation discarded."
        )
        hc.KernelMemory = msgspec.UNSET
    _when_memory_is_short(hc, host, warnings)


def _when_memory_is_short(hc: HostConfig, host: Host, warnings: list[str]) -> None:
    if hc.MemorySwappiness == -1:
        hc.MemorySwappiness = None
    if hc.MemorySwappiness is not None:
        refuse(
            not 0 <= hc.MemorySwappiness <= 100,
            f"Invalid value: {hc.MemorySwappiness}, valid memory swappiness range is 0-100",
        )
        if not host.features.swappiness:
            warnings.append(
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
                "Memory swappiness discarded."
            )
            hc.MemorySwappiness = None
    if hc.OomKillDisable and hc.Memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    if hc.OomKillDisable and not host.features.oom_kill_disable:
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
        hc.OomKillDisable = False
    if hc.OomKillDisable is None and host.features.oom_kill_disable:
        hc.OomKillDisable = False
    refuse(
        not -1000 <= hc.OomScoreAdj <= 1000, f"Invalid value {hc.OomScoreAdj}, range for oom score adj is [-1000, 1000]"
    )
    refuse(hc.ShmSize < 0, "SHM size can not be less than 0")


def cpu(hc: HostConfig, host: Host) -> None:
    """Shares and quotas of the processors, and which of them may be used."""
    refuse(hc.NanoCpus > 0 < hc.CpuPeriod, "Conflicting options: Nano CPUs and CPU Period cannot both be set")
    refuse(hc.NanoCpus > 0 < hc.CpuQuota, "Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    refuse(
        hc.NanoCpus < 0 or hc.NanoCpus > host.cpus * 1_000_000_000 or 0 < hc.NanoCpus < 10_000_000,
        f"range of CPUs is from 0.01 to {host.cpus}.00, as there are only {host.cpus} CPUs available",
    )
    refuse(
        hc.CpuPeriod != 0 and not 1000 <= hc.CpuPeriod <= 1_000_000,
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
    )
    refuse(0 < hc.CpuQuota < 1000, "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    refuse(hc.CpuShares < 0, f"invalid CPU shares ({hc.CpuShares}): value must be a positive integer")
    quota = hc.NanoCpus or hc.CpuPeriod or hc.CpuQuota
    require(host.features.cpu_quota or not quota, "CPU limits are", "its kernel has no CPU CFS scheduler quota")
    require(host.features.cpu_shares or not hc.CpuShares, "CPU shares are", "it has no cpu cgroup")
    realtime = hc.CpuRealtimePeriod or hc.CpuRealtimeRuntime
    require(host.features.cpu_realtime or not realtime, "real-time scheduling is", "its kernel has no such limit")
    refuse(
        0 < hc.CpuRealtimePeriod < hc.CpuRealtimeRuntime,
        "cpu real-time runtime cannot be higher than cpu real-time period",
    )
    _cpuset(hc, host)


def _cpuset(hc: HostConfig, host: Host) -> None:
    for kind, value in (("cpus", hc.CpusetCpus), ("mems", hc.CpusetMems)):
        if value:
            shown = printable(value)
            refuse(not _CPU_LIST.fullmatch(value), f"Invalid value {shown} for cpuset {kind}: invalid format: {shown}")
            require(host.features.cpuset, f"cpuset {kind} are", "it has no cpuset cgroup")
    _available("CPUs", hc.CpusetCpus, os.cpu_count() or 1)
    _available("memory nodes", hc.CpusetMems, host.memory_nodes)


def _available(what: str, wanted: str, count: int) -> None:
    """Raises InvalidArgument when a list names more than there is."""
    last = f"0-{count - 1}" if count > 1 else "0"
    refuse(
        any(int(number) >= count for number in re.findall(r"\d+", wanted)),
        f"Requested {what} are not available - requested {wanted}, available: {last}",
    )


def processes_and_io(hc: HostConfig, host: Host, warnings: list[str]) -> None:
    """The number of processes, and the weight of block IO."""
    for value, what in ((hc.IOMaximumBandwidth, "bandwidth"), (hc.IOMaximumIOps, "IOPs")):
        refuse(value != 0, f"invalid QoS settings: linux does not support configuration of maximum {what}")
    for value, name in ((hc.CpuCount, "CpuCount"), (hc.CpuPercent, "CpuPercent")):
        if value:
            warnings.append(f"{name} is only supported on Windows. It has no effect here.")
    if hc.PidsLimit is not None and hc.PidsLimit <= 0:
        hc.PidsLimit = None
    require(host.features.pids or not hc.PidsLimit, "a limit of processes is", "it has no pids cgroup")
    if hc.BlkioWeight and not host.features.io_weight:
        warnings.append(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."
        )  # fmt: skip
        hc.BlkioWeight = 0
    refuse(
        hc.BlkioWeight != 0 and not 10 <= hc.BlkioWeight <= 1000, "Range of blkio weight is from 10 to 1000"
    )  # fmt: skip


def block_devices(hc: HostConfig, host: Host, warnings: list[str]) -> None:
    """Weights and rates of single block devices."""
    features = host.features
    for entry in hc.BlkioWeightDevice or ():
        refuse(not 10 <= entry.Weight <= 1000, f"invalid weight for device: {entry.Path}:{entry.Weight}")
    if hc.BlkioWeightDevice and not features.io_weight:
        warnings.append(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
            "Weight-device discarded."
        )
        hc.BlkioWeightDevice = []
    for entries in (hc.BlkioDeviceReadBps, hc.BlkioDeviceWriteBps, hc.BlkioDeviceReadIOps, hc.BlkioDeviceWriteIOps):
        for item in entries or ():
            refuse(item.Rate < 0, f"invalid rate for device: {item.Path}:{item.Rate}")
            require(features.io_throttle, "block IO limits are", "it has no blkio or io cgroup")
    for path in (entry.Path for entry in (*(hc.BlkioWeightDevice or ()), *(hc.BlkioDeviceReadBps or ()))):
        refuse(not path.startswith("/") or "\0" in path, f"bad format for device path: {printable(path)}")


def ulimits(hc: HostConfig) -> None:
    """The limits of setrlimit(2)."""
    names: set[str] = set()
    for limit in hc.Ulimits or ():
        refuse(limit.Name not in ULIMITS, f"invalid ulimit type: {printable(limit.Name)}")
        refuse(limit.Name in names, f"ulimit {limit.Name} is given twice")
        refuse(
            limit.Hard != -1 and (limit.Soft > limit.Hard or limit.Soft == -1),
            f"ulimit soft limit must be less than or equal to hard limit: {limit.Soft} > {limit.Hard}",
        )
        names.add(limit.Name)


def health(config: HealthConfig) -> None:
    """Raises InvalidArgument for times or a number of retries that make no sense."""
    for name in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        refuse(
            getattr(config, name) != 0 and getattr(config, name) < MIN_DURATION_NS,
            f"{name} in Healthcheck cannot be less than 1ms",
        )
    refuse(config.Retries < 0, "Retries in Healthcheck cannot be negative")
