"""The images of one engine: in memory for every question, in the database and on disk for good.

Every change is one transaction, made under one lock and carried to its end even when the caller is
cancelled; memory follows when it is committed. What a crash leaves is swept at the next start.
"""

import asyncio
import logging
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from cais.distribution.oci import ImageConfig, Manifest, decode_config
from cais.distribution.reference import Reference, is_hex_id, parse
from cais.engine import image_tables
from cais.engine.image import Image
from cais.engine.image_steps import Steps
from cais.engine.image_tables import ImageManifest, Insertion, NewImage, Removal, Row, Tables
from cais.engine.trash import Trash
from cais.engine.work import to_the_end
from cais.errors import CaisError, InvalidArgument, NotFound, Unavailable
from cais.linux.fs import spread_folders
from cais.storage.blobs import BlobStore
from cais.storage.database import Database
from cais.storage.layers import LayerStore, chain_ids

__all__ = ["Events", "ImageManifest", "ImageStore", "NewImage", "Removal"]

SPARE_BLOBS_SECONDS: Final = 24 * 3600
"""How long blobs that nobody needs wait for the next pull; what is older goes when caisd starts."""

_log: Final = logging.getLogger("cais.engine.images")


class Events(Protocol):
    """Who is told what happens to images."""

    def emit(self, type: str, action: str, actor_id: str, attributes: dict[str, str]) -> None: ...


