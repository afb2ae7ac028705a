"""`explain`: everything about one container on one screen, and what is in force beside what was asked for."""

import asyncio
from dataclasses import dataclass

from cais.engine import explain_end, explain_kernel, explain_planned, joining, resources, spec, starting
from cais.engine import explain_models as models
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.host import Host
from cais.engine.images import Image, Images
from cais.engine.models import timestamp
from cais.engine.settings import Settings
from cais.engine.text import reason
from cais.errors import CaisError, NotFound
from cais.runtime.cgroups import Cgroup, CgroupError
from cais.runtime.errors import StartFailed
from cais.storage.measure import disk_bytes


@dataclass(frozen=True, slots=True)
class Sources:
    """What an engine has that explanations are made from."""

    settings: Settings
    host: Host
    containers: Containers
    images: Images


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The sections of a container as it was asked for."""

    config: spec.Json
    namespaces: list[models.Namespace]
    limits: models.Limits
    mounts: list[models.Mount]
    network: models.Network
    security: models.Security


async def explain(container: Container, sources: Sources) -> models.Explanation:
    """What is to be said of a container. Raises NotFound when it is removed meanwhile."""
    if container.monitor is not None:
        container.monitor.poll()
    notes: list[str] = []
    folder = sources.containers.folder(container.id)
    image = _image(container, sources.images, notes)
    lower = sources.containers.lower_dirs(image) if image is not None else ()
    alone = spec.Joined(images=joining.image_layers(container.record, sources.images.folders_of))
    plan = await asyncio.to_thread(
        starting.plan, container.record, sources.host, sources.settings, folder, lower, joined=alone
    )
    wanted = _wanted(container, sources, plan.config)
    written = await asyncio.to_thread(disk_bytes, folder / "rw" / "diff")
    root = explain_planned.root(container.record, image, sources.images, plan.root.upper, written)
    if container.running:
        answer = await _running(container, sources, wanted, root, notes)
        if answer is not None:
            return answer
    if container.removed:
        raise NotFound(f"No such container: {container.id}")
    try:
        joining.join(container, sources.containers, sources.images.folders_of)
    except CaisError as error:
        notes.append(f"A start would fail now: {error.message}")
    return _explanation(container, wanted, root, notes)


def _image(container: Container, images: Images, notes: list[str]) -> Image | None:
    try:
        return images.get(container.record.image_id)
    except CaisError as error:
        notes.append(f"image: {error.message}")
        return None


def _wanted(container: Container, sources: Sources, config: spec.Json) -> _Wanted:
    record, host = container.record, sources.host
    return _Wanted(
        config=config,
        namespaces=explain_planned.namespaces(record.host_config, config, sources.containers),
        limits=explain_planned.limits(record, host, config),
        mounts=explain_planned.mounts(record, config),
        network=explain_planned.network(container, sources.containers),
        security=explain_planned.security(record, host, config),
    )


async def _running(
    container: Container, sources: Sources, wanted: _Wanted, root: models.Root, notes: list[str]
) -> models.Explanation | None:
    """The same for a container that runs; None when it has ended meanwhile."""
    monitor, pid = container.monitor, container.record.state.pid
    others = {
        other.name: other.record.state.pid
        for other in sources.containers
        if other is not container and other.record.state.pid
    }
    try:
        if monitor is None:
            return None
        pids = await monitor.pids()
        group = resources.group(container.record, sources.settings)
        looked_at = _Processes(pid, pids, others, group)
        found = await asyncio.to_thread(_in_force, container, looked_at, wanted)
    except (OSError, CgroupError, StartFailed, KeyError) as error:
        if container.monitor is not None:
            container.monitor.poll()
        if container.running and container.record.state.pid == pid:
            what = reason(error) if isinstance(error, OSError) else str(error)
            notes.append(f"the processes could not be looked at, so this is what was asked for: {what}")
        return None
    if container.monitor is not None:
        container.monitor.poll()
    if container.record.state.pid != pid:
        return None  # what was read may be another's
    return _explanation(container, found, root, notes, found.processes)


@dataclass(frozen=True, slots=True)
class _InForce(_Wanted):
    """The sections as the kernel has them."""

    processes: models.Processes


@dataclass(frozen=True, slots=True)
class _Processes:
    """What a running container is looked at by: its first process, all of them, and the others' first ones by name."""

    pid: int
    pids: list[int]
    others: dict[str, int]
    group: Cgroup


def _in_force(container: Container, looked_at: _Processes, wanted: _Wanted) -> _InForce:
    pid, pids = looked_at.pid, looked_at.pids
    hidden = (*wanted.security.masked_paths, *wanted.security.readonly_paths)
    mounts = explain_kernel.mounts(pid, wanted.mounts, hidden)
    return _InForce(
        config=wanted.config,
        namespaces=explain_kernel.namespaces(pid, wanted.namespaces, looked_at.others),
        limits=explain_kernel.limits(pid, pids, looked_at.group, wanted.limits, measure=not container.paused),
        mounts=mounts,
        network=explain_kernel.network(pid, wanted.network),
        security=explain_kernel.security(pid, wanted.security, mounts),
        processes=explain_kernel.processes(pid, pids),
    )


def _explanation(
    container: Container,
    sections: _Wanted,
    root: models.Root,
    notes: list[str],
    processes: models.Processes | None = None,
) -> models.Explanation:
    record = container.record
    health = record.state.health
    return models.Explanation(
        id=record.id,
        name=record.name,
        status=container.status,
        image=record.config.Image,
        image_id=record.image_id,
        command=[record.path, *record.args],
        created=timestamp(record.created_ns),
        started_at=timestamp(record.state.started_at_ns),
        finished_at=timestamp(record.state.finished_at_ns),
        pid=record.state.pid if processes is not None else 0,
        end=explain_end.end(record),
        restarts=explain_planned.restarts(record),
        health=explain_planned.health(record, health.status if health is not None and container.running else ""),
        processes=processes or models.Processes(),
        namespaces=sections.namespaces,
        limits=sections.limits,
        root=root,
        mounts=sections.mounts,
        network=sections.network,
        security=sections.security,
        notes=notes,
    )
