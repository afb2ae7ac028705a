"""What is in force for a running container, as the kernel says: each section beside what was asked for.

Everything here blocks, and is called in a thread. A reader raises OSError when the container has ended meanwhile.
"""

import os
import time
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from cais.engine import explain_proc as proc
from cais.engine import resources
from cais.engine.explain_models import (
    CpuLimit,
    IoLimit,
    IoRate,
    Limits,
    MemoryLimit,
    Mount,
    Namespace,
    Network,
    PidsLimit,
    Processes,
    Security,
    UlimitUse,
)
from cais.engine.explain_planned import CONTAINER, HOST, PRIVATE, added, dropped
from cais.engine.explain_proc import MountLine, Rlimit
from cais.runtime.cgroups import Cgroup, Stats
from cais.runtime.cgroups import Limits as GroupLimits

MOST_PROCESSES: Final = 200
MEASURED_SECONDS: Final = 0.2

_USED_SIZES: Final = {"memlock": "VmLck", "as": "VmSize", "data": "VmData", "stack": "VmStk"}
_EXTENDED: Final = ("/dev", "/sys/fs/cgroup")


def namespaces(pid: int, wanted: Iterable[Namespace], others: Mapping[str, int]) -> list[Namespace]:
    """The namespaces of a process. `others`: the first processes of the other running containers, by name."""
    own, engine = proc.namespace_inodes(pid), proc.namespace_inodes("self")
    theirs = {}
    for name, other in others.items():
        try:
            theirs[name] = proc.namespace_inodes(other)
        except OSError:
            continue  # it has ended
    found = []
    for item in wanted:
        inode = own.get(item.kind, 0)
        if not inode:
            continue  # the kernel has no such namespaces
        partners: list[str] = []
        if inode == engine.get(item.kind):
            sharing = HOST
        else:
            partners = sorted(name for name, inodes in theirs.items() if inodes.get(item.kind) == inode)
            sharing = CONTAINER if partners else PRIVATE
        found.append(Namespace(kind=item.kind, inode=inode, sharing=sharing, shared_with=partners, wanted=item.wanted))
    return found


def processes(pid: int, pids: list[int]) -> Processes:
    """The processes of a container, by their host pids; those that have just ended are left out."""
    first = proc.parse_status(proc.read(pid, "status"))
    level = proc.pid_level(first)
    shown = []
    for number in pids[:MOST_PROCESSES]:
        try:
            shown.append(proc.process(number, level))
        except (OSError, KeyError):
            continue
    return Processes(monitor_pid=int(first["PPid"]), count=len(pids), shown=shown)


def limits(pid: int, pids: list[int], group: Cgroup, wanted: Limits, measure: bool) -> Limits:
    """The limits in force and what is used of them. With `measure`, it is watched for a moment what the processors do.

    Raises CgroupError.
    """
    before, started = group.stats(), time.monotonic()
    used_cpus = None
    if measure:
        time.sleep(MEASURED_SECONDS)
        after = group.stats()
        used_cpus = (after.cpu_total_ns - before.cpu_total_ns) / 1e9 / (time.monotonic() - started)
    else:
        after = before
    own, above = group.limits(), _above(group.path)
    return Limits(
        cgroup=group.path,
        memory=_memory(own, after, wanted.memory, above, group.oom_kills()),
        cpu=_cpu(own, after, wanted.cpu, used_cpus),
        pids=_pids(own, after, wanted.pids, above),
        io=_io(own, after),
        ulimits=_ulimits(pid, pids, wanted.ulimits),
    )


def _above(path: str) -> dict[str, GroupLimits]:
    """The limits of the groups above, by their paths, nearest first."""
    found = {}
    parent = os.path.dirname(path)
    while parent != "/":
        found[parent] = resources.group_at(parent).limits()
        parent = os.path.dirname(parent)
    return found


def _narrowest(own: int | None, above: Mapping[str, int | None]) -> tuple[int | None, str]:
    """The limit that counts, and the group above that it comes from; "" where it is the container's own."""
    limit, origin = own, ""
    for path, value in above.items():
        if value is not None and (limit is None or value < limit):
            limit, origin = value, path
    return limit, origin


def _memory(
    own: GroupLimits, stats: Stats, wanted: MemoryLimit, above: Mapping[str, GroupLimits], kills: int
) -> MemoryLimit:
    limit, origin = _narrowest(own.memory_bytes, {path: item.memory_bytes for path, item in above.items()})
    return MemoryLimit(
        limit_bytes=limit,
        wanted_bytes=wanted.wanted_bytes,
        limited_by=origin,
        used_bytes=stats.memory_usage_bytes,
        peak_bytes=stats.memory_max_usage_bytes,
        cache_bytes=stats.memory_inactive_file_bytes,
        swap_limit_bytes=own.memory_swap_bytes,
        wanted_swap_bytes=wanted.wanted_swap_bytes,
        swap_used_bytes=own.memory_swap_usage_bytes,
        reservation_bytes=own.memory_reservation_bytes,
        swappiness=own.swappiness,
        failures=stats.memory_failures,
        oom_kills=kills,
        oom_kill_disabled=own.oom_kill_disabled,
    )


