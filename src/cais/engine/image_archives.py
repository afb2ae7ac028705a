"""Images from archives: `import` takes a root file system, `load` what `save` wrote.

Either ends with a whole image, or leaves nothing: until the image is in the database a lease holds its
layers, and what the lease lets go is removed.

A layer keeps a blob, so that it can be saved and pushed with the same digest: its archive as it came when that was
compressed with gzip or zstd, which is what others read; else compressed with gzip while it is unpacked.
"""

import asyncio
import hashlib
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from cais.distribution.archive import ArchivedImage, Member, images_in
from cais.distribution.compression import PIECE_BYTES, decompressed, peek
from cais.distribution.oci import (
    GZIP_LAYER_TYPE,
    ZSTD_LAYER_TYPE,
    ContainerConfig,
    History,
    ImageConfig,
    Platform,
    RootFS,
)
from cais.distribution.reference import Reference
from cais.engine.image import Image, short_id
from cais.engine.image_staging import Ahead, stage
from cais.engine.image_store import ImageStore, NewImage
from cais.engine.progress import Meter, Progress, Report, from_thread, metered
from cais.engine.text import reason
from cais.engine.work import Pipe, Stopped, run_blocking, run_with_body, to_the_end
from cais.errors import Internal, Unavailable
from cais.storage import tartree
from cais.storage.compressing import Compressing
from cais.storage.layers import Layer, LayerBlob, Lease, chain_id_of
from cais.storage.sources import Tee
from cais.storage.tarstream import Source

_BLOB_NAME: Final = re.compile(r"(?:\./)?blobs/sha256/([0-9a-f]{64})")
_KEPT_AS_RECEIVED: Final = {"gzip": GZIP_LAYER_TYPE, "zstd": ZSTD_LAYER_TYPE}


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What an imported image is to be, beside its files."""

    config: ContainerConfig
    platform: Platform
    created: str
    comment: str = ""
    created_by: str = ""
    reference: Reference | None = None


async def import_root(store: ImageStore, request: ImportRequest, body: AsyncIterator[bytes]) -> Image:
    """Make an image of one layer from the archive of a root file system, which may be compressed.

    Raises: InvalidArgument for what is not such an archive; Unavailable when the body breaks off or the disk is full.
    """
    async with leased(store) as lease:

        def unpack(pipe: Pipe) -> str:
            return unpack_stream(lease, pipe, interrupt=pipe.abort).diff_id

        diff_id = await run_with_body(body, unpack)
        return await store.store(single_layer_image(request, diff_id), request.created)


def single_layer_image(request: ImportRequest, diff_id: str) -> NewImage:
    """An image whose one layer has that digest."""
    config = ImageConfig(
        architecture=request.platform.architecture,
        os=request.platform.os,
        variant=request.platform.variant,
        created=request.created,
        comment=request.comment,
        config=request.config,
        rootfs=RootFS(diff_ids=[diff_id]),
        history=[History(created=request.created, created_by=request.created_by, comment=request.comment)],
    )
    references = () if request.reference is None else (request.reference,)
    return NewImage(msgspec.json.encode(config), config, references)


async def load_archive(
    store: ImageStore, body: AsyncIterator[bytes], platform: Platform | None, now: str, report: Report
) -> list[Image]:
    """Take in every image of an archive, with its names. Nothing is stored before all layers are verified.

    Raises: InvalidArgument for an archive of another kind, or one that is damaged; NotFound when it has nothing
        for the platform; Unavailable when the body breaks off or the disk is full.
    """
    async with store.temporary_folder("load") as folder, leased(store) as lease:
        stopped = threading.Event()
        loading = _Loading(lease, from_thread(report), stopped)
        ahead = Ahead(loading.unpack, stopped)
        try:
            contents = await run_with_body(body, lambda pipe: stage(pipe, folder, ahead))
            archived = await asyncio.to_thread(images_in, contents, platform)

            def unpack() -> None:
                ahead.finish()
                loading.unpack_all(archived)

            await run_blocking(unpack, stopped.set)
        finally:
            stopped.set()
            await to_the_end(asyncio.to_thread(ahead.finish))
        return [await _store(store, image, now, report) for image in archived]


@asynccontextmanager
async def leased(store: ImageStore) -> AsyncIterator[Lease]:
    """A lease for the time of the block."""
    lease = store.layers.lease()
    try:
        yield lease
    finally:
        await to_the_end(asyncio.to_thread(lease.close))


async def _store(store: ImageStore, archived: ArchivedImage, now: str, report: Report) -> Image:
    new = NewImage(archived.config_bytes, archived.config, archived.references)
    found = archived.manifest
    if found is not None and store.is_manifest_of(found.manifest, archived.config):
        new = replace(new, manifest=found.data, manifest_type=found.media_type)
    for reference in archived.references:
        before = store.find_reference(reference)
        if before not in (None, new.id):
            known = f"The image {reference.familiar} already exists, "
            report(Progress(stream=f"{known}renaming the old one with ID {before} to empty string\n"))
    image = await store.store(new, now)
    for reference in archived.references:
        report(Progress(stream=f"Loaded image: {reference.familiar}\n"))
    if not archived.references:
        report(Progress(stream=f"Loaded image ID: {image.id}\n"))
    return image


@dataclass(frozen=True, slots=True)
class _Loading:
    """Unpacking the layers of loaded images, one after the other, those below first. Blocks."""

    lease: Lease
    report: Report
    stopped: threading.Event

    def unpack_all(self, images: Sequence[ArchivedImage]) -> None:
        for image in images:
            parent: str | None = None
            for member, diff_id in zip(image.layers, image.config.diff_ids, strict=True):
                parent = self._layer(member, parent, diff_id)

    def _layer(self, member: Member, parent: str | None, diff_id: str) -> str:
        with open(member.path, "rb", buffering=0) as file:
            self.unpack(file, member, parent, diff_id)
        return chain_id_of(parent, diff_id)

    def unpack(self, source: Source, member: Member, parent: str | None, diff_id: str) -> None:
        """Unpack a layer from the content of a member of the archive, unless it is here already."""
        known = self.lease.keep(chain_id_of(parent, diff_id))
        if known is None or not self.lease.archives(known):  # loading again repairs what has no blob
            meter = Meter(self.report, "Loading layer", short_id(diff_id), member.size_bytes, self.stopped)
            unpack_member(self.lease, source, member, meter, parent=parent, diff_id=diff_id)


def unpack_file(lease: Lease, path: Path, meter: Meter) -> Layer:
    """Unpack a base layer's archive from a file, see `unpack_stream`. Raises also: Stopped when the meter says so."""
    with open(path, "rb", buffering=0) as file:
        layer = unpack_stream(lease, metered(file, meter))
    meter.tell()
    return layer


