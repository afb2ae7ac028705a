"""What the runtime asks of cgroups, whatever version the host has mounted.

A `Hierarchy` is the host's whole arrangement, found once by `open_hierarchy`; a `Cgroup` is one group
in it: the same path (like "/cais/ID") in every hierarchy that is mounted. Both are plain data: they hold
no descriptor and may be used in a forked child. Nothing here is imported late.
"""

from dataclasses import dataclass
from typing import Protocol

from cais.errors import CaisError
from cais.runtime.cgroups.resources import Resources, Throttle


class CgroupError(CaisError):
    """The kernel, or the way it is set up, refuses something about a group.

    The message names the file and the value; `errno` is the kernel's answer, None where it was not asked.
    """

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


@dataclass(frozen=True, slots=True)
class Write:
    """One step of what a group's limits are: `value` goes into `file` of the group's folder of `controller`.

    Where the kernel has no such file, `fallback` (a file and its value) is written instead; where there is none,
    `optional` decides whether that is an error.
    """

    controller: str
    file: str
    value: str
    optional: bool = False
    fallback: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Mounts:
    """What a container sees at /sys/fs/cgroup.

    version 1: a tmpfs with each `binds` (name, the group's own folder on the host) bound read-only, and each
    `links` (name, target) as a symbolic link. version 2: a cgroup2 mount; `binds` and `links` are empty.
    """

    version: int
    binds: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceIo:
    """A figure of one block device. `operation` is "read" or "write", and on version 1 also "sync" and others."""

    major: int
    minor: int
    operation: str
    value: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What a group uses now. A limit is None where there is none; a figure is 0 where its controller is missing.

    `memory` is the kernel's own table, memory.stat; version 2 has no `memory_failures` and no `cpu_each_ns`.
    """

    memory_usage_bytes: int = 0
    memory_max_usage_bytes: int = 0
    memory_inactive_file_bytes: int = 0
    memory_limit_bytes: int | None = None
    cpu_total_ns: int = 0
    cpu_user_ns: int = 0
    cpu_system_ns: int = 0
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_ns: int = 0
    pids_current: int = 0
    pids_limit: int | None = None
    io_read_bytes: int = 0
    io_write_bytes: int = 0
    io_reads: int = 0
    io_writes: int = 0
    memory: tuple[tuple[str, int], ...] = ()
    memory_failures: int = 0
    cpu_each_ns: tuple[int, ...] = ()
    io_bytes: tuple[DeviceIo, ...] = ()
    io_operations: tuple[DeviceIo, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a group, as the kernel has them. None or "": there is none, or its controller is missing.

    `memory_swap_bytes` is of memory and swap together, and so is `memory_swap_usage_bytes`. A share of the processors
    is `cpu_shares` on version 1 and `cpu_weight` on version 2. `cpus` and `mems` are what may be used in effect.
    `pids_refused`: how often the limit let no process be made.
    """

    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    memory_swap_usage_bytes: int | None = None
    memory_reservation_bytes: int | None = None
    swappiness: int | None = None
    oom_kill_disabled: bool = False
    cpu_shares: int | None = None
    cpu_weight: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    cpus: str = ""
    mems: str = ""
    pids: int | None = None
    pids_refused: int = 0
    io_weight: int | None = None
    throttles: tuple[Throttle, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """What this host can limit. An engine asks before it passes on what a user wants."""

    version: int
    memory: bool
    swap: bool
    memory_reservation: bool
    swappiness: bool
    oom_kill_disable: bool
    cpu_shares: bool
    cpu_quota: bool
    cpu_realtime: bool
    cpuset: bool
    pids: bool
    io_weight: bool
    io_throttle: bool
    devices: bool


class Cgroup(Protocol):
    """One group. Each method raises CgroupError unless it says otherwise."""

    @property
    def path(self) -> str:
        """Where it is in every hierarchy: "/cais/ID"."""

    def add(self, pid: int) -> None:
        """Move the process `pid` (0: the caller) into the group, in every hierarchy."""

    def entries(self) -> list[int]:
        """A new descriptor in every hierarchy, for `files.enter`.

        On version 1 to enter spares the grace period of 6 to 14 ms that moving any process by its pid costs.
        """

    def directory_fd(self) -> int | None:
        """A new descriptor of the cgroup2 folder, for CLONE_INTO_CGROUP; None without cgroup2. The caller closes it."""

    def update(self, resources: Resources) -> None:
        """Change the limits that `resources` names; the others stay. Device rules are fixed at creation."""

    def pids(self) -> list[int]:
        """Every process in the group and in groups below it; empty when the group is gone."""

    def kill(self) -> None:
        """Send SIGKILL to every process of `pids()`, frozen and just forked ones included; a missing group is fine."""

    def freeze(self) -> None:
        """Stop every process; returns when they all stand still."""

    def thaw(self) -> None:
        """Let the processes go on."""

    def frozen(self) -> bool:
        """Whether the processes stand still, or are about to."""

    def oom_kills(self) -> int:
        """How many processes the kernel killed here for want of memory; 0 where that isn't known."""

    def oom_event_fd(self) -> int | None:
        """A new non-blocking descriptor that becomes readable when memory runs out (and perhaps when the group is
        removed): read it empty, then ask `oom_kills()`. None without the memory controller. The caller closes it."""

    def stats(self) -> Stats:
        """What the group uses now."""

    def limits(self) -> Limits:
        """The limits that are in force for the group itself; a parent's may be narrower."""

    def remove(self) -> None:
        """Remove the group and every group below it, waiting up to a second for dying processes; missing is fine."""

    def mounts(self) -> Mounts:
        """What a container in this group sees at /sys/fs/cgroup."""


class Hierarchy(Protocol):
    """The host's cgroups."""

    @property
    def version(self) -> int:
        """1 or 2, as Docker reports it: a hybrid whose controllers are on version 1 is 1."""

    @property
    def controllers(self) -> frozenset[str]:
        """Every controller that can be used here, in its version 1 name where both exist (blkio, cpuacct)."""

    def features(self) -> Features:
        """What can be limited here."""

    def plan(self, resources: Resources) -> tuple[Write, ...]:
        """What `create` will write for `resources`, device rules of cgroup2 excepted."""

    def create(self, path: str, resources: Resources) -> Cgroup:
        """Make the group `path` with its parents, its limits and its device rules.

        Raises CgroupError and leaves nothing of the group behind when a limit can't be set or its controller is
        missing. An empty group of that name is replaced; one with processes is an error.
        """

    def open(self, path: str) -> Cgroup:
        """The group `path`, which is taken to exist."""

    def children(self, path: str) -> set[str]:
        """The names of the groups directly below `path`."""
