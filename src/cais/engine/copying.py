"""Files of a container, out of it and into it, as tar archives: `docker cp`.

Paths are the container's: links are followed inside its root, and nothing outside of it is ever opened, whatever the
container does meanwhile. How a path ends matters as in Docker: "/" or "/." at its end ask for a folder, and have a link
at its end followed; what it is called in an archive is the last part of the path that was asked for.
"""

import asyncio
import errno
import os
import posixpath
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from cais.distribution.compression import decompressed
from cais.engine import container_root, etcfiles, joining, spec
from cais.engine.container import Container
from cais.engine.container_root import ContainerRoot, mount_id
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.images import Images
from cais.engine.mounts import clean
from cais.engine.settings import Settings
from cais.engine.text import printable, reason
from cais.engine.work import Pipe, ahead, run_blocking, run_with_body
from cais.errors import Forbidden, Internal, InvalidArgument, NotFound
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from cais.runtime import users
from cais.runtime.errors import StartFailed
from cais.storage import tartree
from cais.storage.tarstream import TarReader
from cais.storage.unpack_live import Target, unpack_live

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY
_INSIDE: Final = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_MAX_LINKS: Final = 255

_Pieces = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class PathStat:
    """What is at a path. link_target: where a link leads, from the container's root, "" for what is none."""

    name: str
    size: int
    mode: int
    mtime_ns: int
    link_target: str = ""


@dataclass(frozen=True, slots=True)
class UnpackRequest:
    """How an archive is unpacked. as_user: everything belongs to the container's user."""

    path: str
    keeps_kinds: bool = False
    as_user: bool = False


class Copying:
    """Copies between containers and clients of one engine."""

    def __init__(self, *, settings: Settings, containers: Containers, images: Images, events: EventBus) -> None:
        self._settings = settings
        self._containers = containers
        self._images = images
        self._events = events

    async def stat(self, container: Container, path: str) -> PathStat:
        """What is at a path; a link at its end is not followed. Raises NotFound, InvalidArgument, Internal."""
        async with self._root(container) as root:
            entry, found = await asyncio.to_thread(_find, root.fd, path, container)
            os.close(entry)
            return found

    @asynccontextmanager
    async def reading(self, container: Container, path: str) -> AsyncIterator[tuple[PathStat, _Pieces]]:
        """What is at a path, and its archive in pieces, good for the time of the block. Raises as `stat` does."""
        async with self._root(container) as root:
            entry, found = await asyncio.to_thread(_find, root.fd, path, container)
            try:
                self._events.emit("container", "archive-path", container.id, container.event_attributes())
                yield found, ahead(tartree.pack_one(entry, found.name))
            finally:
                os.close(entry)

    async def unpack(self, container: Container, request: UnpackRequest, body: AsyncIterator[bytes]) -> None:
        """Unpacks an archive, which may be compressed, in a folder of the container.

        Raises NotFound, InvalidArgument, Forbidden for what is read-only, Unavailable when the disk is full.
        """
        async with self._root(container, writable=True) as root:
            await run_with_body(body, lambda pipe: self._unpack(container, request, root, pipe))
        self._events.emit("container", "extract-to-dir", container.id, container.event_attributes())

    def _unpack(self, container: Container, request: UnpackRequest, root: ContainerRoot, pipe: Pipe) -> None:
        path = _absolute(request.path)
        folder = _open_folder(root.fd, path, container)
        try:
            _check_writable(container, root.fd, folder)
            owner = _owner(container, root.fd) if request.as_user else None
            target = Target(root.fd, clean(path), folder, owner, replaces_kinds=not request.keeps_kinds)
            reader = TarReader(decompressed(pipe))
            unpack_live(reader, target, str(self._settings.trash))
            reader.drain()
        finally:
            os.close(folder)

    @asynccontextmanager
    async def _root(self, container: Container, *, writable: bool = False) -> AsyncIterator[ContainerRoot]:
        """The container's root for the time of the block; while one that does not run is written to, it is not started.

        Raises NotFound when it is removed meanwhile.
        """
        if running := await _of_running(container):
            with running:
                yield running
            return
        async with container.lock if writable else nullcontext():
            if container.removed:
                raise NotFound(f"No such container: {container.id}")
            root = await _of_running(container)  # it may have been started while the lock was waited for
            if root is None:
                root = await self._of_stopped(container, writable)
            try:
                yield root
            finally:
                await asyncio.shield(asyncio.to_thread(root.close))

    async def _of_stopped(self, container: Container, writable: bool) -> ContainerRoot:
        record = container.record
        folder = self._containers.folder(container.id)
        parts = container_root.Parts(
            layers=self._containers.lower_dirs(self._images.get(record.image_id)),
            folder=folder,
            bundle=self._settings.bundles / container.id,
            mounts=spec.shown_mounts(
                record, etcfiles.locations(folder), joining.image_layers(record, self._images.folders_of)
            ),
            volatile=record.host_config.AutoRemove,
        )
        return await run_blocking(lambda: container_root.of_stopped(parts, writable=writable), lambda: None)