def unpack_member(
    lease: Lease, source: Source, member: Member, meter: Meter, *, parent: str | None, diff_id: str
) -> None:
    """Unpack a layer from the content of a member of an archive; one that is compressed becomes the blob itself.

    Blocks. Raises: as `unpack_stream`; Stopped when the meter says so.
    """
    format_, whole = peek(metered(source, meter))
    media_type = _KEPT_AS_RECEIVED.get(format_)
    if member.digest and media_type:
        layer = lease.unpack(decompressed(whole), parent, diff_id)
        while whole.read(PIECE_BYTES):  # at the end of one that arrives, it is verified
            pass
        if not lease.archives(layer):
            lease.adopt(member.path, member.digest)
            lease.attach(layer, LayerBlob(member.digest, media_type, member.size_bytes))
    else:
        unpack_stream(lease, whole, parent, diff_id)
    meter.tell()


def repack(lease: Lease, layer: Layer, folder: Path) -> LayerBlob:
    """Make the blob of a layer that was made here: its files, packed and compressed; the lease keeps both. Blocks.

    Raises: Unavailable when the files do not give the archive that the layer has its digest from.
    """
    writer = lease.blobs.writer(None)
    hashed = hashlib.sha256()
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            packed = Packed(tartree.pack(root, layer=True), f"layer {layer.diff_id}")
            with Compressing(Tee(packed, hashed.update), writer) as compressing:
                while compressing.read(PIECE_BYTES):
                    pass
                compressing.finish()
        finally:
            os.close(root)
        if "sha256:" + hashed.hexdigest() != layer.diff_id:
            raise Unavailable(
                f"the archive of layer {layer.diff_id} is not here any more, or was damaged: "
                "pull or load its image again"
            )
        blob = LayerBlob(lease.commit(writer), GZIP_LAYER_TYPE, writer.offset)
        lease.attach(layer, blob)
        return blob
    except OSError as error:
        raise Unavailable(f"pack layer {layer.diff_id}: {error.strerror}") from error
    finally:
        writer.abort()


class Packed:
    """The pieces of an archive of `what` as a source. stopped: reading raises Stopped once it is set."""

    def __init__(self, pieces: Iterator[bytes], what: str, stopped: threading.Event | None = None) -> None:
        self._pieces = pieces
        self._what = what
        self._stopped = stopped
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises: Internal when the tree cannot be read."""
        if self._stopped is not None and self._stopped.is_set():
            raise Stopped
        if not self._rest:
            try:
                self._rest = memoryview(next(self._pieces, b""))
            except OSError as error:
                raise Internal(f"cannot read {self._what}: {reason(error)}") from error
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


def unpack_stream(
    lease: Lease,
    source: Source,
    parent: str | None = None,
    diff_id: str | None = None,
    interrupt: Callable[[], None] | None = None,
) -> Layer:
    """Unpack a layer's archive, compressed or not, and keep a blob of it; the lease keeps both. Blocks.

    diff_id: the digest that the plain archive must have. interrupt: ends a read of the source that waits.
    Raises: InvalidArgument; Unavailable when the disk is full; what the source raises.
    """
    writer = lease.blobs.writer(None)
    try:
        format_, whole = peek(source)
        media_type = _KEPT_AS_RECEIVED.get(format_, GZIP_LAYER_TYPE)
        if format_ in _KEPT_AS_RECEIVED:
            received = Tee(whole, writer.write)
            layer = lease.unpack(decompressed(received), parent, diff_id, interrupt)
            while received.read(PIECE_BYTES):  # what the decompressor has left
                pass
        else:
            with Compressing(decompressed(whole), writer) as compressing:
                layer = lease.unpack(compressing, parent, diff_id, interrupt)
                compressing.finish()
        if not lease.archives(layer):
            size_bytes = writer.offset
            lease.attach(layer, LayerBlob(lease.commit(writer), media_type, size_bytes))
        return layer
    finally:
        writer.abort()