def _cpu(own: GroupLimits, stats: Stats, wanted: CpuLimit, used_cpus: float | None) -> CpuLimit:
    quota, period = own.cpu_quota_us, own.cpu_period_us
    return CpuLimit(
        cpus=quota / period if quota and period else None,
        wanted_cpus=wanted.wanted_cpus,
        quota_us=quota,
        period_us=period,
        host_cpus=wanted.host_cpus,
        used_cpus=used_cpus,
        total_ns=stats.cpu_total_ns,
        periods=stats.cpu_periods,
        throttled_periods=stats.cpu_throttled_periods,
        throttled_ns=stats.cpu_throttled_ns,
        shares=own.cpu_shares,
        weight=own.cpu_weight,
        allowed=own.cpus,
        memory_nodes=own.mems,
    )


def _pids(own: GroupLimits, stats: Stats, wanted: PidsLimit, above: Mapping[str, GroupLimits]) -> PidsLimit:
    limit, origin = _narrowest(own.pids, {path: item.pids for path, item in above.items()})
    return PidsLimit(
        limit=limit, wanted=wanted.wanted, limited_by=origin, used=stats.pids_current, refused=own.pids_refused
    )


def _io(own: GroupLimits, stats: Stats) -> IoLimit:
    return IoLimit(
        weight=own.io_weight,
        rates=[IoRate(device=f"{item.major}:{item.minor}", kind=item.kind, rate=item.rate) for item in own.throttles],
        read_bytes=stats.io_read_bytes,
        written_bytes=stats.io_write_bytes,
    )


def _ulimits(pid: int, pids: Iterable[int], wanted: Iterable[UlimitUse]) -> list[UlimitUse]:
    asked = {item.name: item for item in wanted}
    used = _nearest(list(pids)[:MOST_PROCESSES])
    found = []
    for name, limit in proc.parse_limits(proc.read(pid, "limits")).items():
        wish = asked.get(name)
        found.append(_ulimit(name, limit, wish, used.get(name)))
    return found


def _ulimit(name: str, limit: Rlimit, wish: UlimitUse | None, used: int | None) -> UlimitUse:
    return UlimitUse(
        name=name,
        unit=limit.unit,
        soft=limit.soft,
        hard=limit.hard,
        wanted_soft=wish.wanted_soft if wish else None,
        wanted_hard=wish.wanted_hard if wish else None,
        was_asked=wish is not None,
        used=used,
    )


def _nearest(pids: Iterable[int]) -> dict[str, int]:
    """The most that any of the processes uses of what is limited for each of them."""
    found: dict[str, int] = {}
    for pid in pids:
        try:
            status = proc.parse_status(proc.read(pid, "status"))
            used = {name: proc.kilobytes(status, field) for name, field in _USED_SIZES.items()}
            used["nofile"] = proc.open_files(pid)
        except OSError:
            continue
        found = {name: max(value, found.get(name, 0)) for name, value in used.items()}
    return found


def mounts(pid: int, wanted: list[Mount], hidden: Iterable[str]) -> list[Mount]:
    """The mounts that the process sees, and those that were asked for and are not at their paths."""
    lines = proc.parse_mountinfo(proc.read(pid, "mountinfo"))
    masked = set(hidden)
    found = [_mount(line, wanted, masked) for line in lines]
    there = {line.destination for line in lines}
    missing = [
        msgspec.structs.replace(item, missing=True, made=False) for item in wanted if item.destination not in there
    ]
    return found + missing


def _mount(line: MountLine, wanted: Iterable[Mount], masked: set[str]) -> Mount:
    planned = {item.destination: item for item in wanted}
    origin = "inside"
    source = line.source
    if line.destination == "/":
        origin = "root"
    elif line.destination in planned:
        item = planned[line.destination]
        origin, source = item.origin, item.source if item.type == "bind" else source
    elif line.destination in masked:
        origin = "hidden"
    elif any(line.destination.startswith(f"{path}/") for path in _EXTENDED):
        origin = "default"
    elif any(line.destination.startswith(f"{item.destination}/") for item in wanted if item.origin == "user"):
        origin = "user"  # it came with a bind mount
    return Mount(destination=line.destination, type=line.type, source=source, options=list(line.options), origin=origin)


def network(pid: int, wanted: Network) -> Network:
    """The interfaces of the namespace that the process is in."""
    return msgspec.structs.replace(wanted, interfaces=proc.interfaces(pid))


def security(pid: int, wanted: Security, found: Iterable[Mount]) -> Security:
    """What the process may do, by its own status and by what is mounted over the paths that are to be hidden."""
    status = proc.parse_status(proc.read(pid, "status"))
    bounding = proc.capabilities(status["CapBnd"])
    over = {item.destination: item for item in found if not item.missing}
    masked = [path for path in wanted.masked_paths if path in over]
    readonly = [path for path in wanted.readonly_paths if path in over and "ro" in over[path].options]
    asked = (*wanted.masked_paths, *wanted.readonly_paths)
    exposed = [path for path in asked if path not in masked and path not in readonly and os.path.lexists(path)]
    uids, gids = status["Uid"].split(), status["Gid"].split()
    return msgspec.structs.replace(
        wanted,
        uid=int(uids[1]),
        gid=int(gids[1]),
        groups=[int(text) for text in status.get("Groups", "").split()],
        capabilities=bounding,
        added=added(bounding),
        dropped=dropped(bounding),
        effective=proc.capabilities(status["CapEff"]),
        seccomp_filters=int(status.get("Seccomp_filters", "0")),
        no_new_privileges=status.get("NoNewPrivs") == "1",
        masked_paths=masked,
        readonly_paths=readonly,
        exposed_paths=exposed,
        oom_score_adj=int(proc.read(pid, "oom_score_adj")),
    )
