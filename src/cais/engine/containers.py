"""All containers of an engine: found by id, name or the start of an id; made, stored, taken away.

What is in the database and has a folder exists. Making and removing are each one transaction that is awaited; changes
of state are written behind, many at a time, since the monitors and their exit records hold the truth about what runs.
On a full disk a container is removed by taking its folder away, and its record follows when there is room.
"""

import asyncio
import contextlib
import functools
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cais.distribution.platforms import matches, parse_platform, platform_text
from cais.engine import export, joining, mounting, names, network_requests, validation
from cais.engine.beginnings import Beginnings
from cais.engine.container import Condition, Container
from cais.engine.defaults import command, merge
from cais.engine.events import EventBus
from cais.engine.host import Host
from cais.engine.images import Image, Images, ImageUser
from cais.engine.models import ContainerConfig, CreateRequest, HostConfig, Record, decode_record, encode_record
from cais.engine.networks import Networks
from cais.engine.settings import Settings
from cais.engine.text import printable, reason
from cais.engine.trash import Trash
from cais.engine.volumes import Volumes
from cais.errors import CaisError, Conflict, InvalidArgument, NotFound, Unavailable
from cais.linux.fs import spread_folders
from cais.storage.database import Database
from cais.storage.fill import fill

_log = logging.getLogger("cais.engine.containers")
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A container that is not made yet, and what its user is to be warned of."""

    record: Record
    warnings: list[str]


class Containers:
    """The containers of one engine."""

    def __init__(
        self,
        *,
        settings: Settings,
        host: Host,
        database: Database,
        images: Images,
        volumes: Volumes,
        events: EventBus,
        trash: Trash,
        networks: Networks,
    ) -> None:
        self._settings = settings
        self._host = host
        self._database = database
        self._images = images
        self._volumes = volumes
        self._events = events
        self._trash = trash
        self._networks = networks
        self._by_id: dict[str, Container] = {}
        self._ids = Beginnings()
        self._ids_by_name: dict[str, str] = {}
        self._dirty: set[Container] = set()
        self._deleted: set[str] = set()
        self._changed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, container_id: object) -> bool:
        return container_id in self._by_id

    async def open(self) -> None:
        """Reads every stored container. One that cannot be read is logged and left as it is."""
        self._settings.containers.mkdir(mode=0o710, parents=True, exist_ok=True)
        spread_folders(self._settings.containers)
        for container_id, name, stored in await self._database.run(_load):
            try:
                record = decode_record(stored)
            except msgspec.MsgspecError as error:
                _log.error("container %s: its record cannot be read: %s", container_id, error)
                self._ids_by_name[name] = container_id
                continue
            self._keep(Container(record))
            self._ids_by_name[record.name] = record.id
        self._writer = asyncio.get_running_loop().create_task(self._write_behind(), name="container records")

    async def close(self) -> None:
        """Writes what is not written yet."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
            self._writer = None
            await self._write_dirty()

    def folder(self, container_id: str) -> Path:
        """The folder of a container below the data root."""
        return self._settings.containers / container_id

    def find(self, reference: str) -> Container:
        """The container with this id, name, or start of an id.

        Raises NotFound, or InvalidArgument when several ids start so.
        """
        container = self._by_id.get(reference)
        if container is None:
            container = self._by_id.get(self._ids_by_name.get(reference.removeprefix("/"), ""))
        if container is not None:
            return container
        found = self._ids.find(reference)
        if len(found) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {reference}")
        if not found:
            raise NotFound(f"No such container: {reference}")
        return self._by_id[found[0]]

    def find_or_none(self, reference: str) -> Container | None:
        """As `find`; None where there is none, or more than one."""
        try:
            return self.find(reference)
        except CaisError:
            return None

    async def create(self, request: CreateRequest, name: str, platform: str = "") -> tuple[Container, list[str]]:
        """Makes a container; returns it and warnings for the user. An empty name is replaced by a random one.

        Raises InvalidArgument, Unsupported, NotFound for the image, Conflict for the name.
        """
        if not request.Image:
            raise InvalidArgument("config cannot be empty in order to create a container")
        name = names.check_name(name) if name else names.random_name(self._ids_by_name)
        image = self._images.resolve(request.Image)
        check_platform(image, request.Image, platform)
        await self._free(name)
        draft = self.draft(request, name, image)
        record = draft.record
        self._reserve(name, record.id)
        container = Container(record)
        try:
            with ExitStack() as stack:
                for used in self._images_of(record, image):
                    stack.enter_context(self._images.holding(used, ImageUser(record.id, name, running=False)))
                async with self._volumes.holding(record.mounts):
                    await self._fill(record, image)
                    await self._store(record)
                    self._keep(container)
        except BaseException:
            del self._ids_by_name[name]
            self._trash.throw(self.folder(record.id))
            raise
        self._events.emit("container", "create", record.id, container.event_attributes())
        return container, draft.warnings

    def _images_of(self, record: Record, image: Image) -> list[Image]:
        """The images that a container needs: its own, and those that it mounts. Raises NotFound."""
        mounted = {mount.options.image_id for mount in record.mounts if mount.Type == "image"}
        return [image, *(self._images.get(image_id) for image_id in mounted)]

    async def _fill(self, record: Record, image: Image) -> None:
        """Has its volumes filled with what the image has at their places. Raises CaisError."""
        lower = self.lower_dirs(image)
        for mount in record.mounts:
            if mount.Type == "volume":
                await self._volumes.fill(
                    mount, functools.partial(_copy, lower, mount.Destination, self._settings.trash)
                )

    async def _free(self, name: str) -> None:
        """Where the container of that name has ended and is about to be removed, waits until it is."""
        holder = self._by_id.get(self._ids_by_name.get(name, ""))
        if holder is not None and holder.hurry():
            await holder.wait(Condition.REMOVED)

    def draft(self, request: CreateRequest, name: str, image: Image, container_id: str = "") -> Draft:
        """What `create` makes of a request, which is checked and completed in place; nothing is made.

        The id is a random one unless it is given.
        Raises InvalidArgument, Unsupported, NotFound for a container that is to be joined.
        """
        warnings = validation.normalise(request, self._host)
        joining.resolve(request.host_config, self)
        joining.check_links(request.host_config, self)
        endpoints = network_requests.endpoints(request, self._networks)
        config = merge(request, image.config.defaults)
        record = self._record(request, config, image, name, container_id or names.new_id())
        record.endpoints = endpoints
        return Draft(record, warnings)

    def check_free(self, name: str) -> None:
        """Raises Conflict when a container has this name."""
        if name in self._ids_by_name:
            raise _taken(name, self._ids_by_name[name])

    def lower_dirs(self, image: Image) -> tuple[str, ...]:
        """The read-only layers of a container of this image, topmost first."""
        return (*self._images.lower_dirs(image), str(self._settings.init_layer))

    def save(self, container: Container) -> None:
        """Has the container's record written soon."""
        if not container.removed:
            self._dirty.add(container)
            self._changed.set()

    async def flush(self) -> None:
        """Writes what is not written yet; what cannot be written now is written later."""
        await self._write_dirty()
        with contextlib.suppress(Unavailable):
            await self._database.run(lambda _: None)  # what another has begun to write is written too

    async def rename(self, container: Container, name: str) -> None:
        """Gives the container another name. Raises InvalidArgument, Conflict when the name is taken."""
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        new = _new_name(name)
        old = container.name
        if new == old:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        async with container.lock:
            if container.removed or container.removing:
                raise NotFound(f"No such container: {container.id}")
            try:
                self._reserve(new, container.id)
            except Conflict as error:
                raise Conflict(f"Error when allocating new name: {error.message}") from error
            container.record.name = new
            row = (new, encode_record(container.record), container.id)
            try:
                await self._database.run(
                    lambda connection: connection.execute(
                        "UPDATE containers SET name = ?, record = ? WHERE id = ?", row
                    )
                )
            except BaseException:
                container.record.name = old
                del self._ids_by_name[new]
                raise
            del self._ids_by_name[old]
        for other in self:
            hc = other.record.host_config
            if hc.Links and (links := joining.renamed(hc.Links, old, new)) != hc.Links:
                hc.Links = links
                self.save(other)
        self._events.emit("container", "rename", container.id, container.event_attributes(oldName=f"/{old}"))

    async def discard(self, container: Container, *, volumes: bool = False) -> None:
        """Takes the container away for good. The caller holds its lock and has seen to it that it does not run.

        volumes: its volumes without a name go too, as they always do when it was to be removed at its end.
        """
        self._dirty.discard(container)
        try:
            await self._database.run(_deletion([container.id]))
        except Unavailable as error:
            _log.warning("container %s: its record will be removed later: %s", container.id, error)
            self._deleted.add(container.id)
            self._changed.set()
        self._trash.throw(self.folder(container.id))
        self._trash.delete_later(self._settings.bundles / container.id)
        self._by_id.pop(container.id, None)
        self._ids.remove(container.id)
        self._ids_by_name.pop(container.name, None)
        container.drop_waiting_clients()
        self._events.emit("container", "destroy", container.id, container.event_attributes())
        if volumes or container.record.host_config.AutoRemove:
            await self._volumes.remove_anonymous(container.record.mounts)
        container.tell_removed()
        await self._let_go_of_image(container)

    async def _let_go_of_image(self, container: Container) -> None:
        """An image that was removed by force lives as long as its last container."""
        try:
            if any(
                image.hidden for image in self._images_of(container.record, self._images.get(container.record.image_id))
            ):
                await self._images.collect()
        except NotFound:
            pass
        except CaisError as error:
            _log.error("the image of container %s cannot be removed: %s", container.id, error)

    def _keep(self, container: Container) -> None:
        self._by_id[container.id] = container
        self._ids.add(container.id)

    def _record(
        self, request: CreateRequest, config: ContainerConfig, image: Image, name: str, container_id: str
    ) -> Record:
        hc = request.host_config
        hc.ShmSize = hc.ShmSize or self._settings.shm_size_bytes
        config.Hostname, config.Domainname = self._host_name(config, hc, container_id)
        path, args = command(config)
        return Record(
            id=container_id,
            name=name,
            created_ns=time.time_ns(),
            image_id=image.id,
            path=path,
            args=args,
            config=config,
            host_config=hc,
            mounts=mounting.mounts_of(
                hc, config, self, lambda name: self._images.resolve(name).id, self._volumes.mount_point
            ),
        )

    def _host_name(self, config: ContainerConfig, hc: HostConfig, container_id: str) -> tuple[str, str]:
        """The name and the domain that a container has: those of the host or the container whose network it is in."""
        other = joining.partner(hc.NetworkMode)
        if other:
            shown = self.find(other).record.config
            return shown.Hostname, shown.Domainname
        if "host" in {hc.NetworkMode, hc.UTSMode}:
            return config.Hostname or self._host.hostname, config.Domainname
        return config.Hostname or container_id[:12], config.Domainname

    def _reserve(self, name: str, container_id: str) -> None:
        holder = self._ids_by_name.setdefault(name, container_id)
        if holder != container_id:
            raise _taken(name, holder)

    async def _store(self, record: Record) -> None:
        folder = self.folder(record.id)
        row = (record.id, record.name, encode_record(record))
        deleted = set(self._deleted)  # one of these may still hold the name

        def store(connection: sqlite3.Connection) -> None:
            make_folders(folder)
            _deletion(deleted)(connection)
            connection.execute("INSERT INTO containers(id, name, record) VALUES (?, ?, ?)", row)

        try:
            await self._database.run(store)
        except OSError as error:
            raise Unavailable(f"create container {record.name!r}: {reason(error)}") from error
        self._deleted -= deleted

    async def _write_behind(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._write_dirty():
                await asyncio.sleep(_RETRY_SECONDS)
                self._changed.set()

    async def _write_dirty(self) -> bool:
        """Writes all changed records in one transaction; False when they are still to be written."""
        changed, self._dirty = self._dirty, set()
        deleted, self._deleted = self._deleted, set()
        rows = [(encode_record(item.record), item.id) for item in changed if not item.removed]
        if not rows and not deleted:
            return True

        def write(connection: sqlite3.Connection) -> None:
            _deletion(deleted)(connection)
            connection.executemany("UPDATE containers SET record = ? WHERE id = ?", rows)

        try:
            await self._database.run(write)
        except BaseException as error:
            self._dirty |= {item for item in changed if not item.removed}
            self._deleted |= deleted
            if not isinstance(error, CaisError):
                raise
            _log.error("cannot store the state of %d containers: %s", len(rows) + len(deleted), error)
            return False
        return True


def _new_name(name: str) -> str:
    """A name that a container may be given instead of its own. Raises InvalidArgument, as Docker words it."""
    try:
        return names.check_name(name)
    except InvalidArgument:
        text = f"({printable('/' + name.removeprefix('/'))})"
        allowed = names.ALLOWED
        raise InvalidArgument(
            f"Error when allocating new name: Invalid container name {text}, only {allowed} are allowed"
        ) from None


def make_folders(folder: Path) -> None:
    """The folder of a container with its read-write layer; what is there already stays. Raises OSError."""
    for path in (folder, folder / "rw"):
        path.mkdir(mode=0o710, exist_ok=True)
    (folder / "rw" / "diff").mkdir(mode=0o755, exist_ok=True)
    (folder / "rw" / "work").mkdir(mode=0o700, exist_ok=True)


def _copy(lower: Sequence[str], path: str, scratch: Path, target: str) -> bool:
    """Copies what layers have at a path to an empty folder; False where they have no folder. Raises CaisError."""
    try:
        root = export.open_merged(lower)
        try:
            return fill(root, path, target, str(scratch))
        finally:
            os.close(root)
    except OSError as error:
        raise Unavailable(f"copy the image's {path} to a volume: {reason(error)}") from error


def _deletion(ids: Iterable[str]) -> Callable[[sqlite3.Connection], None]:
    rows = [(container_id,) for container_id in ids]

    def delete(connection: sqlite3.Connection) -> None:
        connection.executemany("DELETE FROM containers WHERE id = ?", rows)

    return delete


def _load(connection: sqlite3.Connection) -> list[tuple[str, str, bytes]]:
    return connection.execute("SELECT id, name, record FROM containers").fetchall()


def _taken(name: str, holder: str) -> Conflict:
    return Conflict(
        f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


def check_platform(image: Image, reference: str, wanted: str) -> None:
    """Raises NotFound when the image is for another platform than the one asked for by name."""
    platform = parse_platform(wanted)
    if platform is not None and not matches(platform, image.config.os, image.config.architecture):
        raise NotFound(
            f"image with reference {reference} was found but its platform ({image.config.os}/"
            f"{image.config.architecture}) does not match the specified platform ({platform_text(platform)})"
        )
