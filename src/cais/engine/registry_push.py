"""Pushing an image to a registry: the blobs that the registry lacks, then the manifest.

The bytes of the manifest are those that the image was pulled with, where its blobs are still here, so that it has the
same digest everywhere. A blob that another repository of the registry has is mounted from there.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from cais.distribution.layout import SavedImage
from cais.distribution.oci import CONFIG_TYPE, Descriptor, Platform, digest_of
from cais.distribution.platforms import matches, platform_text
from cais.distribution.reference import Reference
from cais.distribution.registry_auth import Credentials
from cais.distribution.registry_client import Registry, connect, delay_seconds
from cais.distribution.registry_errors import NoCredentials, Refused, Unreachable, failed
from cais.distribution.registry_repository import Repository
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.image import Image, short_id
from cais.engine.image_save import Chosen, held
from cais.engine.image_store import Events, ImageStore, NewImage
from cais.engine.models import timestamp
from cais.engine.progress import Meter, Progress, Report, silent
from cais.errors import CaisError, InvalidArgument, NotFound

ATTEMPTS: Final = 5
_MAX_SOURCES: Final = 3
_PIECE_BYTES: Final = 1 << 20


class RegistryPusher:
    """Pushes images of a store to registries."""

    def __init__(self, store: ImageStore, events: Events, settings: RegistrySettings) -> None:
        self._store = store
        self._events = events
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.max_uploads)

    async def push(
        self, reference: Reference, platform: Platform | None, credentials: Credentials, report: Report
    ) -> None:
        """Push a name, or all tags of a repository where the reference has neither tag nor digest.

        Raises: NotFound, InvalidArgument, RegistryFailed in Docker's words; Unavailable when the archive of a layer
            is not here any more.
        """
        report(Progress(f"The push refers to repository [{reference.name}]"))
        if reference.digest:
            raise InvalidArgument("cannot push a digest reference")
        tags = self._tags(reference)
        try:
            async with connect(reference.domain, self._settings, credentials) as registry:
                for tag, image in tags:
                    await self._push_one(registry, tag, image, platform, report)
        except (Refused, NoCredentials, Unreachable) as error:
            raise failed(error) from error

    def _tags(self, reference: Reference) -> list[tuple[Reference, Image]]:
        known = {
            name.tag: (name, image)
            for image in self._store.images()
            for name in self._store.references_of(image.id)
            if name.name == reference.name and name.tag
        }
        if not known:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")
        if not reference.tag:
            return [known[tag] for tag in sorted(known)]
        if reference.tag not in known:
            raise NotFound(f"tag does not exist: {reference.familiar}")
        return [known[reference.tag]]

    async def _push_one(
        self, registry: Registry, reference: Reference, image: Image, platform: Platform | None, report: Report
    ) -> None:
        if not matches(platform, image.config.os, image.config.architecture):
            raise NotFound(
                f"image with reference {reference.familiar} was found but does not provide the specified platform "
                f"({platform_text(platform or Platform())})"
            )
        repository = Repository(registry, reference.path, actions="pull,push")
        async with AsyncExitStack() as stack:
            lease = self._store.layers.lease()
            stack.push_async_callback(asyncio.to_thread, lease.close)
            outgoing = await asyncio.to_thread(held, self._store, lease, Chosen(image))
            digest = digest_of(outgoing.manifest)
            await self._send_layers(repository, reference, outgoing, report)
            config = Descriptor(CONFIG_TYPE, image.id, self._store.blobs.size(image.id))
            await self._send(repository, config, "", [], report)
            await repository.put_manifest(reference.tag, outgoing.manifest, outgoing.manifest_type)
            new = NewImage(
                await asyncio.to_thread(self._store.blobs.read, image.id), image.config,
                (reference.with_digest(digest),), manifest=outgoing.manifest, manifest_type=outgoing.manifest_type,
            )  # fmt: skip
            await self._store.store(new, image.last_tagged or timestamp(time.time_ns()))
        size_bytes = len(outgoing.manifest)
        report(Progress(f"{reference.tag}: digest: {digest} size: {size_bytes}"))
        report(Progress(aux={"Tag": reference.tag, "Digest": digest, "Size": size_bytes}))
        self._events.emit("image", "push", reference.familiar, {"name": reference.familiar_name, **image.labels})

    # -- blobs

    async def _send_layers(
        self, repository: Repository, reference: Reference, outgoing: SavedImage, report: Report
    ) -> None:
        """Send the layers, several at once; the first failure ends the others."""
        for diff_id in reversed(outgoing.diff_ids):
            report(Progress("Preparing", short_id(diff_id)))
        wanted = {
            layer.digest: (layer, diff_id) for layer, diff_id in zip(outgoing.layers, outgoing.diff_ids, strict=True)
        }
        sending = [
            asyncio.ensure_future(
                self._send_layer(
                    repository, layer, short_id(diff_id), self._repositories_with(layer.digest, reference), report
                )
            )
            for layer, diff_id in wanted.values()
        ]
        try:
            await asyncio.gather(*sending)
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _send_layer(
        self, repository: Repository, layer: Descriptor, part: str, sources: list[Reference], report: Report
    ) -> None:
        if self._slots.locked():
            report(Progress("Waiting", part))
        async with self._slots:
            await self._send(repository, layer, part, sources, report)

    async def _send(
        self, repository: Repository, blob: Descriptor, part: str, sources: list[Reference], report: Report
    ) -> None:
        """Have a blob in the repository: it has it, or mounts it, or is sent it. `part` is empty for the quiet one."""

        def tell(status: str) -> None:
            if part:
                report(Progress(status, part))

        if await repository.has_blob(blob.digest):
            tell("Layer already exists")
            return
        for source in sources:
            if await _mounted(repository, blob.digest, source):
                tell(f"Mounted from {source.path}")
                return
        damage: list[CaisError] = []
        for attempt in range(ATTEMPTS):
            try:
                location = await repository.begin(blob.digest)
                assert location is not None  # noqa: S101  nothing was to be mounted
                pieces = partial(self._pieces, blob, part, report, damage)
                await repository.upload(location, blob.digest, blob.size, pieces)
                tell("Pushed")
                return
            except (Refused, Unreachable) as error:
                if damage:
                    raise damage[0] from error
                if attempt == ATTEMPTS - 1 or (isinstance(error, Refused) and not _may_pass(error)):
                    raise
                wanted = error.retry_after_seconds if isinstance(error, Refused) else None
                seconds = delay_seconds(attempt, wanted)
                tell(f"Retrying in {max(1, round(seconds))} seconds")
                await asyncio.sleep(seconds)

    async def _pieces(
        self, blob: Descriptor, part: str, report: Report, damage: list[CaisError]
    ) -> AsyncIterator[bytes]:
        """The bytes of a blob, verified while they are read; `damage` gets what is wrong with them."""
        try:
            with await asyncio.to_thread(self._store.blobs.reader, blob.digest) as reader:
                meter = Meter(report if part else silent, "Pushing", part, blob.size, threading.Event())
                while piece := await asyncio.to_thread(reader.read, _PIECE_BYTES):
                    yield piece
                    meter.add(len(piece))
                meter.tell()
        except CaisError as error:
            damage.append(error)
            raise

    def _repositories_with(self, digest: str, reference: Reference) -> list[Reference]:
        """Other repositories of the same registry that a blob was pulled from or pushed to, so far as is known."""
        found: dict[str, Reference] = {}
        for image in self._store.images():
            names = [
                name for name in self._store.references_of(image.id)
                if name.digest and name.domain == reference.domain and name.path != reference.path
            ]  # fmt: skip
            if names and any(
                blob.digest == digest
                for diff_id in image.config.diff_ids
                for blob in self._store.layers.archives(diff_id)
            ):
                found |= {name.path: name for name in names}
        return [found[path] for path in sorted(found)][:_MAX_SOURCES]


async def _mounted(repository: Repository, digest: str, source: Reference) -> bool:
    try:
        return await repository.begin(digest, source.path) is None
    except (Refused, NoCredentials):
        return False  # it may not be read there; the blob is sent


def _may_pass(error: Refused) -> bool:
    return error.status >= 500 or error.status in (404, 408, 416, 429)
