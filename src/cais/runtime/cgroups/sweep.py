"""Removing the groups that nobody answers for any more."""

from collections.abc import Collection

from cais.runtime.cgroups.detect import open_hierarchy
from cais.runtime.cgroups.interface import CgroupError, Hierarchy


def sweep(parent: str, keep: Collection[str], hierarchy: Hierarchy | None = None) -> list[str]:
    """Kill what runs in the groups directly below `parent`, except those named in `keep`, and remove them.

    Returns the names of the removed ones. Goes on to the end, then raises CgroupError for the first that failed.
    """
    hierarchy = hierarchy or open_hierarchy()
    removed, failed = [], []
    for name in sorted(hierarchy.children(parent) - set(keep)):
        group = hierarchy.open(f"{parent}/{name}")
        try:
            group.kill()
            group.remove()
        except CgroupError as error:
            failed.append(error)
        else:
            removed.append(name)
    if failed:
        raise failed[0]
    return removed
