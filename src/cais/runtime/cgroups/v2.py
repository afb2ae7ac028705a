"""cgroup version 2: one hierarchy for everything.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import errno
import math
import os
import time
from dataclasses import dataclass

from cais.linux import bpf, inotify
from cais.runtime.cgroups import files
from cais.runtime.cgroups.devices import effective
from cais.runtime.cgroups.devices_bpf import assemble
from cais.runtime.cgroups.interface import Cgroup, CgroupError, DeviceIo, Features, Limits, Mounts, Stats, Write
from cais.runtime.cgroups.resources import BlockIo, Cpu, Memory, Resources, Throttle

_FREEZE_SECONDS = 5.0
# Each costs memory and time in every group, so the others are enabled only where a `unified` key needs them
_DEFAULT_CONTROLLERS = frozenset({"cpu", "cpuset", "io", "memory", "pids"})
# Version 1's names, which OCI and Docker use, for version 2's controllers
_V1_NAMES = {"io": ("blkio",), "cpu": ("cpu", "cpuacct"), "memory": ("memory",)}


@dataclass(frozen=True, slots=True)
class V2Hierarchy:
    """The unified hierarchy, with the controllers that its root offers.

    `devices`: whether groups get a device program; no in a hybrid, where version 1 has the devices controller.
    """

    point: str
    available: frozenset[str]
    version: int = 2
    devices: bool = True

    @property
    def controllers(self) -> frozenset[str]:
        names = {name for own in self.available for name in _V1_NAMES.get(own, (own,))}
        # No controllers, yet part of every group: cgroup.freeze, and the device program
        return frozenset(names | {"freezer"} | ({"devices"} if self.devices else set()))

    def features(self) -> Features:
        memory, cpu, io = "memory" in self.available, "cpu" in self.available, "io" in self.available
        return Features(
            version=self.version,
            memory=memory,
            swap=memory and self.accounts_swap(),
            memory_reservation=memory,
            swappiness=False,
            oom_kill_disable=False,
            cpu_shares=cpu,
            cpu_quota=cpu,
            cpu_realtime=False,
            cpuset="cpuset" in self.available,
            pids="pids" in self.available,
            io_weight=io,
            io_throttle=io,
            devices=self.devices,
        )

    def accounts_swap(self) -> bool:
        """Whether swap can be limited. The root has no such file: the first group below it tells."""
        for name in files.subgroups(self.point):
            if os.path.exists(f"{self.point}/{name}/memory.max"):
                return os.path.exists(f"{self.point}/{name}/memory.swap.max")
        return True

    def plan(self, resources: Resources) -> tuple[Write, ...]:
        writes = limit_writes(resources)
        self.require(writes)
        return tuple(writes)

    def require(self, writes: list[Write]) -> None:
        """Raise CgroupError for the first write whose controller this hierarchy doesn't have."""
        for item in writes:
            if item.controller not in self.available and item.controller != "cgroup":
                raise CgroupError(
                    f'cannot write "{item.value}" to "{item.file}": the cgroup controller "{item.controller}" is '
                    "missing on this host"
                )

    def create(self, path: str, resources: Resources) -> Cgroup:
        files.check_path(path)
        plan = self.plan(resources)
        directory = self.point + path
        files.make(self.point, path)
        try:
            self._enable_controllers(path, {item.controller for item in plan})
            files.write_all(directory, plan)
            if self.devices:
                self._attach_devices(directory, resources)
        except BaseException:
            files.remove([directory], wait_seconds=0)
            raise
        return V2Cgroup(self, path)

    def open(self, path: str) -> Cgroup:
        return V2Cgroup(self, files.check_path(path))

    def children(self, path: str) -> set[str]:
        return set(files.subgroups(self.point + files.check_path(path)))

    def _enable_controllers(self, path: str, needed: set[str]) -> None:
        """Make the usual controllers available in the group, and the `needed` ones: each parent must pass them on.

        One that can't be passed on is an error only if it is needed.
        """
        wanted = self.available & (_DEFAULT_CONTROLLERS | needed)
        parent = self.point
        for part in path.split("/")[1:]:
            control = f"{parent}/cgroup.subtree_control"
            enabled = " ".join(files.read_lines(control)).split()
            missing = sorted(wanted - set(enabled))
            if missing:
                _enable(control, missing, needed)
            parent += "/" + part

    def _attach_devices(self, directory: str, resources: Resources) -> None:
        program = assemble(effective(resources.devices))
        try:
            group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                loaded = bpf.prog_load_cgroup_device(program)
                try:
                    bpf.prog_attach_cgroup_device(group, loaded)
                finally:
                    os.close(loaded)  # the group holds the program from here on
            finally:
                os.close(group)
        except OSError as error:
            raise CgroupError(
                f'attach the device program to cgroup "{directory}": {error.strerror}', error.errno
            ) from error


