"""Images as an archive: `docker save`. See `cais.distribution.layout` for what is in it.

The blobs of the layers are sent as they are kept, compressed or plain, so that nothing is compressed for a save, and
what is loaded from it has the digests that it had. Each is verified while it is read: the end of an archive with a
damaged blob is never sent. Memory holds one piece, whatever a layer's size.
"""

import asyncio
import tarfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from cais.distribution.layout import SavedImage, blob_path, documents, new_manifest
from cais.distribution.oci import MANIFEST_TYPE, Descriptor, Platform, decode_manifest
from cais.distribution.platforms import matches, platform_text
from cais.distribution.reference import Reference, is_hex_id, parse
from cais.engine.image import Image
from cais.engine.image_archives import leased, repack
from cais.engine.image_store import ImageStore
from cais.engine.work import ahead
from cais.errors import NotFound
from cais.storage.layers import Lease

PIECE_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Chosen:
    """An image that was asked for, and the tags under which it was."""

    image: Image
    references: dict[str, Reference] = field(default_factory=dict)


def choose(store: ImageStore, names: Sequence[str], platform: Platform | None) -> list[Chosen]:
    """The images of those names or ids, each once. A name without a tag stands for all tags of its repository.

    Raises: NotFound, InvalidArgument, in Docker's words.
    """
    chosen: dict[str, Chosen] = {}
    for name in names:
        for image, references in _named(store, name):
            if not matches(platform, image.config.os, image.config.architecture):
                raise NotFound(
                    f"image with reference {name} was found but does not provide the specified platform "
                    f"({platform_text(platform or Platform())})"
                )
            item = chosen.setdefault(image.id, Chosen(image))
            item.references |= {str(reference): reference for reference in references}
    return list(chosen.values())


def _named(store: ImageStore, name: str) -> list[tuple[Image, list[Reference]]]:
    if name.startswith("sha256:") or is_hex_id(name):
        return [(store.resolve(name), [])]
    reference = parse(name)
    if reference.digest or reference.tag:
        image_id = store.find_reference(reference)
        if image_id is None:
            raise NotFound("reference does not exist")
        return [(store.get(image_id), [] if reference.digest else [reference])]
    named = [(one, store.references_of(one.id)) for one in store.images()]
    found = [(one, [r for r in names if r.name == reference.name and r.tag]) for one, names in named]
    if with_tags := [(one, references) for one, references in found if references]:
        return with_tags
    try:
        return [(store.resolve(name), [])]
    except NotFound:
        raise NotFound(f"No such image: {name}") from None


async def save(store: ImageStore, chosen: Sequence[Chosen]) -> AsyncGenerator[bytes, None]:
    """The archive of the images, in pieces. What it is made of stays until it is sent, whatever is removed meanwhile.

    The first piece is empty: with it all is found and held, and nothing but damage can go wrong any more.
    Raises: before it, Unavailable when the blob of a layer is not here any more; Internal for a damaged blob.
    """
    async with leased(store) as lease:
        images = [await asyncio.to_thread(held, store, lease, item) for item in chosen]
        yield b""
        async with aclosing(ahead(_pieces(store, images))) as pieces:
            async for piece in pieces:
                yield piece


def held(store: ImageStore, lease: Lease, item: Chosen) -> SavedImage:
    """What an image is made of, held by the lease, with the manifest that it came with where its blobs are still here.

    Blocks: for a thread. Raises: NotFound when it is gone; Unavailable when the archive of a layer is.
    """
    image = item.image
    references = tuple(item.references[name] for name in sorted(item.references))
    diff_ids = image.config.diff_ids
    if not lease.keep_blob(image.id):
        raise NotFound(f"No such image: {image.id}")
    for manifest in reversed(store.manifests_of(image.id)):
        data = store.blobs.read(manifest.digest)
        decoded = decode_manifest(data)
        kept = [lease.keep_blob(layer.digest) for layer in decoded.layers]
        if all(kept) and store.is_manifest_of(decoded, image.config):
            return SavedImage(data, manifest.media_type, image.id, diff_ids, tuple(decoded.layers), references)
    layers = tuple(_layer(store, lease, chain_id) for chain_id in image.layers)
    data = new_manifest(image.id, store.blobs.size(image.id), layers)
    return SavedImage(data, MANIFEST_TYPE, image.id, diff_ids, layers, references)


def _layer(store: ImageStore, lease: Lease, chain_id: str) -> Descriptor:
    layer = lease.keep(chain_id)
    if layer is None:
        raise NotFound(f"No such layer: {chain_id}")
    for blob in store.layers.archives(layer.diff_id):
        if lease.keep_blob(blob.digest):
            return Descriptor(blob.media_type, blob.digest, blob.size_bytes)
    blob = repack(lease, layer, store.layers.path(chain_id))
    return Descriptor(blob.media_type, blob.digest, blob.size_bytes)


def _pieces(store: ImageStore, images: Sequence[SavedImage]) -> Iterator[bytes]:
    """The archive. Blocks: for a thread."""
    for name in ("blobs", "blobs/sha256"):
        yield _header(name, 0, tarfile.DIRTYPE)
    small = documents(images)
    for name, data in small.items():
        yield _header(name, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    # what says what the layers are, and then the layers from below: so a reader can unpack them while they arrive
    digests = dict.fromkeys(sorted(image.config_digest for image in images))
    for image in sorted(images, key=lambda image: (image.config_digest, image.manifest)):
        digests |= dict.fromkeys(layer.digest for layer in image.layers)
    for digest in digests:
        if blob_path(digest) not in small:
            yield from _blob(store, digest)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _blob(store: ImageStore, digest: str) -> Iterator[bytes]:
    with store.blobs.reader(digest) as reader:
        yield _header(blob_path(digest), reader.size_bytes)
        while piece := reader.read(PIECE_BYTES):
            yield piece
        if padding := bytes(-reader.size_bytes % tarfile.BLOCKSIZE):
            yield padding


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a member. Nothing in it depends on when or where it is written."""
    header = tarfile.TarInfo(name)
    header.size, header.type = size, kind
    header.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return header.tobuf(tarfile.PAX_FORMAT)
