"""`RUN --mount`: what a command sees beside its own files, as mounts of the OCI config.

A path of a context or a stage is opened inside that tree first, as if the tree were the root, and mounted by the name
that this has really: nothing in these trees changes while a build uses them. What may be written to and is thrown away
afterwards is a read-write layer, or a copy, of the step's own (CVE-2024-23652, CVE-2024-9407).
"""

import asyncio
import os
import platform
import re
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cais.build import trees
from cais.build.cachemounts import CacheMounts
from cais.build.copying import Copying, Look
from cais.build.runmounts import Mount
from cais.build.sources import Source
from cais.build.state import workdir
from cais.errors import InvalidArgument
from cais.linux.fs import open_in_root

Json = dict[str, Any]
Find = Callable[[str], Awaitable[Source]]
"""The context of the build for "", else a stage, an image or a named context."""

_AGENT: Final = "SSH_AUTH_SOCK="
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_HAS_LOWERDIR_PLUS: Final = (6, 8)  # the kernel that has the overlay option for a layer at a time


@dataclass(slots=True)
class Mounted:
    """What comes of the mounts of a RUN. points: where they are seen. environment: variables that hold secrets."""

    mounts: list[Json] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mounting:
    """Makes the mounts of one RUN. scratch: a folder of the step's own. private: one that does not survive."""

    find: Find
    caches: CacheMounts
    secrets: Mapping[str, bytes]
    ssh: Mapping[str, str]
    scratch: Path
    private: Path

    async def mount(self, wanted: Sequence[Mount], folder: str, stack: AsyncExitStack) -> Mounted:
        """The mounts, until the stack is closed. Raises: InvalidArgument, OSError."""
        made = Mounted()
        caches = await self._caches_of(wanted, folder, stack)
        for number, item in enumerate(wanted):
            if item.type == "secret":
                self._secret(made, item, folder, number)
                continue
            if item.type == "ssh":
                self._agent(made, item, folder, number)
                continue
            target = workdir(folder, item.target)
            if target == "/":
                raise InvalidArgument(f'invalid mount target "{item.target}"')
            made.points.append(target)
            match item.type:
                case "tmpfs":
                    size = [f"size={item.size_bytes}"] if item.size_bytes else []
                    made.mounts.append(_mount(target, "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", *size))
                case "cache":
                    options = ["bind", "rprivate", *(["ro"] if item.readonly else [])]
                    made.mounts.append(_mount(target, "bind", str(caches[item.id or target]), *options))
                case _:
                    made.mounts.append(await self._bind(item, target, number))
        return made

    def _secret(self, made: Mounted, item: Mount, folder: str, number: int) -> None:
        content = self.secrets.get(item.secret_id)
        if content is None:
            if item.required:
                raise InvalidArgument(f"secret {item.secret_id}: not found")
            return
        if item.env is not None:
            made.environment.append(f"{item.env}={content.decode('utf-8', 'surrogateescape')}")
        if not item.secret_target:
            return
        self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.private / f"secret-{number}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(file, "wb") as out:
            out.write(content)
            os.fchown(file, item.uid or 0, item.gid or 0)
            os.fchmod(file, 0o400 if item.mode is None else item.mode & 0o7777)
        target = workdir(folder, item.secret_target)
        made.points.append(target)
        made.mounts.append(_mount(target, "bind", str(path), "bind", "rprivate", "ro", "nosuid", "nodev", "noexec"))

    def _agent(self, made: Mounted, item: Mount, folder: str, number: int) -> None:
        """The socket of an agent; the first one is what SSH_AUTH_SOCK names."""
        identity = item.id or "default"
        socket = self.ssh.get(identity)
        if socket is None:
            if item.required:
                raise InvalidArgument(f'no SSH key "{identity}" forwarded from the client')
            return
        if not stat.S_ISSOCK(os.stat(socket).st_mode):
            raise InvalidArgument(f"what is forwarded as {identity} is not the socket of an SSH agent")
        target = workdir(folder, item.target or f"/run/buildkit/ssh_agent.{number}")
        made.points.append(target)
        made.mounts.append(_mount(target, "bind", socket, "bind", "rprivate", "nosuid", "nodev", "noexec"))
        if not any(variable.startswith(_AGENT) for variable in made.environment):
            made.environment.append(f"{_AGENT}{target}")

    async def _caches_of(self, wanted: Sequence[Mount], folder: str, stack: AsyncExitStack) -> dict[str, Path]:
        """The caches of a RUN, each once, by their ids; in the order of these, so that two commands that want the same
        ones for themselves don't wait for each other."""
        items = {item.id or workdir(folder, item.target): item for item in wanted if item.type == "cache"}
        return {identity: await self._cache(identity, items[identity], stack) for identity in sorted(items)}

    async def _cache(self, identity: str, item: Mount, stack: AsyncExitStack) -> Path:
        owner = (item.uid or 0, item.gid or 0)
        mode = 0o755 if item.mode is None else item.mode & 0o7777
        path, is_new = await stack.enter_async_context(self.caches.use(identity, item.sharing, mode, owner))
        if is_new and item.source_from:
            source = await self.find(item.source_from)
            await source.look(lambda root: _copy(root, item.source, path))
        return path

    async def _bind(self, item: Mount, target: str, number: int) -> Json:
        source = await self.find(item.source_from)
        scratch = self.scratch / f"mount-{number}"
        return await asyncio.to_thread(_bind, source, item, target, scratch)