def _enable(control: str, names: list[str], needed: set[str]) -> None:
    try:
        files.write(control, " ".join(f"+{name}" for name in names))
    except CgroupError:
        # All or nothing, so each on its own: cpu, for example, can't be had beside real-time processes
        for name in names:
            try:
                files.write(control, f"+{name}")
            except CgroupError as error:
                if name in needed:
                    hint = ""
                    if error.errno == errno.EBUSY:
                        hint = "; its own processes must be moved to a group below it first"
                    raise CgroupError(error.message + hint, error.errno) from error


@dataclass(frozen=True, slots=True)
class V2Cgroup:
    """One group of the unified hierarchy."""

    hierarchy: V2Hierarchy
    path: str

    @property
    def directory(self) -> str:
        """Its folder on the host."""
        return self.hierarchy.point + self.path

    def add(self, pid: int) -> None:
        files.write(f"{self.directory}/cgroup.procs", str(pid))

    def entries(self) -> list[int]:
        return [files.entry(f"{self.directory}/cgroup.procs")]

    def directory_fd(self) -> int | None:
        try:
            return os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise files.failed(f'open cgroup "{self.directory}"', error) from error

    def update(self, resources: Resources) -> None:
        writes = limit_writes(resources)
        self.hierarchy.require(writes)
        files.write_all(self.directory, writes)

    def pids(self) -> list[int]:
        return files.pids(self.directory)

    def kill(self) -> None:
        try:
            files.write(f"{self.directory}/cgroup.kill", "1")
        except CgroupError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV}:
                raise

    def freeze(self) -> None:
        files.write(f"{self.directory}/cgroup.freeze", "1")
        deadline = time.monotonic() + _FREEZE_SECONDS
        pause = 0.0002
        while not files.read_table(f"{self.directory}/cgroup.events").get("frozen"):
            if time.monotonic() >= deadline:
                self.thaw()
                raise CgroupError(f'freeze cgroup "{self.directory}": not frozen after {_FREEZE_SECONDS:.0f} s')
            time.sleep(pause)
            pause = min(pause * 2, 0.02)

    def thaw(self) -> None:
        files.write(f"{self.directory}/cgroup.freeze", "0")

    def frozen(self) -> bool:
        return files.read_number(f"{self.directory}/cgroup.freeze") == 1

    def oom_kills(self) -> int:
        return files.read_table(f"{self.directory}/memory.events").get("oom_kill", 0)

    def oom_event_fd(self) -> int | None:
        if "memory" not in self.hierarchy.available:
            return None
        path = f"{self.directory}/memory.events"
        try:
            descriptor = inotify.inotify_init1()
            try:
                inotify.inotify_add_watch(descriptor, path, inotify.IN_MODIFY)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            raise files.failed(f'watch "{path}"', error) from error
        return descriptor

    def stats(self) -> Stats:
        directory = self.directory
        cpu = files.read_table(f"{directory}/cpu.stat")
        io_lines = files.read_lines(f"{directory}/io.stat")
        io = _io_totals(io_lines)
        memory = files.read_table(f"{directory}/memory.stat")
        return Stats(
            memory_usage_bytes=files.read_number(f"{directory}/memory.current") or 0,
            memory_max_usage_bytes=files.read_number(f"{directory}/memory.peak") or 0,
            memory_inactive_file_bytes=memory.get("inactive_file", 0),
            memory_limit_bytes=files.read_number(f"{directory}/memory.max"),
            cpu_total_ns=cpu.get("usage_usec", 0) * 1000,
            cpu_user_ns=cpu.get("user_usec", 0) * 1000,
            cpu_system_ns=cpu.get("system_usec", 0) * 1000,
            cpu_periods=cpu.get("nr_periods", 0),
            cpu_throttled_periods=cpu.get("nr_throttled", 0),
            cpu_throttled_ns=cpu.get("throttled_usec", 0) * 1000,
            pids_current=files.read_number(f"{directory}/pids.current") or 0,
            pids_limit=files.read_number(f"{directory}/pids.max"),
            io_read_bytes=io.get("rbytes", 0),
            io_write_bytes=io.get("wbytes", 0),
            io_reads=io.get("rios", 0),
            io_writes=io.get("wios", 0),
            memory=tuple(memory.items()),
            io_bytes=_device_io(io_lines, "rbytes", "wbytes"),
            io_operations=_device_io(io_lines, "rios", "wios"),
        )

    def limits(self) -> Limits:
        directory = self.directory
        memory, swap = (files.read_number(f"{directory}/memory{kind}.max") for kind in ("", ".swap"))
        swap_usage = files.read_number(f"{directory}/memory.swap.current")
        quota, _, period = files.read_first(f"{directory}/cpu.max").partition(" ")
        weight = files.read_first(f"{directory}/io.bfq.weight") or files.read_first(f"{directory}/io.weight")
        return Limits(
            memory_bytes=memory,
            memory_swap_bytes=None if memory is None or swap is None else memory + swap,
            memory_swap_usage_bytes=(
                None if swap_usage is None else swap_usage + (files.read_number(f"{directory}/memory.current") or 0)
            ),
            memory_reservation_bytes=files.read_number(f"{directory}/memory.low") or None,
            cpu_weight=files.read_number(f"{directory}/cpu.weight"),
            cpu_quota_us=int(quota) if quota.isdigit() else None,
            cpu_period_us=int(period) if period.isdigit() else None,
            cpus=files.read_first(f"{directory}/cpuset.cpus.effective"),
            mems=files.read_first(f"{directory}/cpuset.mems.effective"),
            pids=files.read_number(f"{directory}/pids.max"),
            pids_refused=files.read_table(f"{directory}/pids.events").get("max", 0),
            io_weight=int(weight.removeprefix("default ")) if weight.removeprefix("default ").isdigit() else None,
            throttles=_throttles(files.read_lines(f"{directory}/io.max")),
        )

    def remove(self) -> None:
        if files.remove([self.directory]):
            raise CgroupError(f'remove cgroup "{self.directory}": it still has processes')

    def mounts(self) -> Mounts:
        return Mounts(2)


