"""What is mounted: which cgroup hierarchies this process can use, and where."""

from dataclasses import dataclass

from cais.runtime.cgroups.files import read_lines
from cais.runtime.cgroups.hybrid import HybridHierarchy
from cais.runtime.cgroups.interface import CgroupError, Hierarchy
from cais.runtime.cgroups.v1 import V1Hierarchy, V1Mount
from cais.runtime.cgroups.v2 import V2Hierarchy

# The hierarchies of version 1 may carry these words beside their controllers
_OPTIONS = frozenset({"rw", "ro", "noprefix", "clone_children", "xattr", "none", "cpuset_v2_mode", "favordynmods"})
_PREFERRED = "/sys/fs/cgroup"
# Beside version 1, version 2 is used only where it has one of these: a group in a hierarchy that limits nothing
# would cost each start 6 to 14 ms, for the process cannot move itself there without a grace period.
_WORTH_A_SECOND_GROUP = frozenset({"cpu", "cpuset", "io", "memory", "pids"})


@dataclass(frozen=True, slots=True)
class Layout:
    """The usable hierarchies: those of version 1, and the mount point of version 2 with its controllers."""

    v1: tuple[V1Mount, ...] = ()
    v2: str | None = None
    v2_controllers: frozenset[str] = frozenset()


def open_hierarchy() -> Hierarchy:
    """The cgroups of this host. Raises CgroupError when none are mounted."""
    layout = layout_from(read_lines("/proc/self/mountinfo"))
    if layout.v2 is not None:
        names = read_lines(f"{layout.v2}/cgroup.controllers")
        layout = Layout(layout.v1, layout.v2, frozenset(names[0].split()) if names else frozenset())
    return hierarchy_of(layout)


def hierarchy_of(layout: Layout) -> Hierarchy:
    """The implementation for what is mounted."""
    if layout.v1 and layout.v2 is not None and layout.v2_controllers & _WORTH_A_SECOND_GROUP:
        return HybridHierarchy(V1Hierarchy(layout.v1), V2Hierarchy(layout.v2, layout.v2_controllers))
    if layout.v1:
        return V1Hierarchy(layout.v1)
    if layout.v2 is not None:
        return V2Hierarchy(layout.v2, layout.v2_controllers)
    raise CgroupError('no cgroup file system is mounted; mount one with "mount -t cgroup2 none /sys/fs/cgroup"')


def layout_from(mountinfo: list[str]) -> Layout:
    """Parse the lines of /proc/self/mountinfo, proc_pid_mountinfo(5); the controllers of version 2 stay empty.

    A hierarchy that is mounted twice counts once: below /sys/fs/cgroup if it is there, else the first mount.
    """
    v1: dict[tuple[str, ...], V1Mount] = {}
    v2: str | None = None
    for line in mountinfo:
        before, _, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(tail) < 3:
            continue
        point = _unescape(fields[4])
        if tail[0] == "cgroup2":
            if v2 is None or (point.startswith(_PREFERRED) and not v2.startswith(_PREFERRED)):
                v2 = point
        elif tail[0] == "cgroup":
            mount = _v1_mount(point, tail[2])
            key = (*mount.controllers, mount.name or "")
            known = v1.get(key)
            if known is None or (point.startswith(_PREFERRED) and not known.point.startswith(_PREFERRED)):
                v1[key] = mount
    # Only named hierarchies (systemd's) can't limit anything: such a host is one of version 2
    if v2 is not None and not any(mount.controllers for mount in v1.values()):
        v1 = {}
    return Layout(tuple(v1.values()), v2)


def _v1_mount(point: str, super_options: str) -> V1Mount:
    name: str | None = None
    controllers = []
    for word in super_options.split(","):
        if word.startswith("name="):
            name = word.removeprefix("name=")
        elif "=" not in word and word not in _OPTIONS:
            controllers.append(word)
    return V1Mount(point, tuple(controllers), name)


def _unescape(text: str) -> str:
    """mountinfo writes blank, tab, newline and backslash as \\ooo."""
    if "\\" not in text:
        return text
    head, *rest = text.split("\\")
    return head + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)
