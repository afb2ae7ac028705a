"""A container's file system, from its root down, as the container sees it: mounts included.

Of one that runs it is its own root, which is reached through /proc. For one that does not, the layers and the mounts
are put together again in a mount namespace that only the descriptors of `ContainerRoot` keep alive: no path of the
host leads there, and it is gone when they are closed, whoever dies.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cais.engine.text import reason
from cais.errors import Internal
from cais.linux import mount, namespaces
from cais.linux.mount import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MS_REC, MS_SLAVE
from cais.runtime import plan, rootfs, spec
from cais.runtime.errors import StartFailed
from cais.runtime.messages import RootFilesystem

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SAFE: Final = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


class ContainerRoot:
    """Descriptors of a container's root folder and of what keeps it mounted. Closed as a context manager."""

    def __init__(self, fd: int, namespace_fd: int | None = None) -> None:
        self.fd = fd
        self._namespace_fd = namespace_fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; may take a while, since what was written in a container that does not run is synced."""
        os.close(self.fd)
        if self._namespace_fd is not None:
            os.close(self._namespace_fd)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the root of a container that does not run is made of.

    layers: the folders below the read-write one, topmost first. folder: the container's, with its read-write layer.
    bundle: its run folder, made where it is missing. mounts: those of the runtime config that show files of the host.
    """

    layers: tuple[str, ...]
    folder: Path
    bundle: Path
    mounts: list[dict[str, Any]]
    volatile: bool


def of_running(pid: int) -> ContainerRoot:
    """The root of the container whose first process this is. Raises OSError when the process has ended."""
    process = os.open(f"/proc/{pid}", _FOLDER)
    try:
        fd = os.open("root", _FOLDER, dir_fd=process)
        try:
            if os.stat("ns/mnt", dir_fd=process).st_ino == os.stat("/proc/self/ns/mnt").st_ino:
                raise ProcessLookupError(f"process {pid} is in no container")
            return ContainerRoot(_topmost(fd))
        finally:
            os.close(fd)
    finally:
        os.close(process)


def _topmost(fd: int) -> int:
    """The root of the mount namespace that a folder is in, whatever its processes have made their root."""
    current = os.dup(fd)
    while True:
        above = os.open("..", _FOLDER, dir_fd=current)
        is_same = mount_id(above) == mount_id(current) and os.path.samestat(os.fstat(above), os.fstat(current))
        os.close(current)
        current = above
        if is_same:
            return current


def mount_id(fd: int) -> str:
    """Which mount a descriptor is on. proc_pid_fdinfo(5)."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith("mnt_id:"))


def of_stopped(parts: Parts, *, writable: bool) -> ContainerRoot:
    """Put the root together. To be called in a thread that ends then: its mount namespace is another afterwards.

    Without `writable` nothing changes on disk: what is missing for the mounts is made in memory.
    Raises Internal when it cannot be mounted.
    """
    try:
        parts.bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount("", "/", None, MS_SLAVE | MS_REC)
        return _assemble(parts, writable)
    except (OSError, StartFailed) as error:
        said = error.message if isinstance(error, StartFailed) else reason(error)
        raise Internal(f"mount the files of container {parts.folder.name}: {said}") from error


def _assemble(parts: Parts, writable: bool) -> ContainerRoot:
    scratch = mount.create_filesystem("tmpfs", [("mode", "700")], source="tmpfs", attributes=_SAFE)
    try:
        target = os.open(parts.bundle, _FOLDER)
        mount.move_mount(scratch, target)
        os.close(target)
        for name in ("root", "upper", "work"):
            os.mkdir(name, 0o755, dir_fd=scratch)
    finally:
        os.close(scratch)
    own, bundle = parts.folder / "rw", parts.bundle
    if writable:
        layers = RootFilesystem(parts.layers, str(own / "diff"), str(own / "work"), parts.volatile)
    else:
        lower = (str(own / "diff"), *parts.layers)
        layers = RootFilesystem(lower, str(bundle / "upper"), str(bundle / "work"), volatile=True)
    root = rootfs.assemble(layers, str(bundle / "root"))
    try:
        root.bind(plan.of_mounts(spec.parse_mounts(parts.mounts)))
        fd = os.open(".", _FOLDER, dir_fd=root.fd)
        return ContainerRoot(fd, os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
    finally:
        root.close()
