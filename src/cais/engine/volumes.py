"""All volumes of an engine: found by name; made, filled, mounted, listed, taken away.

What is in the database and has a folder exists. A folder with content that is not in the database is no rubbish but
somebody's data: it becomes a volume again when the engine opens. An empty one is swept.
"""

import asyncio
import logging
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cais.engine import volume_options
from cais.engine.events import EventBus
from cais.engine.filters import Filters
from cais.engine.models import MountPoint
from cais.engine.settings import Settings
from cais.engine.text import printable, reason
from cais.engine.trash import Trash
from cais.engine.volume import (
    ANONYMOUS_LABEL,
    DRIVER,
    Volume,
    VolumeRecord,
    VolumeRequest,
    anonymous_name,
    check_name,
    decode_volume,
    encode_volume,
    is_name,
)
from cais.engine.work import to_the_end
from cais.errors import CaisError, Conflict, NotFound, Unavailable, Unsupported
from cais.linux.fs import spread_folders
from cais.storage.database import Database
from cais.storage.measure import disk_bytes

_log = logging.getLogger("cais.engine.volumes")

LIST_FILTERS: Final = frozenset({"dangling", "driver", "label", "name"})
PRUNE_FILTERS: Final = frozenset({"all", "label", "label!"})


@dataclass(frozen=True, slots=True)
class PrunedVolumes:
    """What was removed, and the bytes that it had taken."""

    names: list[str]
    bytes: int


