"""Building a container's root, by descriptors, inside its own mount namespace.

Every path of the container is opened with RESOLVE_IN_ROOT and used by descriptor; every mount is made detached,
given its attributes, and attached last. What hides something (the null device over a masked file) is taken from
the host and checked before anything of the image is looked at.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cais.linux import fs, mount, namespaces
from cais.linux.mount import (
    AT_FDCWD,
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
)
from cais.runtime.cgroups.interface import Cgroup
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.merged import merged
from cais.runtime.messages import RootFilesystem
from cais.runtime.plan import Attributes, BindStep, CgroupStep, FilesystemStep, MountStep, RootPlan
from cais.runtime.spec import Device

_SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
_NULL_DEVICE = (1, 3)
_NOT_ALIKE = (
    "Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)
_DEFAULT_DEVICES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_DEV_LINKS = (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
              ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"))  # fmt: skip
_TYPES = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO, "u": stat.S_IFCHR}


class Root:
    """The root file system of a container that is being started; `fd` is its mount."""

    def __init__(self, fd: int, opened: dict[str, int] | None = None) -> None:
        """opened: sources that were opened before, by their targets."""
        self.fd = fd
        self._opened = opened or {}
        self._null_fd = _open_null_device()
        self._devpts_fd: int | None = None

    def apply(self, plan: RootPlan, cgroup: Cgroup, devices: tuple[Device, ...]) -> None:
        """Execute the plan's mounts in order, then hide what it hides.

        Raises: StartFailed that names the mount.
        """
        for step in plan.steps:
            with _named(f"mount {step.target}"):
                self._attach(step, cgroup)
        with _named("make the devices of /dev"):
            self._make_devices(devices, plan.populate_dev)
        for name, value in plan.sysctl.items():
            self._set_sysctl(name, value)
        for path in plan.readonly_paths:
            with _named(f"make {path} read-only"):
                self._make_readonly(path)
        with _named("hide the masked paths"):
            self._mask(plan.masked_paths)

    def bind(self, steps: tuple[MountStep, ...]) -> None:
        """Attach those of the steps that show something of the host. Raises: StartFailed that names the mount."""
        for step in steps:
            if isinstance(step, BindStep):
                with _named(f"mount {step.target}"):
                    self._attach_bind(step)

    def close(self) -> None:
        """Let go of the descriptors; the mounts stay for as long as their namespace."""
        os.close(self.fd)
        os.close(self._null_fd)

    def make_directories(self, path: str) -> int:
        """Make the missing folders of `path`; an O_PATH descriptor of the last. Raises: OSError."""
        return fs.make_directories(self.fd, path)

    def seal(self) -> None:
        """Make the root itself read-only; mounts below it stay as they are."""
        mount.mount_setattr(self.fd, attr_set=MOUNT_ATTR_RDONLY)

    def devpts_fd(self) -> int:
        """The root of the container's own devpts. Raises: StartFailed where the config mounts none."""
        if self._devpts_fd is None:
            raise StartFailed(Reason.INVALID, "a terminal was asked for, but no devpts is mounted at /dev/pts")
        return self._devpts_fd

    def bind_console(self, slave_fd: int) -> None:
        """Show the terminal at /dev/console."""
        tree = mount.open_tree(slave_fd, "")
        target = fs.make_file(self.fd, "/dev/console", 0o600)
        mount.move_mount(tree, target)
        os.close(tree)
        os.close(target)

    def _attach(self, step: MountStep, cgroup: Cgroup) -> None:
        if isinstance(step, CgroupStep):
            self._attach_cgroup(step, cgroup)
        elif isinstance(step, BindStep):
            self._attach_bind(step)
        else:
            self._attach_filesystem(step)

    def _attach_filesystem(self, step: FilesystemStep) -> None:
        fd = mount.create_filesystem(
            step.fstype, list(step.options), source=step.source, attributes=step.attributes.attr_set
        )
        if step.strict_target:
            _ensure_directory(self.fd, step.target)
            resolve = fs.RESOLVE_IN_ROOT | fs.RESOLVE_NO_SYMLINKS
            target = fs.openat2(self.fd, step.target, os.O_PATH | os.O_DIRECTORY, resolve=resolve)
        else:
            target = fs.make_directories(self.fd, step.target)
        _set_propagation(fd, step.attributes)
        mount.move_mount(fd, target)
        os.close(target)
        if step.fstype == "devpts" and step.target == "/dev/pts":
            self._devpts_fd = fd
        else:
            os.close(fd)

    def _attach_bind(self, step: BindStep) -> None:
        fd = self._opened.pop(step.target, -1)
        if fd < 0:
            fd = _source(step, self.fd)
        attributes = step.attributes
        if attributes.attr_set:
            clear = MOUNT_ATTR__ATIME if attributes.attr_set & MOUNT_ATTR__ATIME else 0
            mount.mount_setattr(fd, attr_set=attributes.attr_set, attr_clr=clear, recursive=attributes.recursive)
        _set_propagation(fd, attributes)
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        not_alike = StartFailed(Reason.INVALID, f"mount {step.target}: not a directory: {_NOT_ALIKE}")
        try:
            target = (fs.make_directories if is_folder else fs.make_file)(self.fd, step.target)
        except NotADirectoryError:
            raise not_alike from None
        try:
            if is_folder != stat.S_ISDIR(os.fstat(target).st_mode):
                raise not_alike
            if step.target == "/proc" and fs.filesystem_type(fd) != fs.PROC_SUPER_MAGIC:
                raise StartFailed(Reason.INVALID, '"/proc" cannot be mounted because it is not of type proc')
            if step.target != "/proc" and not step.target.startswith("/proc/") and _is_procfs(target):
                raise StartFailed(Reason.INVALID, f'"{step.target}" cannot be mounted because it is inside /proc')
            mount.move_mount(fd, target)
        finally:
            os.close(target)
            os.close(fd)

    def _attach_cgroup(self, step: CgroupStep, cgroup: Cgroup) -> None:
        view = cgroup.mounts()
        target = fs.make_directories(self.fd, step.target)
        if view.version == 2:
            fd = mount.create_filesystem("cgroup2", [], source="cgroup", attributes=step.attributes.attr_set)
            mount.move_mount(fd, target)
            os.close(fd)
            os.close(target)
            return
        top = mount.create_filesystem("tmpfs", [("mode", "755")], source="tmpfs", attributes=_SAFE)
        mount.move_mount(top, target)
        for name, host_directory in view.binds:
            fd = mount.open_tree(AT_FDCWD, host_directory)
            mount.mount_setattr(fd, attr_set=step.attributes.attr_set, propagation=mount.MS_PRIVATE)
            os.mkdir(name, 0o755, dir_fd=top)
            point = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
            mount.move_mount(fd, point)
            os.close(point)
            os.close(fd)
        for name, aim in view.links:
            os.symlink(aim, name, dir_fd=top)
        mount.mount_setattr(top, attr_set=step.attributes.attr_set)
        os.close(top)
        os.close(target)

    def _make_devices(self, devices: tuple[Device, ...], populate: bool) -> None:
        if not populate:
            return
        dev = fs.make_directories(self.fd, "/dev")
        for name, major, minor in _DEFAULT_DEVICES:
            _make_node(dev, name, stat.S_IFCHR | 0o666, os.makedev(major, minor), (0, 0))
        for name, aim in _DEV_LINKS:
            try:
                os.symlink(aim, name, dir_fd=dev)
            except FileExistsError:
                pass
        for device in devices:
            if device.path == "/dev/ptmx":
                continue  # among all of the host's devices, as --privileged asks for them; it is the link made above
            folder, _, name = device.path.rpartition("/")
            parent = fs.make_directories(self.fd, folder or "/")
            number = os.makedev(device.major, device.minor)
            _make_node(parent, name, _TYPES[device.type] | device.mode, number, (device.uid, device.gid))
            os.close(parent)
        os.close(dev)

    def _set_sysctl(self, name: str, value: str) -> None:
        parts = name.replace(".", "/").split("/")
        if not all(parts):  # "..", among others, would leave /proc/sys
            raise StartFailed(Reason.INVALID, f"sysctl {name!r} is not the name of one")
        with _named(f"set the sysctl {name}"):
            proc = fs.open_in_root(self.fd, "/proc", os.O_PATH | os.O_DIRECTORY)
            if not _is_procfs(proc):
                raise StartFailed(Reason.INVALID, f"set the sysctl {name}: no procfs is mounted at /proc")
            resolve = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_SYMLINKS | fs.RESOLVE_NO_XDEV
            path = "/".join(["sys", *parts])
            try:
                fd = fs.openat2(proc, path, os.O_WRONLY, resolve=resolve)
            except FileNotFoundError as error:
                message = f"open /proc/{path}: no such file or directory"
                raise StartFailed(Reason.INVALID, f"set the sysctl {name}: {message}") from error
            os.write(fd, value.encode())
            os.close(fd)
            os.close(proc)

    def _make_readonly(self, path: str) -> None:
        try:
            target = fs.open_in_root(self.fd, path, os.O_PATH)
        except FileNotFoundError:
            return
        tree = mount.open_tree(target, "", recursive=True)
        mount.mount_setattr(tree, attr_set=MOUNT_ATTR_RDONLY, recursive=True)
        mount.move_mount(tree, target)
        os.close(tree)
        os.close(target)

    def _mask(self, paths: tuple[str, ...]) -> None:
        empty_fd = -1
        for path in paths:
            try:
                target = fs.open_in_root(self.fd, path, os.O_PATH)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_ISDIR(os.fstat(target).st_mode):
                if empty_fd < 0:
                    attributes = _SAFE | MOUNT_ATTR_RDONLY
                    empty_fd = mount.create_filesystem("tmpfs", [("size", "0")], source="tmpfs", attributes=attributes)
                    tree = empty_fd
                else:
                    tree = mount.open_tree(empty_fd, "")
            else:
                tree = mount.open_tree(self._null_fd, "")
            mount.move_mount(tree, target)
            os.close(target)
            if tree != empty_fd:
                os.close(tree)
        if empty_fd >= 0:
            os.close(empty_fd)