def limit_writes(resources: Resources) -> list[Write]:
    """Every limit but the device rules. `unified` comes last: it is the most specific."""
    return [
        *_memory_writes(resources.memory),
        *_cpu_writes(resources.cpu),
        *([] if resources.pids_limit is None else [Write("pids", "pids.max", _or_max(resources.pids_limit))]),
        *_io_writes(resources.block_io),
        *(Write(key.partition(".")[0], key, value) for key, value in resources.unified),
    ]


def _memory_writes(memory: Memory) -> list[Write]:
    """`disableOOMKiller` and `swappiness` have no counterpart: they are dropped, as runc does."""
    writes = []
    limit, both = memory.limit_bytes, memory.swap_bytes
    if limit is not None:
        writes.append(Write("memory", "memory.max", _or_max(limit)))
    if both is None and limit == -1:
        both = -1
    if both is not None:
        if both == -1:
            swap = -1
        elif limit is None or limit == -1:
            raise CgroupError(f'cannot set memory+swap to "{both}": the memory itself has no limit')
        elif both < limit:
            raise CgroupError(f'cannot set memory+swap to "{both}": that is less than the memory, "{limit}"')
        else:
            swap = both - limit
        writes.append(Write("memory", "memory.swap.max", _or_max(swap), optional=True))
    if memory.reservation_bytes is not None:
        writes.append(Write("memory", "memory.low", _or_max(memory.reservation_bytes)))
    return writes