async def _of_running(container: Container) -> ContainerRoot | None:
    """The root of a container that runs; None for one that does not, or not any more."""
    pid = container.record.state.pid
    if not pid or not _runs_as(container, pid):
        return None
    try:
        root = await asyncio.to_thread(container_root.of_running, pid)
    except OSError:
        root = None
    if container.monitor is not None:
        container.monitor.poll()
    if not _runs_as(container, pid):
        if root is not None:
            root.close()
        return None
    if root is None:
        raise Internal(f"the files of container {container.id} cannot be reached")
    return root


def _runs_as(container: Container, pid: int) -> bool:
    """Whether that is still its first process."""
    return container.running and container.record.state.pid == pid


def _absolute(path: str) -> str:
    """A path from the root, cleaned, with the "/" or "/." that it ends with. Raises InvalidArgument."""
    if not path:
        raise InvalidArgument("bad parameter: pathcannot be empty")
    if "\0" in path:
        raise InvalidArgument(f"bad parameter: the path {printable(path)} contains a NUL byte")
    found = clean("/" + path)
    if asks_for_content(path):
        return found.rstrip("/") + "/."
    return found.rstrip("/") + "/" if path.endswith("/") else found


def asks_for_content(path: str) -> bool:
    """Whether a path means what is in a folder rather than the folder: it ends with "/."."""
    return posixpath.basename(path.rstrip("/")) == "."


def _find(root: int, path: str, container: Container) -> tuple[int, PathStat]:
    """A descriptor (O_PATH) of what is at a path, and its description."""
    path = _absolute(path)
    folder, name = posixpath.split(path)
    try:
        if name in {"", "."}:
            entry = openat2(root, path, os.O_PATH, resolve=_INSIDE)
        else:
            parent = openat2(root, folder, _FOLDER, resolve=_INSIDE)
            try:
                flags = os.O_PATH | os.O_NOFOLLOW
                entry = openat2(parent, name, flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
            finally:
                os.close(parent)
    except FileNotFoundError as error:
        raise _not_found(path, container) from error
    except OSError as error:
        raise Internal(f"lstat {path}: {(error.strerror or 'error').lower()}") from error
    info = os.fstat(entry)
    found = PathStat(
        name="." if name == "." else posixpath.basename(path.rstrip("/")) or "/",
        size=info.st_size,
        mode=go_mode(info.st_mode),
        mtime_ns=info.st_mtime_ns,
        link_target=_evaluate(root, path) if stat.S_ISLNK(info.st_mode) else "",
    )
    return entry, found


def _not_found(path: str, container: Container) -> NotFound:
    return NotFound(f"Could not find the file {path} in container {container.name}")


def _open_folder(root: int, path: str, container: Container) -> int:
    try:
        return openat2(root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_INSIDE)
    except FileNotFoundError as error:
        raise _not_found(path, container) from error
    except NotADirectoryError as error:
        raise InvalidArgument("extraction point is not a directory") from error
    except OSError as error:
        raise Internal(f"open {path}: {reason(error)}") from error


def _check_writable(container: Container, root: int, folder: int) -> None:
    """Raises Forbidden when nothing can be written there."""
    is_mounted = mount_id(root) != mount_id(folder)
    if os.fstatvfs(folder).f_flag & os.ST_RDONLY and is_mounted:
        raise Forbidden("mounted volume is marked read-only")
    if container.record.host_config.ReadonlyRootfs and not is_mounted:
        raise Forbidden("container rootfs is marked read-only")


def _owner(container: Container, root: int) -> tuple[int, int]:
    """The ids of the user that the container's process has."""
    try:
        user = users.resolve(root, container.record.config.User)
    except StartFailed as error:
        raise InvalidArgument(error.message) from error
    return user.uid, user.gid


def _evaluate(root: int, path: str) -> str:
    """The path without links that a path means; what is missing is taken as it is written. Raises Internal."""
    waiting = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while waiting:
        name = waiting.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            done = done[:-1]
            continue
        target = _read_link(root, "/".join([".", *done]), name)
        if target is None:
            done.append(name)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise Internal(f"too many links in {path}")
        if target.startswith("/"):
            done = []
        waiting += target.split("/")[::-1]
    return "/" + "/".join(done)


def _read_link(root: int, folder: str, name: str) -> str | None:
    """Where a link leads; None for what is none, or not there."""
    try:
        parent = openat2(root, folder, _FOLDER, resolve=RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
    except OSError:
        return None
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
            raise Internal(f"readlink {folder}/{name}: {reason(error)}") from error
        return None
    finally:
        os.close(parent)


def go_mode(mode: int) -> int:
    """A file's mode as Go's os.FileMode has it (https://pkg.go.dev/io/fs#FileMode), which the API speaks."""
    kinds = {
        stat.S_IFDIR: 1 << 31,
        stat.S_IFLNK: 1 << 27,
        stat.S_IFBLK: 1 << 26,
        stat.S_IFCHR: 1 << 26 | 1 << 21,
        stat.S_IFIFO: 1 << 25,
        stat.S_IFSOCK: 1 << 24,
    }
    bits = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))
    special = sum(go for bit, go in bits if mode & bit)
    return mode & 0o777 | kinds.get(stat.S_IFMT(mode), 0) | special
