"""What an engine finds when it starts: containers that run, that have ended meanwhile, and what a crash left.

Running containers are adopted from their monitors, all at once. For the others the exit record says how
they ended. Then what belongs to no container is swept: control groups, run folders, half-made containers.
"""

import asyncio
import logging
import os
import re
import time
from pathlib import Path

from cais.engine import resources, starting
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.execs import Execs
from cais.engine.lifecycle import Lifecycle
from cais.engine.settings import Settings
from cais.engine.trash import Trash
from cais.errors import CaisError
from cais.linux import mount
from cais.runtime import client
from cais.runtime.messages import Exited

_log = logging.getLogger("cais.engine.recovery")

UNKNOWN_EXIT_CODE = 255
UNKNOWN_END = "the container ended while no engine was running, and its end was not recorded"


async def recover(settings: Settings, containers: Containers, lifecycle: Lifecycle, execs: Execs, trash: Trash) -> None:
    """Brings the containers' states up to date and sweeps the rest. Nothing may be started before it returns."""
    bundles = await asyncio.to_thread(_names, settings.bundles)
    candidates = [container for container in containers if container.id in bundles or container.running]
    adopted = {
        container.id
        for container, lives in zip(
            candidates, await asyncio.gather(*(_adopt(item, lifecycle, execs) for item in candidates)), strict=True
        )
        if lives
    }
    try:
        await asyncio.to_thread(_unmount_below, settings.bundles, adopted)
        await asyncio.to_thread(client.sweep, settings.exec_root, settings.cgroup_parent, adopted)
        elsewhere = [item.record for item in containers if item.record.host_config.CgroupParent]
        for record in elsewhere:
            if record.id not in adopted:
                await asyncio.to_thread(resources.remove, record, settings)
    except (CaisError, OSError) as error:
        _log.error("what dead containers left could not be swept: %s", error)
    folders = await asyncio.to_thread(_names, settings.containers)
    for container in containers:
        if container.id in adopted:
            continue
        if container.id in folders:
            _settle(container, containers, lifecycle)
        else:
            _log.warning("container %s has no folder: it was removed while the disk was full", container.id)
            await containers.discard(container)
    for name in folders:
        if name not in containers:
            _log.warning("container %s is not in the database: its folder is removed", name)
            trash.throw(settings.containers / name)
    if adopted:
        _log.info("%d running containers were found again", len(adopted))


async def _adopt(container: Container, lifecycle: Lifecycle, execs: Execs) -> bool:
    try:
        if not await lifecycle.adopt(container):
            return False
    except (CaisError, OSError) as error:
        _log.error("container %s: its monitor cannot be reached: %s", container.id, error)
        return False
    if container.monitor is not None:
        execs.restore(container, container.monitor)
    return True


def _settle(container: Container, containers: Containers, lifecycle: Lifecycle) -> None:
    """The state of a container without a monitor, from its exit record."""
    state = container.record.state
    exited = client.read_exit_record(str(starting.exit_file(containers.folder(container.id))))
    if exited is not None and (state.running or exited.finished_at_ns != state.finished_at_ns):
        state.started_at_ns = state.started_at_ns or exited.finished_at_ns
        lifecycle.record_end(container, exited)
    elif state.running:
        _log.error("container %s: %s", container.id, UNKNOWN_END)
        lifecycle.record_end(container, Exited(UNKNOWN_EXIT_CODE, False, time.time_ns(), UNKNOWN_END))
    elif container.record.host_config.AutoRemove and state.started_at_ns:
        lifecycle.remove_soon(container)


def _unmount_below(bundles: Path, keep: set[str]) -> None:
    """Unmounts what is mounted in run folders, topmost first. The mounts of containers are in their own namespaces;
    what is visible here was left by somebody, and would keep its folder from being removed. Raises OSError."""
    prefix = f"{bundles}/"
    for point in reversed(mount_points(Path("/proc/self/mountinfo").read_text("utf-8", errors="surrogateescape"))):
        if point.startswith(prefix) and point.removeprefix(prefix).partition("/")[0] not in keep:
            _log.warning("unmounting %s, which belongs to no container", point)
            mount.umount2(point, mount.MNT_DETACH)


def mount_points(mountinfo: str) -> list[str]:
    """The mount points in the text of proc_pid_mountinfo(5), in the order of mounting."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line[4]) for line in fields if len(line) > 4]


def _names(folder: "os.PathLike[str]") -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
