"""What changes about a container without beginning or ending its life: pause, terminal size, name, limits."""

import asyncio
from typing import Final

import msgspec

from cais.engine import limits, resources, restarts, spec
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.health import RESTART_UNHEALTHY
from cais.engine.host import Host
from cais.engine.lifecycle import Watcher
from cais.engine.limits import refuse
from cais.engine.models import HostConfig, Status, UpdateRequest
from cais.engine.settings import Settings
from cais.engine.text import printable
from cais.errors import CaisError, Conflict, Internal, InvalidArgument
from cais.runtime.cgroups import CgroupError
from cais.runtime.client import Monitor
from cais.runtime.errors import StartFailed

_LIMITS: Final = (
    "BlkioWeight", "CpuShares", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "NanoCpus",
    "CpusetCpus", "CpusetMems", "Memory", "MemoryReservation", "MemorySwap",
)  # fmt: skip


class Adjustments:
    """Changes the containers of one engine."""

    def __init__(
        self, *, settings: Settings, host: Host, containers: Containers, events: EventBus, watcher: Watcher
    ) -> None:
        self._settings = settings
        self._host = host
        self._containers = containers
        self._events = events
        self._watcher = watcher

    async def pause(self, container: Container) -> None:
        """Stops every process of a container where it stands. Raises Conflict unless it runs."""
        async with container.lock:
            if container.record.state.status is Status.RESTARTING:
                raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
            monitor = _monitor(container)
            if container.paused:
                raise Conflict(f"container {container.id} is already paused")
            try:
                await monitor.freeze()
            except StartFailed as error:
                raise Internal(f"cannot pause container {container.id}: {error.message}") from error
            self._now(container, monitor, Status.PAUSED, "pause")
            self._watcher.halt(container)

    async def unpause(self, container: Container) -> None:
        """Lets the processes of a paused container go on. Raises Conflict when it does not run."""
        async with container.lock:
            monitor = _monitor(container)
            if not container.paused:
                raise Internal(f"Container {container.id} is not paused")
            try:
                await monitor.thaw()
            except StartFailed as error:
                raise Internal(f"cannot unpause container {container.id}: {error.message}") from error
            self._now(container, monitor, Status.RUNNING, "unpause")
            self._watcher.resume(container)

    async def resize(self, container: Container, rows: int, columns: int) -> None:
        """Sets the size of the container's terminal. Raises Conflict when it does not run."""
        monitor = _monitor(container)
        try:
            await monitor.resize(rows, columns)
        except StartFailed as error:
            raise Conflict(f"cannot resize container {container.id}: {error.message}") from error
        attributes = container.event_attributes(height=str(rows), width=str(columns))
        self._events.emit("container", "resize", container.id, attributes)

    async def update(self, container: Container, request: UpdateRequest) -> list[str]:
        """Changes the limits and the restart policies that the request names; returns warnings for the user.

        A container that runs has them at once, or not at all. Raises InvalidArgument, Unsupported, Conflict.
        """
        async with container.lock:
            if container.removed or container.removing:
                raise Conflict(
                    f'Cannot update container {container.id}: container is marked for removal and cannot be "update"'
                )
            before = container.record.host_config
            try:
                after, warnings = merged(before, request, self._host)
            except Conflict as error:
                raise Conflict(f"Cannot update container {container.id}: {error.message}") from error
            if container.running:
                await self._change_groups(container, before, after)
            container.record.host_config = after
            self._containers.save(container)
        self._events.emit("container", "update", container.id, container.event_attributes())
        return warnings

    async def _change_groups(self, container: Container, before: HostConfig, after: HostConfig) -> None:
        changed = difference(before, after)
        if not changed:
            return
        try:
            await asyncio.to_thread(resources.update, container.record, self._settings, changed)
        except CaisError as error:
            try:
                await asyncio.to_thread(
                    resources.update, container.record, self._settings, difference(after, before)
                )  # fmt: skip
            except CgroupError:
                pass  # what could be taken back was
            raise InvalidArgument(f"Cannot update container {container.id}: {error.message}") from error

    def _now(self, container: Container, monitor: Monitor, status: Status, action: str) -> None:
        """Records a state, unless the container has ended meanwhile."""
        if container.monitor is monitor:
            container.record.state.status = status
            self._containers.save(container)
            self._events.emit("container", action, container.id, container.event_attributes())


def merged(before: HostConfig, request: UpdateRequest, host: Host) -> tuple[HostConfig, list[str]]:
    """A container's configuration with what the request changes of it, checked; and warnings for the user.

    Raises InvalidArgument, Unsupported, and Conflict for what does not go with what the container has.
    """
    after = msgspec.structs.replace(before)
    _check_processors(before, request)
    refuse(
        request.Memory > 0 and request.MemorySwap == 0 and 0 < before.MemorySwap < request.Memory,
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        Conflict,
    )
    for name in _LIMITS:
        if getattr(request, name):
            setattr(after, name, getattr(request, name))
    if request.PidsLimit is not None:
        after.PidsLimit = request.PidsLimit
    policy = request.restart_policy
    if policy.Name:
        restarts.check(policy)
        refuse(
            before.AutoRemove and policy.Name != "no",
            "Restart policy cannot be updated because AutoRemove is enabled for the container",
            Conflict,
        )
        after.restart_policy = policy
    annotations = request.Annotations if isinstance(request.Annotations, dict) else {}
    for name in annotations:
        refuse(name != RESTART_UNHEALTHY, f"the annotation {printable(name)} cannot be updated")
    if annotations:
        given = before.Annotations if isinstance(before.Annotations, dict) else {}
        after.Annotations = given | annotations
    warnings: list[str] = []
    limits.memory(after, host, warnings)
    limits.cpu(after, host)
    limits.processes_and_io(after, host, warnings)
    # a limit that was taken back is 0, not missing
    after.PidsLimit = before.PidsLimit if request.PidsLimit is None else max(request.PidsLimit, 0)
    return after, warnings


def difference(before: HostConfig, after: HostConfig) -> spec.Json:
    """The limits of `after` that are not those of `before`, as an OCI `linux.resources`."""
    old, new = spec.limits_of(before), spec.limits_of(after)
    changed: spec.Json = {}
    for group, values in new.items():
        own = {key: value for key, value in values.items() if value != old.get(group, {}).get(key)}
        if group == "memory" and own.keys() & {"limit", "swap"}:
            own = {**{key: values[key] for key in ("limit", "swap")}, **own}
        if own:
            changed[group] = {key: -1 if value == 0 and not isinstance(value, bool) else value
                              for key, value in own.items()}  # fmt: skip
    return changed


def _check_processors(before: HostConfig, request: HostConfig) -> None:
    for name, words in (("CpuPeriod", "CPU Period"), ("CpuQuota", "CPU Quota")):
        refuse(
            request.NanoCpus > 0 and getattr(before, name) > 0,
            f"Conflicting options: Nano CPUs cannot be updated as {words} has already been set",
            Conflict,
        )
        refuse(
            getattr(request, name) > 0 and before.NanoCpus > 0,
            f"Conflicting options: {words} cannot be updated as NanoCPUs has already been set",
            Conflict,
        )


def _monitor(container: Container) -> Monitor:
    if container.monitor is None:
        raise Conflict(f"container {container.id} is not running")
    return container.monitor
