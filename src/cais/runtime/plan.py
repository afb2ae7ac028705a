"""What will be mounted in a container, as plain data that can be compared, printed and then executed.

`of_spec` turns the OCI config's mounts into steps; `cais.runtime.rootfs` executes them in order.
"""

from dataclasses import dataclass, field

from cais.linux import mount as mnt
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.spec import Mount, Spec


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of one mount: MOUNT_ATTR_… to set, and its propagation, MS_…; each for itself or recursive."""

    attr_set: int = 0
    recursive: bool = False
    propagation: int = mnt.MS_PRIVATE
    propagation_recursive: bool = True


@dataclass(frozen=True, slots=True)
class FilesystemStep:
    """Mount a new instance of a file system. strict_target: the target may be no link (proc and sysfs)."""

    target: str
    fstype: str
    source: str
    options: tuple[tuple[str, str | None], ...]
    attributes: Attributes
    strict_target: bool = False


@dataclass(frozen=True, slots=True)
class BindStep:
    """Show `source` of the host at `target`. recursive: with the mounts below it.

    namespace: the mount namespace of another container, which `source` is taken from instead. subpath: what inside
    the source is shown. layers: folders that are merged, topmost first, to be the source.
    """

    target: str
    source: str
    recursive: bool
    attributes: Attributes
    namespace: str = ""
    subpath: str = ""
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CgroupStep:
    """Show the container its control groups."""

    target: str
    attributes: Attributes


MountStep = FilesystemStep | BindStep | CgroupStep


@dataclass(frozen=True, slots=True)
class RootPlan:
    """The root file system of a container, from its mounts to what is hidden of them."""

    steps: tuple[MountStep, ...]
    populate_dev: bool
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    readonly_root: bool
    sysctl: dict[str, str] = field(default_factory=dict)


# What an option sets, and what it takes back of the options before it. A bind mount of something read-only on the
# host stays so whatever is asked: no option clears an attribute that the source has.
_ATTRIBUTES = {
    "ro": (mnt.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, mnt.MOUNT_ATTR_RDONLY),
    "nosuid": (mnt.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, mnt.MOUNT_ATTR_NOSUID),
    "nodev": (mnt.MOUNT_ATTR_NODEV, 0),
    "dev": (0, mnt.MOUNT_ATTR_NODEV),
    "noexec": (mnt.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, mnt.MOUNT_ATTR_NOEXEC),
    "noatime": (mnt.MOUNT_ATTR_NOATIME, mnt.MOUNT_ATTR__ATIME),
    "relatime": (mnt.MOUNT_ATTR_RELATIME, mnt.MOUNT_ATTR__ATIME),
    "strictatime": (mnt.MOUNT_ATTR_STRICTATIME, mnt.MOUNT_ATTR__ATIME),
    "nodiratime": (mnt.MOUNT_ATTR_NODIRATIME, 0),
    "nosymfollow": (mnt.MOUNT_ATTR_NOSYMFOLLOW, 0),
}
_PROPAGATIONS = {
    "private": (mnt.MS_PRIVATE, False),
    "rprivate": (mnt.MS_PRIVATE, True),
    "slave": (mnt.MS_SLAVE, False),
    "rslave": (mnt.MS_SLAVE, True),
    "shared": (mnt.MS_SHARED, False),
    "rshared": (mnt.MS_SHARED, True),
    "unbindable": (mnt.MS_UNBINDABLE, False),
    "runbindable": (mnt.MS_UNBINDABLE, True),
}
# What a mount may hide below /proc: what LXCFS and its like provide (runc's list).
_PROC_ALLOWED = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "sys/kernel/ns_last_pid",
    )
)  # fmt: skip


def of_spec(spec: Spec) -> RootPlan:
    """The plan of a config. Raises: StartFailed (invalid) that names the mount or option at fault."""
    steps = of_mounts(spec.mounts)
    dev = next((step for step in reversed(steps) if step.target == "/dev"), None)
    return RootPlan(
        steps=steps,
        populate_dev=not isinstance(dev, BindStep),
        masked_paths=spec.masked_paths,
        readonly_paths=spec.readonly_paths,
        readonly_root=spec.readonly_root,
        sysctl=spec.sysctl,
    )


def of_mounts(mounts: tuple[Mount, ...]) -> tuple[MountStep, ...]:
    """The steps of mounts. Raises: StartFailed (invalid) that names the mount or option at fault."""
    return tuple(map(_step, mounts))


def _step(item: Mount) -> MountStep:
    target = _clean(item)
    attributes, rest = _options(item)
    if item.type == "bind":
        recursive = "rbind" in rest
        unknown = [word for word in rest if word not in ("bind", "rbind")]
        if unknown:
            raise _invalid(item, f"option {unknown[0]!r} is not one of a bind mount")
        return BindStep(target, item.source, recursive, attributes, item.namespace, item.subpath, item.layers)
    if item.type in ("cgroup", "cgroup2"):
        return CgroupStep(target, attributes)
    if not item.type:
        raise _invalid(item, "it has no type")
    pairs = (word.partition("=") for word in rest)
    options = tuple((key, value if equals else None) for key, equals, value in pairs)
    return FilesystemStep(target, item.type, item.source, options, attributes, item.type in ("proc", "sysfs"))


def _clean(item: Mount) -> str:
    target = item.destination
    if not target.startswith("/") or ".." in target.split("/"):
        raise _invalid(item, "the destination must be an absolute path without '..'")
    target = "/" + "/".join(part for part in target.split("/") if part not in ("", "."))
    if target.startswith("/proc/") and target not in _PROC_ALLOWED and item.type == "bind":
        raise _invalid(item, f'"{target}" cannot be mounted because it is inside /proc')
    return target


def _options(item: Mount) -> tuple[Attributes, list[str]]:
    """The attributes that the mount's options ask for, and the options that are the file system's own."""
    attr_set = 0
    recursive = False
    propagation, spread = mnt.MS_PRIVATE, True
    rest: list[str] = []
    for word in item.options:
        if word in _ATTRIBUTES:
            on, off = _ATTRIBUTES[word]
            attr_set = attr_set & ~off | on
        elif word == "rro":
            attr_set |= mnt.MOUNT_ATTR_RDONLY
            recursive = True
        elif word in _PROPAGATIONS:
            propagation, spread = _PROPAGATIONS[word]
        elif word != "defaults":
            rest.append(word)
    return Attributes(attr_set, recursive, propagation, spread), rest


def _invalid(item: Mount, text: str) -> StartFailed:
    return StartFailed(Reason.INVALID, f"mount of {item.source!r} to {item.destination!r}: {text}")