class ImageStore:
    """All images. Reading is immediate, from the event loop; changing is awaited."""

    def __init__(self, database: Database, data_root: Path) -> None:
        self.temporary = data_root / "tmp" / "images"
        self.trash = Trash(self.temporary)
        self.blobs = BlobStore(data_root / "blobs" / "sha256", self.temporary, make_room=self.trash.make_room)
        self.layers = LayerStore(
            data_root / "layers",
            self.temporary,
            self.blobs,
            discard=self.trash.delete_later,
            make_room=self.trash.make_room,
        )
        self.steps = Steps(database, self.layers)
        self._database = database
        self._images: dict[str, Image] = {}
        self._references: dict[str, str] = {}
        self._names: defaultdict[str, dict[str, Reference]] = defaultdict(dict)
        self._manifests: dict[str, dict[str, ImageManifest]] = {}
        self._listed: set[str] = set()
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Read what there is, and sweep what a crash has left; removing that goes on in the background."""
        tables = await self._database.run(image_tables.read)
        images, lost, lost_steps = await asyncio.to_thread(self._open_folders, tables)
        self._images = images
        for name, image_id in tables.references:
            if image_id in images:
                self._references[name] = image_id
                self._names[image_id][name] = parse(name)
        for image_id in images:
            self._refresh(image_id)
        self._listed = set(tables.blobs)
        await self._database.run(lambda connection: image_tables.delete_steps(connection, lost_steps))
        await self._database.run(lambda connection: image_tables.forget(connection, lost))
        await self._forget_blobs()
        self.trash.open()

    async def close(self) -> None:
        """Give what is being deleted in the background some seconds more."""
        await self.trash.close()

    @asynccontextmanager
    async def temporary_folder(self, purpose: str) -> AsyncIterator[Path]:
        """A folder for the time of the block, on the file system of the layers."""
        folder = self.temporary / f"{purpose}-{os.urandom(8).hex()}"
        try:
            await to_the_end(asyncio.to_thread(folder.mkdir, 0o700))
            yield folder
        finally:
            await to_the_end(asyncio.to_thread(self.trash.throw, folder))

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

    def manifests_of(self, image_id: str) -> list[ImageManifest]:
        """The manifests that an image was pulled with, the latest last; their bytes are blobs."""
        return [m for m in self._manifests.get(image_id, {}).values() if self.blobs.has(m.digest)]

    def is_manifest_of(self, manifest: Manifest, config: ImageConfig) -> bool:
        """Whether a manifest's layers are the archives that we have of the configuration's layers, one by one.

        Only then does it say what the image is: an archive or a registry may say anything.
        """
        if len(manifest.layers) != len(config.diff_ids):
            return False
        return all(
            layer.digest in {blob.digest for blob in self.layers.archives(diff_id)}
            for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
        )

    # -- changes

    async def list_blob(self, digest: str) -> None:
        """Note that a blob, which a lease keeps, is there, so that it outlives caisd before its image is stored."""
        await self._database.run(
            lambda connection: image_tables.insert_blobs(connection, {digest: self.blobs.size(digest)})
        )
        self._listed.add(digest)

    async def drop_unused_blobs(self) -> int:
        """Remove the blobs that nobody needs, and what interrupted downloads have left; returns the bytes freed."""
        freed = await asyncio.to_thread(lambda: sum(map(self.blobs.remove_unused, self.blobs.unused())))
        freed += await asyncio.to_thread(self.blobs.forget_partial)
        await self._forget_blobs()
        return freed

    async def _forget_blobs(self) -> None:
        """Take out of the database what is on disk no longer."""
        gone = [digest for digest in self._listed if not self.blobs.has(digest)]
        if gone:
            await self._database.run(lambda connection: image_tables.delete_blobs(connection, gone))
            self._listed.difference_update(gone)

    async def store(self, new: NewImage, now: str) -> Image:
        """Keep an image, and give it its names, which others lose. Raises: InvalidArgument for a name not to be had."""
        _check_names(new.references)
        return await to_the_end(self._store(new, now))

    async def _store(self, new: NewImage, now: str) -> Image:
        async with self._lock:
            chain = [self.layers.get(chain_id) for chain_id in chain_ids(new.config.diff_ids)]
            names = {str(reference): reference for reference in new.references}
            archives = {layer.diff_id: self.layers.archives(layer.diff_id) for layer in chain}
            await asyncio.to_thread(self.layers.settle, [layer.chain_id for layer in chain])
            manifest = await asyncio.to_thread(self._put_documents, new)
            try:
                insertion = Insertion(new, chain, names, now, archives, manifest)
                await self._database.run(lambda connection: image_tables.insert(connection, insertion))
            except BaseException:
                self._release_documents([new.id, *([manifest.digest] if manifest else [])])
                raise
            self._listed.update(blob.digest for found in archives.values() for blob in found)
            known = self._images.get(new.id)
            if known is None and chain:
                self.layers.retain(chain[-1].chain_id)
            if known is not None:
                self.blobs.release(new.id)
            if manifest is not None:
                self._add_manifest(new.id, manifest)
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

    def _put_documents(self, new: NewImage) -> ImageManifest | None:
        """Keep the configuration and the manifest of an image, each counted as used once more."""
        self.blobs.put(new.config_bytes, retain=True)
        if new.manifest is None:
            return None
        try:
            return ImageManifest(self.blobs.put(new.manifest, retain=True), new.manifest_type)
        except BaseException:
            self.blobs.release(new.id)
            raise

    def _release_documents(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self.blobs.release(digest)

    def _add_manifest(self, image_id: str, manifest: ImageManifest) -> None:
        self._listed.add(manifest.digest)
        known = self._manifests.setdefault(image_id, {})
        if known.pop(manifest.digest, None) is not None:
            self.blobs.release(manifest.digest)
        known[manifest.digest] = manifest

    async def add_references(self, image_id: str, references: Iterable[Reference], now: str) -> Image:
        """Give an image more names, which others lose.

        Raises: NotFound when it is gone; InvalidArgument for a name not to be had.
        """
        references = list(references)
        _check_names(references)
        names = {str(reference): reference for reference in references}
        return await to_the_end(self._add_references(image_id, names, now))

    async def _add_references(self, image_id: str, names: dict[str, Reference], now: str) -> Image:
        async with self._lock:
            image = self.get(image_id)
            await self._database.run(lambda connection: image_tables.insert_names(connection, image_id, names, now))
            self._images[image_id] = replace(image, last_tagged=now)
            self._name(names, image_id)
            return self._refresh(image_id)

    async def change(self, decide: Callable[[], Removal]) -> Removal:
        """Take names and images away, as `decide` says; nobody else changes anything between it and the end.

        Returns: what `decide` did, with the layers that went. Raises: whatever `decide` raises.
        """
        return await to_the_end(self._change(decide))

    async def _change(self, decide: Callable[[], Removal]) -> Removal:
        async with self._lock:
            removal = decide()
            before = self._images, self._references, self._names
            gone = self._take_away(removal)  # before the transaction, so that nobody begins to use it meanwhile
            try:
                await self._database.run(lambda connection: image_tables.delete(connection, removal))
            except Unavailable:
                if not gone:
                    self._images, self._references, self._names = before
                    raise
                # a full disk: the files go first, to make room; what the database still lists then is dropped at start
                removed = await asyncio.to_thread(self._remove_files, gone)
                await self.trash.empty()
                await self._database.run(lambda connection: image_tables.delete(connection, removal))
            except BaseException:
                self._images, self._references, self._names = before
                raise
            else:
                removed = await asyncio.to_thread(self._remove_files, gone)
            await self._forget_blobs()
        return replace(removal, layers=removed)

    def _take_away(self, removal: Removal) -> list[Image]:
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

    def _remove_files(self, images: list[Image]) -> dict[str, tuple[str, ...]]:
        """Let go of all that images have on disk; returns the layers that went with each."""
        for image in images:
            self._release_documents([image.id, *self._manifests.pop(image.id, {})])
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

    def _open_folders(self, tables: Tables) -> tuple[dict[str, Image], list[str], list[str]]:
        """Open the stores; returns the images, and the ids of those that are damaged, and of such steps of builds."""
        self.temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        spread_folders(self.temporary)  # where layers are unpacked
        self.blobs.open([*(row.id for row in tables.images), *tables.blobs])
        missing = self.layers.open(tables.layers, tables.layer_blobs)
        if missing:
            _log.error("layers missing on disk, their images are dropped: %s", ", ".join(m.chain_id for m in missing))
        images: dict[str, Image] = {}
        lost: list[str] = []
        for row in tables.images:
            try:
                images[row.id] = self._read_image(row)
            except (CaisError, OSError) as error:
                _log.error("image %s cannot be used and is dropped: %s", row.id, error)
                self.blobs.remove_unused(row.id)
                lost.append(row.id)
        for image_id, manifest in tables.manifests:
            if image_id in images and self.blobs.retain(manifest.digest):
                self._add_manifest(image_id, manifest)
        lost_steps = self.steps.load(tables.steps)
        self.layers.release(self._keep_unused())
        self._drop_old_blobs(tables)
        return images, lost, lost_steps

    def _drop_old_blobs(self, tables: Tables) -> None:
        oldest = time.time() - SPARE_BLOBS_SECONDS
        for digest in self.blobs.unused():
            if tables.blobs.get(digest, 0) < oldest:
                self.blobs.remove_unused(digest)

    def _keep_unused(self) -> list[str]:
        """Layers without an image, each counted as used once, so that releasing them removes them."""
        return [chain_id for chain_id in self.layers.unused() if self.layers.retain(chain_id) is not None]

    def _read_image(self, row: Row) -> Image:
        config = decode_config(self.blobs.read(row.id))
        chain = [self.layers.get(chain_id) for chain_id in chain_ids(config.diff_ids)]
        self.blobs.retain(row.id)
        if chain:
            self.layers.retain(chain[-1].chain_id)
        size_bytes = sum(layer.size_bytes for layer in chain)
        return Image(row.id, config, (), (), size_bytes, row.parent, row.last_tagged, row.hidden)


def _check_names(references: Iterable[Reference]) -> None:
    if any(reference.familiar_name == "sha256" for reference in references):
        raise InvalidArgument("refusing to create an ambiguous tag using digest algorithm as name")
