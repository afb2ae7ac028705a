"""What `stats` shows of one reading, with the arithmetic of Docker's client."""

from __future__ import annotations

from cais.cli.formats import Columns
from cais.cli.units import human_binary_size, human_size, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import CpuStats, MemoryStats, Stats

_NOTHING = "--"

COLUMNS = Columns(
    "container.statsContext",
    {
        "Container": "CONTAINER",
        "Name": "NAME",
        "ID": "CONTAINER ID",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
)


def fields(container: str, stats: Stats | None, *, whole: bool, is_old: bool = False) -> Row:
    """What is shown of a container. None: nothing has come of it; `is_old`: nothing lately."""
    stats = stats or {}
    identifier, name = stats.get("id", ""), stats.get("name", "")
    known: Row = {
        "Container": container,
        "ID": identifier if whole else short_id(identifier),
        "Name": name[1:] if len(name) > 1 else _NOTHING,
    }
    if is_old or not stats:
        unknown = dict.fromkeys(("BlockIO", "CPUPerc", "MemPerc", "NetIO", "PIDs"), _NOTHING)
        return {**known, **unknown, "MemUsage": f"{_NOTHING} / {_NOTHING}"}
    memory = stats.get("memory_stats", {})
    used, limit = memory_used(memory), memory.get("limit", 0)
    received, sent = _network(stats)
    read, written = _blocks(stats)
    return {
        **known,
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "CPUPerc": _percentage(cpu_percent(stats.get("precpu_stats", {}), stats.get("cpu_stats", {}))),
        "MemPerc": _percentage(used / limit * 100.0 if limit else 0.0),
        "MemUsage": f"{human_binary_size(used)} / {human_binary_size(limit)}",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "PIDs": str(stats.get("pids_stats", {}).get("current", 0)),
    }


def cpu_percent(before: CpuStats, now: CpuStats) -> float:
    """Of one processor: the container's share of the machine's time, times the number of processors."""
    usage, usage_before = now.get("cpu_usage", {}), before.get("cpu_usage", {})
    own = usage.get("total_usage", 0) - usage_before.get("total_usage", 0)
    machine = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    processors = now.get("online_cpus", 0) or len(usage.get("percpu_usage") or [])
    return own / machine * processors * 100.0 if own > 0 and machine > 0 else 0.0


def memory_used(memory: MemoryStats) -> int:
    """Without the page cache that can be given up at once: version 1 of control groups counts it under another name."""
    usage, details = memory.get("usage", 0), memory.get("stats") or {}
    for name in ("total_inactive_file", "inactive_file"):
        inactive = details.get(name)
        if inactive is not None and inactive < usage:
            return usage - inactive
    return usage


def _network(stats: Stats) -> tuple[int, int]:
    interfaces = (stats.get("networks") or {}).values()
    return sum(one.get("rx_bytes", 0) for one in interfaces), sum(one.get("tx_bytes", 0) for one in interfaces)


def _blocks(stats: Stats) -> tuple[int, int]:
    read = written = 0
    for entry in stats.get("blkio_stats", {}).get("io_service_bytes_recursive") or []:
        kind = entry.get("op", "")[:1].lower()
        read += entry.get("value", 0) if kind == "r" else 0
        written += entry.get("value", 0) if kind == "w" else 0
    return read, written


def _percentage(number: float) -> str:
    return f"{number:.2f}%"