class Volumes:
    """The volumes of one engine. `users`: the ids of the containers that were made with a volume, set by the engine."""

    users: Callable[[str], list[str]]

    def __init__(self, settings: Settings, database: Database, events: EventBus, trash: Trash) -> None:
        self._root = settings.data_root / "volumes"
        self._scratch = settings.trash
        self._database = database
        self._events = events
        self._trash = trash
        self._by_name: dict[str, Volume] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._pruning = False

    def __iter__(self) -> Iterator[Volume]:
        return iter(list(self._by_name.values()))

    async def open(self) -> None:
        """Reads every stored volume, and looks for those that are not stored. Raises OSError, Unavailable."""
        self._root.mkdir(mode=0o711, exist_ok=True)
        spread_folders(self._root)
        for name, stored in await self._database.run(_load):
            try:
                record = decode_volume(stored)
            except msgspec.MsgspecError as error:
                _log.error("volume %s: its record cannot be read: %s", name, error)
                record = VolumeRecord(name=name, created_ns=0)
            folder = self._root / name
            if folder.is_dir():
                self._by_name[name] = Volume(record, folder)
            else:
                await self._forget(name)
        for name in await asyncio.to_thread(os.listdir, self._root):
            if name not in self._by_name:
                await self._adopt(name)

    async def settle(self) -> None:
        """Undoes mounts that an earlier engine has left and no running container uses."""
        for volume in self:
            if volume.options and not volume.users:
                await self._unmount(volume)

    def mount_point(self, name: str) -> str:
        """The folder of the volume with this name, there or not."""
        return str(self._root / name / "_data")

    def find(self, name: str) -> Volume:
        """The volume with this name. Raises NotFound."""
        volume = self._by_name.get(name)
        if volume is None or volume.removing:
            raise NotFound(f"get {printable(name)}: no such volume")
        return volume

    def select(self, filters: Filters) -> list[Volume]:
        """The volumes that the filters let through, by name. Raises InvalidArgument."""
        filters.validate(LIST_FILTERS)
        dangling = filters.boolean("dangling", default=False) if "dangling" in filters else None
        found = [
            volume
            for volume in self
            if not volume.removing
            and filters.matches("name", volume.name)
            and filters.exact("driver", DRIVER)
            and filters.labels("label", volume.labels)
            and (dangling is None or dangling is not bool(self.users(volume.name)))
        ]
        return sorted(found, key=lambda volume: volume.name)

    async def create(self, request: VolumeRequest) -> Volume:
        """The volume that is asked for, made unless it is there. Raises InvalidArgument, NotFound for the driver."""
        if request.ClusterVolumeSpec is not None:
            raise Unsupported("cluster volumes are not supported by Cais (ClusterVolumeSpec)")
        name = request.Name or anonymous_name()
        labels = request.Labels
        if not request.Name:
            labels = {**(labels or {}), ANONYMOUS_LABEL: ""}
        if request.Driver not in {"", DRIVER, "default"}:
            driver = printable(request.Driver)
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        check_name(name)
        options = request.DriverOpts
        volume_options.check(name, options or {})
        record = VolumeRecord(name=name, created_ns=time.time_ns(), labels=labels, options=options or None)
        volume, _ = await self._ensure(record)
        return volume

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Removes a volume with its content. Raises NotFound unless `force`, Conflict when a container has it."""
        try:
            volume = self.find(name)
        except NotFound:
            if force:
                return
            raise
        users = self.users(name)
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        if volume.pending:
            raise Conflict(f"remove {name}: volume is in use")
        volume.removing = True
        try:
            await to_the_end(self._remove(volume))
        finally:
            volume.removing = False

    async def prune(self, filters: Filters, *, everything: bool = False) -> PrunedVolumes:
        """Removes volumes that no container has: anonymous ones, with the filter `all` or `everything` every one.

        Raises InvalidArgument, Conflict while another prune runs.
        """
        filters.validate(PRUNE_FILTERS)
        everything = filters.boolean("all", default=everything)
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        names, total = [], 0
        try:
            for volume in sorted(self, key=lambda item: item.name):
                if not (everything or volume.anonymous) or not _passes(volume, filters) or self.users(volume.name):
                    continue
                size = 0 if volume.options else await asyncio.to_thread(disk_bytes, volume.mount_point, allocated=True)
                try:
                    await self.remove(volume.name)
                except (Conflict, NotFound):
                    continue  # somebody has begun to use it, or removed it
                names.append(volume.name)
                total += size
        finally:
            self._pruning = False
        self._events.emit("volume", "prune", "", {"reclaimed": str(total)})
        return PrunedVolumes(names, total)

    async def size_bytes(self, volume: Volume) -> int:
        """The bytes of its files; 0 for one whose content is elsewhere."""
        return 0 if volume.options else await asyncio.to_thread(disk_bytes, volume.mount_point)

    @asynccontextmanager
    async def holding(self, mounts: Iterable[MountPoint]) -> AsyncIterator[list[Volume]]:
        """The volumes of a new container, made where they are missing, and not removed for the time of the block.

        Gives those that are new. When the block fails, the anonymous ones among these are taken away again.
        """
        held: list[Volume] = []
        made: list[Volume] = []
        try:
            for mount in mounts:
                if mount.Type != "volume":
                    continue
                record = VolumeRecord(
                    name=mount.Name,
                    created_ns=time.time_ns(),
                    labels={ANONYMOUS_LABEL: ""} if mount.options.anonymous else mount.options.labels,
                    options=mount.options.driver_options,
                )
                volume, is_new = await self._ensure(record)
                volume.pending += 1
                held.append(volume)
                if is_new:
                    made.append(volume)
            yield made
        except BaseException:
            for volume in made:
                if volume.anonymous:
                    volume.pending = 0
                    await to_the_end(self._remove(volume))
            raise
        finally:
            for volume in held:
                volume.pending = max(0, volume.pending - 1)

    async def fill(self, mount: MountPoint, copy: Callable[[str], bool]) -> None:
        """Fills the volume of a mount, if it is empty and the mount does not forbid it.

        copy: fills an empty folder, in a thread; False when there is nothing. Raises what it raises.
        """
        volume = self.find(mount.Name)
        if not mount.options.copies or mount.options.subpath or volume.options:
            return
        async with self._lock(volume):
            await asyncio.to_thread(self._fill, volume, copy)

    def _fill(self, volume: Volume, copy: Callable[[str], bool]) -> None:
        if any(volume.mount_point.iterdir()):
            return
        staged = self._scratch / f"volume-{secrets.token_hex(8)}"
        staged.mkdir(mode=0o755)
        try:
            if not copy(str(staged)):
                return
            if not volume.users:
                os.rename(staged, volume.mount_point)  # whole or not at all
                return
            copy(str(volume.mount_point))  # it is mounted already, and must stay the same folder
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    @asynccontextmanager
    async def opened(self, volume: Volume) -> AsyncIterator[Path]:
        """The folder with the volume's content, for the time of the block: mounted where it is a mount, and kept.

        Raises Internal when it cannot be mounted.
        """
        user = f"engine-{secrets.token_hex(8)}"
        volume.users.add(user)
        volume.pending += 1
        try:
            await self._mount(volume)
            yield volume.mount_point
        finally:
            volume.pending -= 1
            volume.users.discard(user)
            if volume.options:
                await to_the_end(self._unmount(volume))

    @asynccontextmanager
    async def replacing(self, volume: Volume) -> AsyncIterator[str]:
        """An empty folder that becomes the content of an empty volume at the end of the block, unless that fails.

        Raises Conflict for a volume that is in use or not empty, Unsupported for one whose content is elsewhere.
        """
        if volume.options:
            raise Unsupported(f"the content of volume {volume.name} is not the engine's: it has driver options")
        staged = self._scratch / f"volume-{secrets.token_hex(8)}"
        async with self._lock(volume):
            self._check_replaceable(volume)
            staged.mkdir(mode=0o755)
            try:
                yield str(staged)
                self._check_replaceable(volume)
                os.rename(staged, volume.mount_point)
            finally:
                await to_the_end(asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True))

    @asynccontextmanager
    async def made(self, request: VolumeRequest) -> AsyncIterator[Volume]:
        """The volume that is asked for, not removed for the time of the block; it goes if it is new and that fails."""
        is_new = request.Name not in self._by_name
        volume = await self.create(request)
        volume.pending += 1
        try:
            yield volume
        except BaseException:
            if is_new and not self.users(volume.name):
                await to_the_end(self._remove(volume))
            raise
        finally:
            volume.pending -= 1

    def _check_replaceable(self, volume: Volume) -> None:
        users = self.users(volume.name)
        if users or volume.users or volume.pending > 1:  # one of them is who asks
            raise Conflict(f"volume {volume.name} is in use - [{', '.join(users)}]")
        if any(volume.mount_point.iterdir()):
            raise Conflict(f"volume {volume.name} is not empty: remove it first, or choose another name")

    async def _mount(self, volume: Volume) -> None:
        if volume.options:
            async with self._lock(volume):
                if not await asyncio.to_thread(volume_options.is_mounted, volume.mount_point):
                    await asyncio.to_thread(volume_options.mount_volume, volume.options, volume.mount_point)

    async def use(self, container_id: str, mounts: Iterable[MountPoint], *, adopted: bool = False) -> None:
        """A container starts with its volumes: mounts those that are mounts. Raises NotFound, Internal."""
        for mount in mounts:
            if mount.Type != "volume":
                continue
            volume = self.find(mount.Name)
            volume.users.add(container_id)
            if adopted:
                continue
            await self._mount(volume)
            attributes = {
                "container": container_id,
                "destination": mount.Destination,
                "driver": DRIVER,
                "propagation": mount.Propagation,
                "read/write": "true" if mount.RW else "false",
            }
            self._events.emit("volume", "mount", volume.name, attributes)

    async def release(self, container_id: str) -> None:
        """A container has ended: undoes the mounts that no other one uses."""
        for volume in self:
            if container_id not in volume.users:
                continue
            volume.users.discard(container_id)
            self._events.emit("volume", "unmount", volume.name, {"container": container_id, "driver": DRIVER})
            if volume.options:
                await self._unmount(volume)

    async def remove_anonymous(self, mounts: Iterable[MountPoint]) -> None:
        """Removes the volumes that a container, gone now, was made with and nobody named, unless others have them."""
        for mount in mounts:
            if mount.Type == "volume" and mount.options.anonymous:
                try:
                    await self.remove(mount.Name, force=True)
                except Conflict:
                    continue
                except CaisError as error:
                    _log.error("volume %s cannot be removed: %s", mount.Name, error)

    async def _ensure(self, record: VolumeRecord) -> tuple[Volume, bool]:
        """The volume with the name of the record, and whether it was made now."""
        known = self._by_name.get(record.name)
        if known is not None:
            if known.removing:
                raise Conflict(f"create {record.name}: the volume is being removed")
            return known, False
        volume = Volume(record, self._root / record.name)
        self._by_name[record.name] = volume
        volume.pending += 1
        try:
            row = (record.name, encode_volume(record))

            def store(connection: sqlite3.Connection) -> None:
                _make_folders(volume.folder)
                connection.execute("INSERT INTO volumes(name, record) VALUES (?, ?)", row)

            await self._database.run(store)
        except BaseException as error:
            del self._by_name[record.name]
            if isinstance(error, OSError):
                raise Unavailable(f"create {record.name}: {reason(error)}") from error
            raise
        finally:
            volume.pending -= 1
        self._events.emit("volume", "create", record.name, {"driver": DRIVER})
        return volume, True

    async def _remove(self, volume: Volume) -> None:
        if volume.options:
            await self._unmount(volume)
        self._trash.throw(volume.folder)  # first: what has no folder is no volume any more, whatever happens now
        await self._forget(volume.name)
        self._by_name.pop(volume.name, None)
        self._locks.pop(volume.name, None)
        self._events.emit("volume", "destroy", volume.name, {"driver": DRIVER})

    async def _forget(self, name: str) -> None:
        await self._database.run(lambda connection: connection.execute("DELETE FROM volumes WHERE name = ?", (name,)))

    async def _unmount(self, volume: Volume) -> None:
        async with self._lock(volume):
            if volume.users:
                return
            try:
                await asyncio.to_thread(volume_options.unmount_volume, volume.mount_point)
            except OSError as error:
                _log.error("volume %s cannot be unmounted: %s", volume.name, reason(error))

    async def _adopt(self, name: str) -> None:
        folder = self._root / name
        content = folder / "_data"
        if not is_name(name) or not content.is_dir() or not any(content.iterdir()):
            _log.warning("volume %s is not in the database and has nothing in it: its folder is removed", name)
            self._trash.throw(folder)
            return
        _log.warning("volume %s is not in the database: it is taken in as it is", name)
        record = VolumeRecord(name=name, created_ns=folder.stat().st_mtime_ns)
        row = (name, encode_volume(record))
        await self._database.run(
            lambda connection: connection.execute("INSERT INTO volumes(name, record) VALUES (?, ?)", row)
        )
        self._by_name[name] = Volume(record, folder)

    def _lock(self, volume: Volume) -> asyncio.Lock:
        return self._locks.setdefault(volume.name, asyncio.Lock())


def _passes(volume: Volume, filters: Filters) -> bool:
    unwanted = filters.get("label!")
    return filters.labels("label", volume.labels) and not any(
        Filters({"x": [text]}).labels("x", volume.labels) for text in unwanted
    )


def _make_folders(folder: Path) -> None:
    folder.mkdir(mode=0o701, exist_ok=True)
    content = folder / "_data"
    content.mkdir(mode=0o755, exist_ok=True)
    content.chmod(0o755)


def _load(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
    return connection.execute("SELECT name, record FROM volumes").fetchall()
