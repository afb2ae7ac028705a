"""Both versions at once: limits and devices by version 1, killing and freezing by version 2.

A controller that is on version 2 (`cgroup_no_v1=memory`) is used there. The unified hierarchy gives what version 1
lacks: cgroup.kill reaches every process at once, cgroup.freeze leaves the processes killable, and a process can be
started inside the group.
"""

from dataclasses import fields, replace

from cais.runtime.cgroups.interface import Cgroup, CgroupError, Features, Limits, Mounts, Stats, Write
from cais.runtime.cgroups.resources import Cpu, Resources
from cais.runtime.cgroups.v1 import V1Hierarchy
from cais.runtime.cgroups.v2 import V2Hierarchy


class HybridHierarchy:
    """One hierarchy made of the two."""

    def __init__(self, v1: V1Hierarchy, v2: V2Hierarchy) -> None:
        self.v1 = v1
        # What version 1 has mounted can't be on version 2; devices are version 1's if it has them
        self.v2 = replace(v2, available=v2.available - v1.controllers, devices="devices" not in v1.controllers)

    @property
    def version(self) -> int:
        return 1

    @property
    def controllers(self) -> frozenset[str]:
        return self.v1.controllers | self.v2.controllers

    def features(self) -> Features:
        first, second = self.v1.features(), self.v2.features()
        either = {
            item.name: getattr(first, item.name) or getattr(second, item.name)
            for item in fields(Features)
            if item.name != "version"
        }
        return Features(version=self.version, **either)

    def plan(self, resources: Resources) -> tuple[Write, ...]:
        first, second = self._split(resources)
        return self.v1.plan(first) + self.v2.plan(second)

    def create(self, path: str, resources: Resources) -> Cgroup:
        first, second = self._split(resources)
        upper = self.v1.create(path, first)
        try:
            lower = self.v2.create(path, second)
        except BaseException:
            upper.remove()
            raise
        return HybridCgroup(self, upper, lower)

    def open(self, path: str) -> Cgroup:
        return HybridCgroup(self, self.v1.open(path), self.v2.open(path))

    def children(self, path: str) -> set[str]:
        return self.v1.children(path) | self.v2.children(path)

    def _split(self, resources: Resources) -> tuple[Resources, Resources]:
        """What version 1 is to do, and what version 2 is: version 1 unless only version 2 has the controller."""
        moved = self.v2.available
        if not moved and not resources.unified:
            return resources, Resources()
        cpu, none = resources.cpu, Resources()
        second_cpu = Cpu(
            shares=cpu.shares if "cpu" in moved else None,
            quota_us=cpu.quota_us if "cpu" in moved else None,
            period_us=cpu.period_us if "cpu" in moved else None,
            cpus=cpu.cpus if "cpuset" in moved else "",
            mems=cpu.mems if "cpuset" in moved else "",
        )
        second = Resources(
            memory=resources.memory if "memory" in moved else none.memory,
            cpu=second_cpu,
            pids_limit=resources.pids_limit if "pids" in moved else None,
            block_io=resources.block_io if "io" in moved else none.block_io,
            devices=resources.devices,
            unified=resources.unified,
        )
        first_cpu = replace(
            cpu,
            shares=None if "cpu" in moved else cpu.shares,
            quota_us=None if "cpu" in moved else cpu.quota_us,
            period_us=None if "cpu" in moved else cpu.period_us,
            cpus="" if "cpuset" in moved else cpu.cpus,
            mems="" if "cpuset" in moved else cpu.mems,
        )
        first = Resources(
            memory=none.memory if "memory" in moved else resources.memory,
            cpu=first_cpu,
            pids_limit=None if "pids" in moved else resources.pids_limit,
            block_io=none.block_io if "io" in moved else resources.block_io,
            devices=resources.devices,
        )
        return first, second


class HybridCgroup:
    """One group: the same path in both."""

    def __init__(self, hierarchy: HybridHierarchy, v1: Cgroup, v2: Cgroup) -> None:
        self._hierarchy = hierarchy
        self.v1 = v1
        self.v2 = v2

    @property
    def path(self) -> str:
        return self.v1.path

    def add(self, pid: int) -> None:
        self.v1.add(pid)
        self.v2.add(pid)

    def entries(self) -> list[int]:
        return [*self.v1.entries(), *self.v2.entries()]

    def directory_fd(self) -> int | None:
        return self.v2.directory_fd()

    def update(self, resources: Resources) -> None:
        first, second = self._hierarchy._split(resources)
        self.v1.update(first)
        self.v2.update(second)

    def pids(self) -> list[int]:
        return sorted({*self.v2.pids(), *self.v1.pids()})

    def kill(self) -> None:
        self.v2.kill()
        # Dying processes leave both versions at once, so what version 1 has beside them, read later, was never in
        # version 2: whoever added it did not come to the end
        dying = set(self.v2.pids())
        if not dying.issuperset(self.v1.pids()):
            self.v1.kill()

    def freeze(self) -> None:
        self.v2.freeze()

    def thaw(self) -> None:
        self.v2.thaw()

    def frozen(self) -> bool:
        return self.v2.frozen()

    def oom_kills(self) -> int:
        return self.v1.oom_kills() + self.v2.oom_kills()

    def oom_event_fd(self) -> int | None:
        return self._with_memory().oom_event_fd()

    def stats(self) -> Stats:
        first, second = self.v1.stats(), self.v2.stats()
        return Stats(**{item.name: getattr(first, item.name) or getattr(second, item.name) for item in fields(Stats)})

    def limits(self) -> Limits:
        first, second = self.v1.limits(), self.v2.limits()
        each = {item.name: (getattr(first, item.name), getattr(second, item.name)) for item in fields(Limits)}
        nothing = Limits()
        return Limits(**{name: two if one == getattr(nothing, name) else one for name, (one, two) in each.items()})

    def remove(self) -> None:
        errors = []
        for part in (self.v1, self.v2):
            try:
                part.remove()
            except CgroupError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def mounts(self) -> Mounts:
        return self.v1.mounts()

    def _with_memory(self) -> Cgroup:
        return self.v2 if "memory" in self._hierarchy.v2.available else self.v1
