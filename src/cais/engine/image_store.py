"""The images of one engine: in memory for every question, in the database and on disk for good.

Every change is one transaction, made under one lock and carried to its end even when the caller is
cancelled; memory follows when it is committed. What a crash leaves is swept at the next start.
"""

import asyncio
import logging
import os
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from cais.distribution.oci import ImageConfig, decode_config, digest_of
from cais.distribution.reference import Reference, is_hex_id, parse
from cais.engine.image import Image
from cais.engine.work import to_the_end
from cais.errors import CaisError, NotFound, Unavailable
from cais.storage.blobs import BlobStore
from cais.storage.database import Database
from cais.storage.layers import Layer, LayerStore, chain_ids
from cais.storage.trees import remove_tree

_log: Final = logging.getLogger("cais.engine.images")


class Events(Protocol):
    """Who is told what happens to images."""

    def emit(self, type: str, action: str, actor_id: str, attributes: dict[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image about to be stored. Its layers are on disk, and kept by a lease."""

    config_bytes: bytes
    config: ImageConfig
    references: tuple[Reference, ...] = ()
    parent: str = ""

    @property
    def id(self) -> str:
        """The digest of the configuration."""
        return digest_of(self.config_bytes)


@dataclass(frozen=True, slots=True)
class _Row:
    """An image as the database has it."""

    id: str
    parent: str
    last_tagged: str
    hidden: bool


class ImageStore:
    """All images. Reading is immediate, from the event loop; changing is awaited."""

    def __init__(self, database: Database, data_root: Path) -> None:
        self.temporary = data_root / "tmp" / "images"
        self.blobs = BlobStore(data_root / "blobs" / "sha256", self.temporary)
        self.layers = LayerStore(data_root / "layers", self.temporary)
        self._database = database
        self._images: dict[str, Image] = {}
        self._references: dict[str, str] = {}
        self._names: defaultdict[str, dict[str, Reference]] = defaultdict(dict)
        self._lock = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read what there is, and sweep what a crash has left; removing that goes on in the background."""
        rows, references, layers = await self._database.run(_read)
        images, lost, leftovers = await asyncio.to_thread(self._open_folders, rows, layers)
        self._images = images
        for name, image_id in references:
            if image_id in images:
                self._references[name] = image_id
                self._names[image_id][name] = parse(name)
        for image_id in images:
            self._refresh(image_id)
        await self._database.run(lambda connection: _forget(connection, lost))
        self._sweeper = asyncio.ensure_future(asyncio.to_thread(_sweep, leftovers))

    async def close(self) -> None:
        """Wait for what goes on in the background."""
        if self._sweeper is not None:
            await self._sweeper
            self._sweeper = None

    @asynccontextmanager
    async def temporary_folder(self, purpose: str) -> AsyncIterator[Path]:
        """A folder for the time of the block, on the file system of the layers."""
        folder = self.temporary / f"{purpose}-{os.urandom(8).hex()}"
        try:
            await to_the_end(asyncio.to_thread(folder.mkdir, 0o700))
            yield folder
        finally:
            await to_the_end(asyncio.to_thread(remove_tree, folder))

    # -- questions

    def get(self, image_id: str) -> Image:
        """The image with this id, hidden ones included. Raises: NotFound."""
        try:
            return self._images[image_id]
        except KeyError:
            raise NotFound(f"No such image: {image_id}") from None

    def resolve(self, name: str) -> Image:
        """The image of that name, id, or beginning of an id that no other has.

        Raises: NotFound or InvalidArgument, in Docker's words.
        """
        if is_hex_id(name) or (name.startswith("sha256:") and is_hex_id(name[7:])):
            identity = "sha256:" + name[-64:]
            image = self._images.get(identity)
            if image is None or image.hidden:
                raise NotFound(f"No such image: {identity}")
            return image
        reference = parse(name).with_default_tag()
        image_id = self.find_reference(reference)
        if image_id is not None:
            return self._images[image_id]
        beginning = name if name.startswith("sha256:") else f"sha256:{name}"
        found = [image for known, image in self._images.items() if known.startswith(beginning) and not image.hidden]
        if len(found) != 1 or beginning == "sha256:":
            raise NotFound(f"No such image: {reference.familiar}")
        return found[0]

    def find_reference(self, reference: Reference) -> str | None:
        """The id of the image of that complete name; a digest counts more than a tag beside it."""
        if reference.tag and reference.digest:
            reference = Reference(reference.domain, reference.path, digest=reference.digest)
        return self._references.get(str(reference))

    def images(self) -> list[Image]:
        """All images that are not hidden, in no order."""
        return [image for image in self._images.values() if not image.hidden]

    def hidden(self) -> list[Image]:
        """The images that were removed by force while containers used them."""
        return [image for image in self._images.values() if image.hidden]

    def references_of(self, image_id: str) -> list[Reference]:
        """All names of an image, tags first."""
        names = self._names.get(image_id, {}).values()
        return sorted(names, key=lambda reference: (bool(reference.digest), str(reference)))

    # -- changes

    async def store(self, new: NewImage, now: str) -> Image:
        """Keep an image, and give it its names, which others lose."""
        return await to_the_end(self._store(new, now))

    async def _store(self, new: NewImage, now: str) -> Image:
        async with self._lock:
            chain = [self.layers.get(chain_id) for chain_id in chain_ids(new.config.diff_ids)]
            names = {str(reference): reference for reference in new.references}
            await asyncio.to_thread(self.blobs.put, new.config_bytes)
            await self._database.run(lambda connection: _insert(connection, new, chain, names, now))
            known = self._images.get(new.id)
            if known is None and chain:
                self.layers.retain(chain[-1].chain_id)
            self._images[new.id] = Image(
                id=new.id,
                config=new.config,
                references=(),
                repo_digests=(),
                size_bytes=sum(layer.size_bytes for layer in chain),
                parent=new.parent or (known.parent if known else ""),
                last_tagged=now if names else (known.last_tagged if known else ""),
            )
            self._name(names, new.id)
            return self._refresh(new.id)

    async def add_references(self, image_id: str, references: Iterable[Reference], now: str) -> Image:
        """Give an image more names, which others lose. Raises: NotFound when it is gone."""
        names = {str(reference): reference for reference in references}
        return await to_the_end(self._add_references(image_id, names, now))

    async def _add_references(self, image_id: str, names: dict[str, Reference], now: str) -> Image:
        async with self._lock:
            image = self.get(image_id)
            await self._database.run(lambda connection: _insert_names(connection, image_id, names, now))
            self._images[image_id] = replace(image, last_tagged=now)
            self._name(names, image_id)
            return self._refresh(image_id)

    async def change(self, decide: "Callable[[], Removal]") -> "Removal":
        """Take names and images away, as `decide` says; nobody else changes anything between it and the end.

        Returns: what `decide` did, with the layers that went. Raises: whatever `decide` raises.
        """
        return await to_the_end(self._change(decide))

    async def _change(self, decide: "Callable[[], Removal]") -> "Removal":
        async with self._lock:
            removal = decide()
            before = self._images, self._references, self._names
            gone = self._take_away(removal)  # before the transaction, so that nobody begins to use it meanwhile
            try:
                await self._database.run(lambda connection: _delete(connection, removal))
            except Unavailable:
                if not gone:
                    self._images, self._references, self._names = before
                    raise
                # a full disk: the files go first, to make room; what the database still lists then is dropped at start
                await asyncio.to_thread(self._remove_blobs, gone)
                removed = await asyncio.to_thread(self._remove_layers, gone)
                await self._database.run(lambda connection: _delete(connection, removal))
                return replace(removal, layers=removed)
            except BaseException:
                self._images, self._references, self._names = before
                raise
            await asyncio.to_thread(self._remove_blobs, gone)
        return replace(removal, layers=await asyncio.to_thread(self._remove_layers, gone))

    def _take_away(self, removal: "Removal") -> list[Image]:
        """Make memory as it will be; in copies, so that what was before is not touched. Returns what goes."""
        self._images = dict(self._images)
        self._references = dict(self._references)
        self._names = defaultdict(dict, {image_id: dict(names) for image_id, names in self._names.items()})
        touched = {self._unname(str(reference)) for reference in removal.names}
        gone = [self._images.pop(image_id) for image_id in removal.images]
        for image_id in removal.hidden:
            self._images[image_id] = replace(self._images[image_id], hidden=True)
        for image_id in touched & self._images.keys():
            self._refresh(image_id)
        return gone

    def _remove_blobs(self, images: list[Image]) -> None:
        for image in images:
            self.blobs.remove(image.id)

    def _remove_layers(self, images: list[Image]) -> dict[str, tuple[str, ...]]:
        tops = {image.id: [image.top_layer] if image.top_layer else [] for image in images}
        return {image_id: tuple(self.layers.release(top)) for image_id, top in tops.items()}

    # -- inside

    def _name(self, names: dict[str, Reference], image_id: str) -> None:
        """Put names on an image; those that had them before show them no longer."""
        for name, reference in names.items():
            before = self._references.get(name)
            if before is not None and before != image_id:
                self._unname(name)
                self._refresh(before)
            self._references[name] = image_id
            self._names[image_id][name] = reference

    def _unname(self, name: str) -> str:
        """Take a name away and return the id of the image that had it."""
        image_id = self._references.pop(name)
        names = self._names[image_id]
        del names[name]
        if not names:
            del self._names[image_id]
        return image_id

    def _refresh(self, image_id: str) -> Image:
        """Make an image show the names that it has now."""
        names = self.references_of(image_id)
        image = replace(
            self._images[image_id],
            references=tuple(sorted(name.familiar for name in names if not name.digest)),
            repo_digests=tuple(sorted(name.familiar for name in names if name.digest)),
        )
        self._images[image_id] = image
        return image

    def _open_folders(self, rows: list[_Row], layers: list[Layer]) -> tuple[dict[str, Image], list[str], list[Path]]:
        """Open the stores; returns the images, the ids of those that are damaged, and what is to be removed."""
        self.temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        missing = self.layers.open(layers)
        if missing:
            _log.error("layers missing on disk, their images are dropped: %s", ", ".join(m.chain_id for m in missing))
        self.blobs.open([row.id for row in rows])
        images: dict[str, Image] = {}
        lost: list[str] = []
        for row in rows:
            try:
                images[row.id] = self._read_image(row)
            except (CaisError, OSError) as error:
                _log.error("image %s cannot be used and is dropped: %s", row.id, error)
                lost.append(row.id)
        self.layers.release(self._keep_unused())
        return images, lost, list(self.temporary.iterdir())

    def _keep_unused(self) -> list[str]:
        """Layers without an image, each counted as used once, so that releasing them removes them."""
        return [chain_id for chain_id in self.layers.unused() if self.layers.retain(chain_id) is not None]

    def _read_image(self, row: _Row) -> Image:
        config = decode_config(self.blobs.read(row.id))
        chain = [self.layers.get(chain_id) for chain_id in chain_ids(config.diff_ids)]
        if chain:
            self.layers.retain(chain[-1].chain_id)
        size_bytes = sum(layer.size_bytes for layer in chain)
        return Image(row.id, config, (), (), size_bytes, row.parent, row.last_tagged, row.hidden)


@dataclass(frozen=True, slots=True)
class Removal:
    """Names and images to take away; `hidden` are images that lose their names but not their layers.

    layers: of each image that went, the layers that went with it, topmost first; known at the end.
    """

    names: tuple[Reference, ...] = ()
    images: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _sweep(leftovers: Iterable[Path]) -> None:
    for path in leftovers:
        try:
            remove_tree(path)
        except OSError as error:
            _log.warning("remove leftover %s: %s", path, error)


# -- the database


def _read(connection: sqlite3.Connection) -> tuple[list[_Row], list[tuple[str, str]], list[Layer]]:
    images = connection.execute("SELECT id, parent, last_tagged, hidden FROM images").fetchall()
    references = connection.execute("SELECT reference, image_id FROM image_references").fetchall()
    layers = connection.execute("SELECT chain_id, diff_id, parent, size_bytes FROM layers").fetchall()
    return (
        [_Row(image_id, parent, tagged, bool(hidden)) for image_id, parent, tagged, hidden in images],
        references,
        [Layer(*row) for row in layers],
    )


def _insert(
    connection: sqlite3.Connection, new: NewImage, chain: list[Layer], names: Collection[str], now: str
) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO layers(chain_id, diff_id, parent, size_bytes) VALUES (?, ?, ?, ?)",
        [(layer.chain_id, layer.diff_id, layer.parent, layer.size_bytes) for layer in chain],
    )
    connection.execute(
        "INSERT INTO images(id, parent, top_layer) VALUES (?, ?, ?) ON CONFLICT(id) DO UPDATE "
        "SET hidden = 0, parent = CASE excluded.parent WHEN '' THEN parent ELSE excluded.parent END",
        (new.id, new.parent, chain[-1].chain_id if chain else None),
    )
    _insert_names(connection, new.id, names, now)


def _insert_names(connection: sqlite3.Connection, image_id: str, names: Collection[str], now: str) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO image_references(reference, image_id) VALUES (?, ?)",
        [(name, image_id) for name in names],
    )
    if names:
        connection.execute("UPDATE images SET last_tagged = ? WHERE id = ?", (now, image_id))


def _delete(connection: sqlite3.Connection, removal: Removal) -> None:
    names = [(str(reference),) for reference in removal.names]
    connection.executemany("DELETE FROM image_references WHERE reference = ?", names)
    connection.executemany("UPDATE images SET hidden = 1 WHERE id = ?", [(image_id,) for image_id in removal.hidden])
    _forget(connection, removal.images)


def _forget(connection: sqlite3.Connection, images: Collection[str]) -> None:
    """Delete images, with their names, and every layer that no image has any more."""
    connection.executemany("DELETE FROM images WHERE id = ?", [(image_id,) for image_id in images])
    connection.execute(
        "WITH RECURSIVE used(chain_id) AS ("
        " SELECT top_layer FROM images WHERE top_layer IS NOT NULL"
        " UNION SELECT layers.parent FROM layers JOIN used USING (chain_id) WHERE layers.parent IS NOT NULL)"
        " DELETE FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM used)"
    )
