"""The limits of containers in their control groups: read, and changed while a container runs.

Everything here blocks for a moment, and is called in a thread.
"""

import functools

from cais.engine import spec
from cais.engine.models import Record
from cais.engine.settings import Settings
from cais.runtime.cgroups import Cgroup, CgroupError, Hierarchy, Resources, Stats, Write, open_hierarchy


@functools.cache
def _hierarchy() -> Hierarchy:
    """What the host has mounted; it is looked up once."""
    return open_hierarchy()


def group(record: Record, settings: Settings) -> Cgroup:
    """The control groups of a container, which is taken to run. Raises CgroupError."""
    return _hierarchy().open(spec.cgroups_path(record, settings.cgroup_parent))


def group_at(path: str) -> Cgroup:
    """The control groups at a path, which are taken to exist. Raises CgroupError."""
    return _hierarchy().open(path)


def update(record: Record, settings: Settings, changed: spec.Json) -> None:
    """Changes the limits of a running container; `changed` is an OCI `linux.resources` of those alone.

    Raises CgroupError, with what the kernel says.
    """
    group(record, settings).update(Resources.from_oci(changed))


def plan(wanted: spec.Json) -> tuple[Write, ...]:
    """What will be written into the control groups of a container with these OCI `linux.resources`.

    Raises InvalidArgument, CgroupError.
    """
    return _hierarchy().plan(Resources.from_oci(wanted))


def stats(record: Record, settings: Settings) -> Stats:
    """What a running container uses. Raises CgroupError."""
    return group(record, settings).stats()


def is_frozen(record: Record, settings: Settings) -> bool:
    """Whether the processes of a container stand still."""
    try:
        return group(record, settings).frozen()
    except CgroupError:
        return False


def remove(record: Record, settings: Settings) -> None:
    """Kills and removes what a dead monitor has left of a container's groups. Raises CgroupError."""
    left = group(record, settings)
    left.kill()
    left.remove()