def _cpu_writes(cpu: Cpu) -> list[Write]:
    if cpu.realtime_runtime_us is not None or cpu.realtime_period_us is not None:
        raise CgroupError("cannot limit real-time scheduling: cgroup version 2 has no such limit")
    writes = []
    if cpu.shares is not None:
        writes.append(Write("cpu", "cpu.weight", str(cpu_weight(cpu.shares))))
    if cpu.quota_us is not None or cpu.period_us is not None:
        quota = "max" if cpu.quota_us is None or cpu.quota_us < 0 else str(cpu.quota_us)
        period = "" if cpu.period_us is None else f" {cpu.period_us}"
        writes.append(Write("cpu", "cpu.max", quota + period))
    if cpu.cpus:
        writes.append(Write("cpuset", "cpuset.cpus", cpu.cpus))
    if cpu.mems:
        writes.append(Write("cpuset", "cpuset.mems", cpu.mems))
    return writes


def cpu_weight(shares: int) -> int:
    """cpu.weight (1 to 10000, default 100) for version 1's cpu.shares (2 to 262144, default 1024).

    A parabola in the logarithms through the three pairs, as OCI's runtimes have agreed:
    https://github.com/opencontainers/cgroups/pull/20
    """
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    logarithm = math.log2(shares)
    return math.ceil(10 ** ((logarithm * logarithm + 125 * logarithm) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """io.weight (1 to 10000) for version 1's blkio.weight (10 to 1000)."""
    return 1 + (weight - 10) * 9999 // 990


def _io_writes(io: BlockIo) -> list[Write]:
    writes = []
    if io.weight is not None:
        # BFQ's own file takes version 1's scale; io.weight exists where the io.cost controller is built in
        fallback = ("io.weight", str(io_weight(io.weight)))
        writes.append(Write("io", "io.bfq.weight", str(io.weight), fallback=fallback))
    for item in io.device_weights:
        writes.append(Write("io", "io.bfq.weight", f"{item.major}:{item.minor} {item.weight}"))
    for throttle in io.throttles:
        writes.append(Write("io", "io.max", f"{throttle.major}:{throttle.minor} {throttle.kind}={throttle.rate}"))
    return writes


def _or_max(number: int) -> str:
    return "max" if number == -1 else str(number)


def _io_totals(lines: list[str]) -> dict[str, int]:
    """io.stat summed over every device: the lines are "MAJOR:MINOR rbytes=N wbytes=N …"."""
    totals: dict[str, int] = {}
    for line in lines:
        for word in line.split(" ")[1:]:
            key, _, value = word.partition("=")
            if value.isdigit():
                totals[key] = totals.get(key, 0) + int(value)
    return totals


def _throttles(lines: list[str]) -> tuple[Throttle, ...]:
    """The rates in io.max: the lines are "MAJOR:MINOR rbps=N wbps=max …"."""
    found = []
    for line in lines:
        device, *words = line.split(" ")
        major, _, minor = device.partition(":")
        for word in words:
            kind, _, rate = word.partition("=")
            if rate.isdigit() and major.isdigit() and minor.isdigit():
                found.append(Throttle(kind, int(major), int(minor), int(rate)))
    return tuple(found)


def _device_io(lines: list[str], read: str, write: str) -> tuple[DeviceIo, ...]:
    """The figures of every device in io.stat under these two keys."""
    found = []
    for line in lines:
        device, *words = line.split(" ")
        major, _, minor = device.partition(":")
        values = dict(word.split("=", 1) for word in words if "=" in word)
        for key, operation in ((read, "read"), (write, "write")):
            if values.get(key, "").isdigit() and major.isdigit() and minor.isdigit():
                found.append(DeviceIo(int(major), int(minor), operation, int(values[key])))
    return tuple(found)
