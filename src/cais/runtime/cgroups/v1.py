"""cgroup version 1: one hierarchy for each controller, or for several that are mounted together.

https://docs.kernel.org/admin-guide/cgroup-v1/
"""

import errno
import os
import time
from dataclasses import dataclass

from cais.runtime.cgroups import files
from cais.runtime.cgroups.devices import effective, v1_writes
from cais.runtime.cgroups.interface import Cgroup, CgroupError, DeviceIo, Features, Limits, Mounts, Stats, Write
from cais.runtime.cgroups.resources import BlockIo, Cpu, Memory, Resources, Throttle

# Limits at or above it mean "none": the kernel rounds "-1" down to whole pages
_UNLIMITED = (1 << 63) - (1 << 20)
_FREEZE_SECONDS = 5.0
_KILL_ROUNDS = 100
_THROTTLE_FILES = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}


@dataclass(frozen=True, slots=True)
class V1Mount:
    """One hierarchy: its mount point, its controllers, and its name if it has one (like "systemd")."""

    point: str
    controllers: tuple[str, ...] = ()
    name: str | None = None

    @property
    def basename(self) -> str:
        """The folder it is seen as, in a container too."""
        return os.path.basename(self.point)


@dataclass(frozen=True, slots=True)
class V1Hierarchy:
    """Every hierarchy of version 1 that is mounted."""

    mounts: tuple[V1Mount, ...]
    version: int = 1

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(name for mount in self.mounts for name in mount.controllers)

    def root(self, controller: str) -> str | None:
        """The mount point of a controller."""
        for mount in self.mounts:
            if controller in mount.controllers:
                return mount.point
        return None

    def accounts_swap(self) -> bool:
        """Whether memory with swap can be limited: the kernel's swapaccount option."""
        return os.path.exists(f"{self.root('memory')}/memory.memsw.limit_in_bytes")

    def features(self) -> Features:
        def has(controller: str, *names: str) -> bool:
            root = self.root(controller)
            return root is not None and any(os.path.exists(f"{root}/{name}") for name in names or ("cgroup.procs",))

        return Features(
            version=self.version,
            memory=has("memory", "memory.limit_in_bytes"),
            swap=self.accounts_swap(),
            memory_reservation=has("memory", "memory.soft_limit_in_bytes"),
            swappiness=has("memory", "memory.swappiness"),
            oom_kill_disable=has("memory", "memory.oom_control"),
            cpu_shares=has("cpu", "cpu.shares"),
            cpu_quota=has("cpu", "cpu.cfs_quota_us"),
            cpu_realtime=has("cpu", "cpu.rt_runtime_us"),
            cpuset=has("cpuset"),
            pids=has("pids"),
            io_weight=has("blkio", "blkio.weight", "blkio.bfq.weight"),
            io_throttle=has("blkio", "blkio.throttle.read_bps_device"),
            devices=has("devices"),
        )

    def plan(self, resources: Resources) -> tuple[Write, ...]:
        if resources.unified:
            key = resources.unified[0][0]
            raise CgroupError(f'cannot set "{key}": unified resources need cgroup version 2')
        writes = limit_writes(resources, swap=self.accounts_swap())
        require(writes, self.controllers)
        if "devices" in self.controllers:
            writes += v1_writes(effective(resources.devices))
        return tuple(writes)

    def create(self, path: str, resources: Resources) -> Cgroup:
        files.check_path(path)
        plan = self.plan(resources)
        made: list[str] = []
        try:
            for mount in self.mounts:
                files.make(mount.point, path)
                made.append(mount.point + path)
                if "cpuset" in mount.controllers:
                    _inherit_cpuset(mount.point, path)
                files.write_all(mount.point + path, (item for item in plan if item.controller in mount.controllers))
        except BaseException:
            files.remove(made, wait_seconds=0)
            raise
        return V1Cgroup(self, path)

    def open(self, path: str) -> Cgroup:
        return V1Cgroup(self, files.check_path(path))

    def children(self, path: str) -> set[str]:
        files.check_path(path)
        return {name for mount in self.mounts for name in files.subgroups(mount.point + path)}