def _bind(source: Source, item: Mount, target: str, scratch: Path) -> Json:
    """Show a path of a tree. Blocks."""
    scratch.mkdir(mode=0o700)
    path = trees.inside(item.source)
    if len(source.layers) > 1 and not path and _knows_single_layers():
        return _overlay(source.layers, target, item, scratch)
    with source.opened() as root:
        try:
            found = open_in_root(root, path or ".", os.O_PATH)
        except OSError as error:
            raise InvalidArgument(
                f'failed to compute cache key: "/{path}": {(error.strerror or "error").lower()}'
            ) from error
        try:
            is_folder = stat.S_ISDIR(os.fstat(found).st_mode)
            if len(source.layers) > 1 or not (is_folder or item.readonly):
                copy = scratch / "copy"
                if is_folder:
                    copy.mkdir()
                _copy(root, path, copy)
                return _mount(target, "bind", str(copy), "bind", "rprivate", *(["ro"] if item.readonly else []))
            real = os.readlink(f"/proc/self/fd/{found}")
        finally:
            os.close(found)
    if item.readonly:
        return _mount(target, "bind", real, "bind", "rprivate", "ro")
    return _overlay((real,), target, item, scratch)


def _overlay(layers: Sequence[str], target: str, item: Mount, scratch: Path) -> Json:
    """Layers as one folder; what is written there is thrown away with the step."""
    if len(layers) == 1 and not _knows_single_layers():
        copy = scratch / "copy"
        copy.mkdir()
        root = os.open(layers[0], _FOLDER)
        try:
            _copy(root, "", copy)
        finally:
            os.close(root)
        return _mount(target, "bind", str(copy), "bind", "rprivate")
    options = [f"lowerdir+={layer}" for layer in layers]
    if item.readonly:
        return _mount(target, "overlay", "overlay", *options, "ro")
    upper, work = scratch / "upper", scratch / "work"
    upper.mkdir()
    work.mkdir()
    return _mount(target, "overlay", "overlay", *options, f"upperdir={upper}", f"workdir={work}", "volatile")


def _copy(root: int, source: str, target: Path) -> None:
    """Copy what a path of a tree leads to, as it is. Blocks."""
    parent = os.open(target.parent, _FOLDER)
    try:
        Copying(parent, Look(owner=None)).copy(root, trees.inside(source), target.name)
    finally:
        os.close(parent)


def _knows_single_layers() -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return release is not None and (int(release[1]), int(release[2])) >= _HAS_LOWERDIR_PLUS


def _mount(target: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def missing_parts(root: int, path: str) -> list[str]:
    """The folders of a path, and its last part, that a tree does not have; the topmost first. Blocks."""
    parts = [part for part in path.split("/") if part]
    missing: list[str] = []
    for number in range(len(parts), 0, -1):
        part = "/".join(parts[:number])
        if trees.exists(root, part):
            break
        missing.append(part)
    return missing[::-1]


def remove_points(diff: Path, missing: Sequence[Sequence[str]]) -> None:
    """Take away what was made for mounts to be seen at, as far as it is still empty. Blocks."""
    root = os.open(diff, _FOLDER)
    try:
        for part in (part for parts in missing for part in reversed(parts)):
            parent, _, name = part.rpartition("/")
            try:
                folder = open_in_root(root, parent or ".", os.O_PATH | os.O_DIRECTORY)
            except OSError:
                continue
            _remove_empty(folder, name)
            os.close(folder)
    finally:
        os.close(root)


def _remove_empty(folder: int, name: str) -> None:
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            os.rmdir(name, dir_fd=folder)
        elif stat.S_ISREG(info.st_mode) and info.st_size == 0:
            os.unlink(name, dir_fd=folder)
    except OSError:
        return  # it was put to use
