"""What running containers use, as `docker stats` shows it: samples of their control groups and of their network.

A sample is taken when somebody asks, once a second while somebody listens, and never otherwise.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any, Final

from cais.engine import resources
from cais.engine.container import Condition, Container
from cais.engine.host import Host
from cais.engine.models import Record, timestamp
from cais.engine.settings import Settings
from cais.runtime.cgroups import CgroupError, Stats
from cais.runtime.cgroups.interface import DeviceIo

Json = dict[str, Any]

INTERVAL_SECONDS: Final = 1.0
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_OLD_BLKIO: Final = (
    "io_queue_recursive", "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive",
    "io_time_recursive", "sectors_recursive",
)  # fmt: skip
_NETWORK: Final = (
    ("rx_bytes", 0), ("rx_packets", 1), ("rx_errors", 2), ("rx_dropped", 3),
    ("tx_bytes", 8), ("tx_packets", 9), ("tx_errors", 10), ("tx_dropped", 11),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """What a container used at one moment, beside what the whole host did."""

    time_ns: int
    stats: Stats
    host_cpu_ns: int
    online_cpus: int
    networks: dict[str, dict[str, int]] | None


async def stream(container: Container, host: Host, settings: Settings) -> AsyncGenerator[Json, None]:
    """A sample at once and one each second, until the container is removed; empty ones while it does not run."""
    removed = container.wait(Condition.REMOVED)
    before: Sample | None = None
    try:
        while not removed.done():
            sample = await _take(container, settings)
            yield answer(container, host, sample, before)
            before = sample
            await asyncio.wait({removed}, timeout=INTERVAL_SECONDS)
    finally:
        removed.cancel()


async def once(container: Container, host: Host, settings: Settings, one_shot: bool = False) -> Json:
    """One sample, and unless it is `one_shot` one of a second before, to see how busy the container is."""
    before = None if one_shot else await _take(container, settings)
    if before is not None:
        await asyncio.sleep(INTERVAL_SECONDS)
    return answer(container, host, await _take(container, settings), before)


async def _take(container: Container, settings: Settings) -> Sample | None:
    """A sample; None when the container does not run."""
    if container.monitor is None:
        return None
    try:
        return await asyncio.to_thread(_read, container.record, container.record.state.pid, settings)
    except CgroupError:
        return None


def _read(record: Record, pid: int, settings: Settings) -> Sample:
    used = resources.stats(record, settings)
    with open("/proc/stat", encoding="ascii") as file:
        host_cpu_ns, online = host_cpu(file)
    networks = None if record.host_config.NetworkMode == "host" else _networks(pid)
    return Sample(time.time_ns(), used, host_cpu_ns, online, networks)


def host_cpu(lines: Iterable[str]) -> tuple[int, int]:
    """The time that all processors have spent, idle or not, and how many there are, from /proc/stat. proc_stat(5)."""
    total = online = 0
    for line in lines:
        if not line.startswith("cpu"):
            break
        name, *fields = line.split()
        if name == "cpu":
            total = sum(map(int, fields[:8])) * _TICK_NS
        else:
            online += 1
    return total, online


def _networks(pid: int) -> dict[str, dict[str, int]] | None:
    try:
        with open(f"/proc/{pid}/net/dev", encoding="utf-8", errors="replace") as file:
            return parse_network(file)
    except OSError:
        return None


def parse_network(lines: Iterable[str]) -> dict[str, dict[str, int]] | None:
    """The counters of each link but the loopback, from /proc/PID/net/dev; None when there is no other."""
    found = {}
    for line in lines:
        name, colon, rest = line.strip().partition(":")
        fields = rest.split()
        if colon and name != "lo" and len(fields) >= 12:
            found[name] = {key: int(fields[place]) for key, place in _NETWORK}
    return found or None


def answer(container: Container, host: Host, sample: Sample | None, before: Sample | None) -> Json:
    """ContainerStatsResponse. Of a container that does not run only name and id are told."""
    result: Json = {
        "read": timestamp(sample.time_ns if sample else 0),
        "preread": timestamp(before.time_ns if before and sample else 0),
        "pids_stats": _pids(sample.stats) if sample else {},
        "blkio_stats": _blkio(sample.stats, host) if sample else _blkio(None, host),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(sample, host),
        "precpu_stats": _cpu(before if sample else None, host),
        "memory_stats": _memory(sample.stats, host) if sample else {},
        "name": f"/{container.name}",
        "id": container.id,
    }
    if sample and sample.networks:
        result["networks"] = sample.networks
    return result


def _pids(stats: Stats) -> Json:
    return {"current": stats.pids_current, **({"limit": stats.pids_limit} if stats.pids_limit else {})}


def _cpu(sample: Sample | None, host: Host) -> Json:
    stats = sample.stats if sample else Stats()
    usage: Json = {
        "total_usage": stats.cpu_total_ns,
        "usage_in_kernelmode": stats.cpu_system_ns,
        "usage_in_usermode": stats.cpu_user_ns,
    }
    if host.features.version == 1 and sample:
        usage["percpu_usage"] = stats.cpu_each_ns[: sample.online_cpus]
    result: Json = {
        "cpu_usage": usage,
        "throttling_data": {
            "periods": stats.cpu_periods,
            "throttled_periods": stats.cpu_throttled_periods,
            "throttled_time": stats.cpu_throttled_ns,
        },
    }
    if sample:
        result |= {"system_cpu_usage": sample.host_cpu_ns, "online_cpus": sample.online_cpus}
    return result


def _memory(stats: Stats, host: Host) -> Json:
    limit = host.memory_bytes if stats.memory_limit_bytes is None else min(stats.memory_limit_bytes, host.memory_bytes)
    result: Json = {"usage": stats.memory_usage_bytes, "stats": dict(stats.memory), "limit": limit}
    if host.features.version == 1:
        result["max_usage"] = stats.memory_max_usage_bytes
        if stats.memory_failures:
            result["failcnt"] = stats.memory_failures
    return result


def _blkio(stats: Stats | None, host: Host) -> Json:
    if stats is None or host.features.version != 1:
        old: Json = dict.fromkeys(("io_serviced_recursive", *_OLD_BLKIO))
        return {"io_service_bytes_recursive": None if stats is None else _devices(stats.io_bytes), **old}
    return {
        "io_service_bytes_recursive": _devices(stats.io_bytes),
        "io_serviced_recursive": _devices(stats.io_operations),
        **{name: [] for name in _OLD_BLKIO},
    }


def _devices(entries: tuple[DeviceIo, ...]) -> list[Json]:
    return [
        {"major": entry.major, "minor": entry.minor, "op": entry.operation, "value": entry.value} for entry in entries
    ]