@dataclass(frozen=True, slots=True)
class V1Cgroup:
    """One group: the same path in each hierarchy."""

    hierarchy: V1Hierarchy
    path: str

    def directory(self, controller: str) -> str | None:
        """The group's folder of a controller."""
        root = self.hierarchy.root(controller)
        return None if root is None else root + self.path

    def directories(self) -> list[str]:
        """The group's folders in every hierarchy."""
        return [mount.point + self.path for mount in self.hierarchy.mounts]

    def add(self, pid: int) -> None:
        value = str(pid)
        for directory in self.directories():
            files.write(f"{directory}/cgroup.procs", value)

    def entries(self) -> list[int]:
        # A thread that moves itself needs no look at its siblings, so the kernel takes no lock that waits for every
        # CPU (cgroup_procs_write_start in kernel/cgroup/cgroup.c); "tasks" takes threads, "cgroup.procs" does not.
        return [files.entry(f"{directory}/tasks") for directory in self.directories()]

    def directory_fd(self) -> int | None:
        return None

    def update(self, resources: Resources) -> None:
        memory = self.directory("memory")
        old_swap = files.read_number(f"{memory}/memory.memsw.limit_in_bytes") if memory else None
        writes = limit_writes(resources, swap=old_swap is not None, old_swap_bytes=old_swap)
        require(writes, self.hierarchy.controllers)
        for item in writes:
            directory = self.directory(item.controller)
            files.write_all(f"{directory}", (item,))

    def pids(self) -> list[int]:
        # A hierarchy of our own choice: all of them hold the same processes
        return files.pids(self._main_directory())

    def kill(self) -> None:
        freezer = self.directory("freezer")
        for _ in range(_KILL_ROUNDS):
            # Frozen, nothing can fork or exit between the list and the signals. That it stands still is not waited
            # for: a process in an uninterruptible wait never does, and the next round finds what was missed.
            _set_frozen(freezer, "FROZEN")
            found = self.pids()
            files.kill_each(found)
            _set_frozen(freezer, "THAWED")
            if not found:
                return
            time.sleep(0.001)

    def freeze(self) -> None:
        directory = self._freezer()
        deadline = time.monotonic() + _FREEZE_SECONDS
        while time.monotonic() < deadline:
            # Asked again and again: a process that forks meanwhile can leave the group half-frozen
            files.write(f"{directory}/freezer.state", "FROZEN")
            for _ in range(20):
                if files.read_lines(f"{directory}/freezer.state") == ["FROZEN"]:
                    return
                time.sleep(0.0005)
        files.write(f"{directory}/freezer.state", "THAWED")
        raise CgroupError(f'freeze cgroup "{directory}": not frozen after {_FREEZE_SECONDS:.0f} s')

    def thaw(self) -> None:
        files.write(f"{self._freezer()}/freezer.state", "THAWED")

    def frozen(self) -> bool:
        return files.read_lines(f"{self._freezer()}/freezer.state") in (["FROZEN"], ["FREEZING"])

    def oom_kills(self) -> int:
        directory = self.directory("memory")
        return files.read_table(f"{directory}/memory.oom_control").get("oom_kill", 0) if directory else 0

    def oom_event_fd(self) -> int | None:
        directory = self.directory("memory")
        if directory is None:
            return None
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                files.write(f"{directory}/cgroup.event_control", f"{event} {control}")
            finally:
                os.close(control)
        except OSError as error:
            os.close(event)
            raise files.failed(f'open "{directory}/memory.oom_control"', error) from error
        except CgroupError:
            os.close(event)
            raise
        return event

    def stats(self) -> Stats:
        memory, cpu, cpuacct = self.directory("memory"), self.directory("cpu"), self.directory("cpuacct")
        pids, blkio = self.directory("pids"), self.directory("blkio")
        throttling = files.read_table(f"{cpu}/cpu.stat")
        io_bytes = _device_io(f"{blkio}/blkio.throttle.io_service_bytes_recursive")
        io_counts = _device_io(f"{blkio}/blkio.throttle.io_serviced_recursive")
        memory_table = files.read_table(f"{memory}/memory.stat")
        each_cpu = " ".join(files.read_lines(f"{cpuacct}/cpuacct.usage_percpu"))
        return Stats(
            memory_usage_bytes=files.read_number(f"{memory}/memory.usage_in_bytes") or 0,
            memory_max_usage_bytes=files.read_number(f"{memory}/memory.max_usage_in_bytes") or 0,
            memory_inactive_file_bytes=memory_table.get("total_inactive_file", 0),
            memory_limit_bytes=_bytes_limit(f"{memory}/memory.limit_in_bytes"),
            cpu_total_ns=files.read_number(f"{cpuacct}/cpuacct.usage") or 0,
            cpu_user_ns=files.read_number(f"{cpuacct}/cpuacct.usage_user") or 0,
            cpu_system_ns=files.read_number(f"{cpuacct}/cpuacct.usage_sys") or 0,
            cpu_periods=throttling.get("nr_periods", 0),
            cpu_throttled_periods=throttling.get("nr_throttled", 0),
            cpu_throttled_ns=throttling.get("throttled_time", 0),
            pids_current=files.read_number(f"{pids}/pids.current") or 0,
            pids_limit=files.read_number(f"{pids}/pids.max"),
            io_read_bytes=_total(io_bytes, "read"),
            io_write_bytes=_total(io_bytes, "write"),
            io_reads=_total(io_counts, "read"),
            io_writes=_total(io_counts, "write"),
            memory=tuple(memory_table.items()),
            memory_failures=files.read_number(f"{memory}/memory.failcnt") or 0,
            cpu_each_ns=tuple(map(int, each_cpu.split())),
            io_bytes=io_bytes,
            io_operations=io_counts,
        )

    def limits(self) -> Limits:
        memory, cpu, cpuset = self.directory("memory"), self.directory("cpu"), self.directory("cpuset")
        pids, blkio = self.directory("pids"), self.directory("blkio")
        quota = files.read_number(f"{cpu}/cpu.cfs_quota_us")
        return Limits(
            memory_bytes=_bytes_limit(f"{memory}/memory.limit_in_bytes"),
            memory_swap_bytes=_bytes_limit(f"{memory}/memory.memsw.limit_in_bytes"),
            memory_swap_usage_bytes=files.read_number(f"{memory}/memory.memsw.usage_in_bytes"),
            memory_reservation_bytes=_bytes_limit(f"{memory}/memory.soft_limit_in_bytes"),
            swappiness=files.read_number(f"{memory}/memory.swappiness"),
            oom_kill_disabled=files.read_table(f"{memory}/memory.oom_control").get("oom_kill_disable", 0) == 1,
            cpu_shares=files.read_number(f"{cpu}/cpu.shares"),
            cpu_quota_us=None if quota is None or quota < 0 else quota,
            cpu_period_us=files.read_number(f"{cpu}/cpu.cfs_period_us"),
            cpus=files.read_first(f"{cpuset}/cpuset.effective_cpus") or files.read_first(f"{cpuset}/cpuset.cpus"),
            mems=files.read_first(f"{cpuset}/cpuset.effective_mems") or files.read_first(f"{cpuset}/cpuset.mems"),
            pids=files.read_number(f"{pids}/pids.max"),
            pids_refused=files.read_table(f"{pids}/pids.events").get("max", 0),
            io_weight=files.read_number(f"{blkio}/blkio.bfq.weight"),
            throttles=tuple(
                item for kind, name in _THROTTLE_FILES.items() for item in _throttles(kind, f"{blkio}/{name}")
            ),
        )

    def remove(self) -> None:
        if busy := files.remove(self.directories()):
            raise CgroupError(f'remove cgroup "{busy[0]}": it still has processes')

    def mounts(self) -> Mounts:
        links = []
        for mount in self.hierarchy.mounts:
            if len(mount.controllers) > 1:
                links += [(name, mount.basename) for name in mount.controllers if name != mount.basename]
        binds = tuple((mount.basename, mount.point + self.path) for mount in self.hierarchy.mounts)
        return Mounts(1, binds, tuple(links))

    def _main_directory(self) -> str:
        return self.directory("freezer") or self.directories()[0]

    def _freezer(self) -> str:
        directory = self.directory("freezer")
        if directory is None:
            raise CgroupError(f'freeze cgroup "{self.path}": the controller "freezer" is not mounted')
        return directory