# whatever the module's parameters: the read-write layer says by itself what has changed, for diff and commit
_PLAIN_LAYERS: Final = (("index", "off"), ("redirect_dir", "off"), ("metacopy", "off"))


def assemble(rootfs: RootFilesystem, mount_point: str, steps: tuple[MountStep, ...] = ()) -> Root:
    """Mount the overlay and attach it at `mount_point`, in a mount namespace of the caller's own.

    Nothing that is mounted from here on reaches the host, but in what those of the `steps` show that are to be shared
    with it; mounts of the host still arrive (for bind mounts that ask for it). Raises: OSError, StartFailed.
    """
    opened = {}
    for step in steps:
        if isinstance(step, BindStep) and step.attributes.propagation == MS_SHARED:
            with _named(f"mount {step.target}"):
                opened[step.target] = _source(
                    step, -1
                )  # a peer of the host's mount, as it is no more after the next line
    mount.mount("", "/", None, MS_SLAVE | MS_REC)
    if rootfs.volatile:
        _allow_reuse(rootfs.work)
    fd = _overlay(rootfs, mount_point)
    mount.mount_setattr(fd, propagation=mount.MS_PRIVATE)
    return Root(fd, opened)


def _overlay(rootfs: RootFilesystem, mount_point: str) -> int:
    options: list[tuple[str, str | None]] = [("lowerdir+", path) for path in rootfs.lower]
    options += [("upperdir", rootfs.upper), ("workdir", rootfs.work), *_PLAIN_LAYERS]
    if rootfs.volatile:
        options.append(("volatile", None))
    try:
        fd = mount.create_filesystem("overlay", options, source="overlay")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        try:
            return _overlay_by_mount(rootfs, mount_point)
        except OSError:
            raise error from None  # the one that has the kernel's own words
    target = os.open(mount_point, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mount.move_mount(fd, target)
    os.close(target)
    return fd


def _overlay_by_mount(rootfs: RootFilesystem, mount_point: str) -> int:
    """The same through mount(2), for kernels before 6.8, which know no `lowerdir+`.

    All layers share one page of text there, so they are named by descriptors, which also spares all escaping.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    opened = [os.open(path, flags) for path in (rootfs.upper, rootfs.work, *rootfs.lower)]
    upper, work, *lower = (f"/proc/self/fd/{fd}" for fd in opened)
    data = f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work}"
    data += "".join(f",{name}={value}" for name, value in _PLAIN_LAYERS)
    try:
        mount.mount("overlay", mount_point, "overlay", 0, data + (",volatile" if rootfs.volatile else ""))
    finally:
        for fd in opened:
            os.close(fd)
    return os.open(mount_point, flags)


def _allow_reuse(work: str) -> None:
    """Remove the mark of an earlier volatile mount, without which overlayfs refuses the layer: it may be lost."""
    mark = os.path.join(work, "work", "incompat", "volatile")
    try:
        os.unlink(os.path.join(mark, "dirty"))
    except FileNotFoundError:
        pass
    for folder in (mark, os.path.dirname(mark)):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass


def _source(step: BindStep, root_fd: int) -> int:
    """A detached copy of what is to be shown. Raises: OSError, StartFailed."""
    if step.namespace:
        return _tmpfs_of(step.namespace, step.source)
    if step.layers:
        tree = merged(step.layers, mount.MOUNT_ATTR_RDONLY)
        if not step.subpath:
            return tree
        # a part of what is mounted nowhere cannot be copied: it is mounted on the root for a moment
        mount.move_mount(tree, root_fd)
        try:
            return _part(tree, step)
        finally:
            mount.umount2(f"/proc/self/fd/{tree}", mount.MNT_DETACH)
            os.close(tree)
    if not step.subpath:
        return mount.open_tree(AT_FDCWD, step.source, recursive=step.recursive)
    folder = os.open(step.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _part(folder, step)
    finally:
        os.close(folder)


def _part(folder: int, step: BindStep) -> int:
    """A detached copy of what is at the step's subpath in a folder, which other containers may be changing."""
    resolve = fs.RESOLVE_BENEATH | fs.RESOLVE_NO_MAGICLINKS
    try:
        part = fs.openat2(folder, step.subpath, os.O_PATH, resolve=resolve)
    except FileNotFoundError:
        text = f'cannot access path "{step.subpath}" in {step.source!r}: no such file or directory'
        raise StartFailed(Reason.INVALID, text) from None
    try:
        return mount.open_tree(part, "", recursive=step.recursive)
    finally:
        os.close(part)


def _tmpfs_of(namespace: str, path: str) -> int:
    """A detached copy of the tmpfs that is mounted at `path` in another mount namespace, that of a container.

    The container may have put anything there: no link is followed, and only a whole tmpfs is taken. Raises: OSError.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    other = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    namespaces.setns(other, namespaces.CLONE_NEWNS)
    try:
        target = fs.openat2(AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, resolve=fs.RESOLVE_NO_SYMLINKS)
        parent = fs.openat2(target, "..", os.O_PATH | os.O_DIRECTORY)
        is_mounted = os.fstat(target).st_dev != os.fstat(parent).st_dev
        os.close(parent)
        if not is_mounted or fs.filesystem_type(target) != fs.TMPFS_MAGIC:
            raise OSError(errno.EINVAL, "no tmpfs is mounted there", path)
        tree = mount.open_tree(target, "")
        os.close(target)
    finally:
        namespaces.setns(own, namespaces.CLONE_NEWNS)
        os.close(own)
        os.close(other)
    return tree


def _open_null_device() -> int:
    fd = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    status = os.fstat(fd)
    if not stat.S_ISCHR(status.st_mode) or (os.major(status.st_rdev), os.minor(status.st_rdev)) != _NULL_DEVICE:
        raise StartFailed(Reason.INTERNAL, "/dev/null of the host is not the null device")
    return fd


def _is_procfs(fd: int) -> bool:
    return fs.filesystem_type(fd) == fs.PROC_SUPER_MAGIC


def _ensure_directory(root_fd: int, target: str) -> None:
    os.close(fs.make_directories(root_fd, target))


def _set_propagation(fd: int, attributes: Attributes) -> None:
    mount.mount_setattr(fd, propagation=attributes.propagation, recursive=attributes.propagation_recursive)


def _make_node(dir_fd: int, name: str, mode: int, device: int, owner: tuple[int, int]) -> None:
    try:
        os.mknod(name, mode, device, dir_fd=dir_fd)
    except FileExistsError:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(mode) or status.st_rdev != device:
            raise
        return
    if owner != (0, 0):
        os.chown(name, *owner, dir_fd=dir_fd, follow_symlinks=False)


@contextmanager
def _named(operation: str) -> Iterator[None]:
    """Say which step failed."""
    try:
        yield
    except OSError as error:
        where = f" {error.filename!r}" if error.filename else ""
        raise StartFailed(Reason.INVALID, f"{operation}: {error.strerror}{where}") from error