def limit_writes(resources: Resources, *, swap: bool, old_swap_bytes: int | None = None) -> list[Write]:
    """Every limit but the device rules, in the order in which the kernel takes them.

    Without `swap` accounting a swap limit is dropped, as in Docker. `old_swap_bytes` is the limit that an update
    starts from: of memory and memory with swap, the one that grows must come last or first.
    """
    return [
        *_memory_writes(resources.memory, swap=swap, old_swap_bytes=old_swap_bytes),
        *_cpu_writes(resources.cpu),
        *([] if resources.pids_limit is None else [Write("pids", "pids.max", _or_max(resources.pids_limit))]),
        *_block_io_writes(resources.block_io),
    ]


def require(writes: list[Write], controllers: frozenset[str]) -> None:
    """Raise CgroupError for the first write whose controller the host doesn't have."""
    for item in writes:
        if item.controller not in controllers:
            raise CgroupError(
                f'cannot write "{item.value}" to "{item.file}": the cgroup controller "{item.controller}" is missing '
                "on this host"
            )


def _memory_writes(memory: Memory, *, swap: bool, old_swap_bytes: int | None) -> list[Write]:
    writes = []
    both = memory.swap_bytes
    if memory.limit_bytes == -1 and both is None and old_swap_bytes is not None:
        both = -1  # else the limit with swap would stay below the one without
    if memory.limit_bytes is not None:
        writes.append(Write("memory", "memory.limit_in_bytes", str(memory.limit_bytes)))
    if both is not None and swap:
        write = Write("memory", "memory.memsw.limit_in_bytes", str(both))
        grows = old_swap_bytes is not None and (both == -1 or both > old_swap_bytes)
        writes.insert(0 if grows else len(writes), write)
    if memory.reservation_bytes is not None:
        writes.append(Write("memory", "memory.soft_limit_in_bytes", str(memory.reservation_bytes)))
    if memory.swappiness is not None and memory.swappiness != -1:
        writes.append(Write("memory", "memory.swappiness", str(memory.swappiness)))
    if memory.oom_kill_disable:
        writes.append(Write("memory", "memory.oom_control", "1"))
    return writes


def _cpu_writes(cpu: Cpu) -> list[Write]:
    values = (
        ("cpu", "cpu.shares", cpu.shares),
        ("cpu", "cpu.cfs_period_us", cpu.period_us),
        ("cpu", "cpu.cfs_quota_us", cpu.quota_us),
        ("cpu", "cpu.rt_period_us", cpu.realtime_period_us),
        ("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime_us),
        ("cpuset", "cpuset.cpus", cpu.cpus or None),
        ("cpuset", "cpuset.mems", cpu.mems or None),
    )
    return [Write(controller, file, str(value)) for controller, file, value in values if value is not None]


def _block_io_writes(io: BlockIo) -> list[Write]:
    writes = []
    # The weights belong to the I/O scheduler: BFQ's files since CFQ was removed (Linux 5.0)
    if io.weight is not None:
        writes.append(Write("blkio", "blkio.bfq.weight", str(io.weight)))
    for item in io.device_weights:
        writes.append(Write("blkio", "blkio.bfq.weight_device", f"{item.major}:{item.minor} {item.weight}"))
    for throttle in io.throttles:
        value = f"{throttle.major}:{throttle.minor} {throttle.rate}"
        writes.append(Write("blkio", _THROTTLE_FILES[throttle.kind], value))
    return writes


def _or_max(number: int) -> str:
    return "max" if number == -1 else str(number)


def _inherit_cpuset(root: str, path: str) -> None:
    """Give `path` and its parents the processors and memory nodes of the group above, which a new group lacks.

    Without them no process can be added. A parent may have just been made by another process, so each is looked at.
    """
    for name in ("cpuset.cpus", "cpuset.mems"):
        directory, (*parents, leaf) = root, path.split("/")[1:]
        inherited = ""
        for part in parents:
            above, directory = directory, f"{directory}/{part}"
            own = files.read(f"{directory}/{name}")
            if not own:
                own = inherited or files.read(f"{above}/{name}")
                files.write(f"{directory}/{name}", own)
            inherited = own
        files.write(f"{directory}/{leaf}/{name}", inherited or files.read(f"{root}/{name}"))


def _set_frozen(freezer: str | None, state: str) -> None:
    """Freeze or thaw if there is a freezer; a group that is gone is fine."""
    if freezer is None:
        return
    try:
        files.write(f"{freezer}/freezer.state", state)
    except CgroupError as error:
        if error.errno not in {errno.ENOENT, errno.ENODEV}:
            raise


def _device_io(path: str) -> tuple[DeviceIo, ...]:
    """The figures of every device: the lines are "MAJOR:MINOR Read NUMBER", and at the end "Total NUMBER"."""
    found = []
    for line in files.read_lines(path):
        words = line.split(" ")
        if len(words) == 3:
            major, _, minor = words[0].partition(":")
            found.append(DeviceIo(int(major), int(minor), words[1].lower(), int(words[2])))
    return tuple(found)


def _bytes_limit(path: str) -> int | None:
    limit = files.read_number(path)
    return None if limit is None or limit >= _UNLIMITED else limit


def _throttles(kind: str, path: str) -> list[Throttle]:
    """The rates in a file: the lines are "MAJOR:MINOR RATE"."""
    found = []
    for line in files.read_lines(path):
        device, _, rate = line.partition(" ")
        major, _, minor = device.partition(":")
        if major.isdigit() and minor.isdigit() and rate.isdigit():
            found.append(Throttle(kind, int(major), int(minor), int(rate)))
    return found


def _total(entries: tuple[DeviceIo, ...], operation: str) -> int:
    return sum(entry.value for entry in entries if entry.operation == operation)
