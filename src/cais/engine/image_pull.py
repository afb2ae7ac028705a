"""Pulling images: from registries, or from cais.local, which makes them on this machine.

Those who pull one name of cais.local at the same time share one making. It is stopped when the last of them is
cancelled, and an image is named only when it is whole.
"""

import asyncio
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from cais.distribution.local import DOMAIN, LocalSource
from cais.distribution.oci import (
    CONFIG_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Manifest,
    Platform,
    digest_of,
)
from cais.distribution.platforms import host_platform, matches, platform_text
from cais.distribution.reference import Reference
from cais.distribution.registry_auth import NOBODY, Credentials
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.image import Image, short_id
from cais.engine.image_archives import ImportRequest, leased, single_layer_image, unpack_file
from cais.engine.image_store import Events, ImageStore, NewImage
from cais.engine.models import timestamp
from cais.engine.progress import Meter, Progress, Report, from_thread
from cais.engine.registry_pull import RegistryPuller
from cais.engine.work import run_blocking
from cais.errors import NotFound
from cais.storage.layers import Layer, LayerBlob


@dataclass(slots=True)
class _Making:
    """An image that is being made, those who wait for it, and what they were told so far."""

    task: "asyncio.Task[Image] | None" = None
    reports: list[Report] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)

    def tell(self, message: Progress) -> None:
        self.told.append(message)
        for report in self.reports:
            report(message)

    def join(self, report: Report) -> None:
        for message in self.told:
            report(message)
        self.reports.append(report)


class Puller:
    """Pulls images into a store."""

    def __init__(self, store: ImageStore, events: Events, settings: RegistrySettings) -> None:
        self._store = store
        self._events = events
        self._local = LocalSource()
        self._registry = RegistryPuller(store, events, settings)
        self._makings: dict[str, _Making] = {}

    async def close(self) -> None:
        """Stop what is being pulled."""
        tasks = [making.task for making in self._makings.values() if making.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._local.close()

    async def pull(
        self, reference: Reference, platform: Platform | None, report: Report, credentials: Credentials = NOBODY
    ) -> Image:
        """Bring an image here under its complete name.

        Raises: NotFound when there is no such image, or not for that platform; Unavailable when its source
            cannot be reached, or fails.
        """
        reference = reference.with_default_tag()
        if reference.domain != DOMAIN:
            (image,) = await self._registry.pull(reference, platform, credentials, report)
            return image
        self.check(reference, platform)
        return await self._join(str(reference), reference, report)

    def check(self, reference: Reference, platform: Platform | None) -> None:
        """Whether there is any use in pulling a complete name. Raises: NotFound where cais.local does not have it.

        Of a registry it is not known before.
        """
        if reference.domain != DOMAIN:
            return
        self._local.check(reference)
        here = host_platform()
        if not matches(platform, here.os, here.architecture):
            wanted = platform_text(platform or here)
            raise NotFound(f"no matching manifest for {wanted} in the manifest list entries")

    async def pull_all(
        self, reference: Reference, platform: Platform | None, report: Report, credentials: Credentials = NOBODY
    ) -> list[Image]:
        """Bring the images of all tags of a repository here. Raises like `pull`."""
        if reference.domain == DOMAIN:
            return [await self.pull(reference, platform, report, credentials)]
        return await self._registry.pull(reference, platform, credentials, report)

    async def _join(self, key: str, reference: Reference, report: Report) -> Image:
        making = self._makings.get(key)
        if making is None:
            self._makings[key] = making = _Making()
            making.task = asyncio.create_task(self._make(key, reference, making), name=f"pull {key}")
        making.join(report)
        assert making.task is not None  # noqa: S101  set where it was made
        try:
            return await asyncio.shield(making.task)
        finally:
            making.reports.remove(report)
            if not making.reports and not making.task.done():
                self._forget(key, making)
                making.task.cancel()
                await asyncio.gather(making.task, return_exceptions=True)

    async def _make(self, key: str, reference: Reference, making: _Making) -> Image:
        try:
            async with self._store.temporary_folder("make") as folder:
                return await self._make_in(folder, reference, making.tell)
        finally:
            self._forget(key, making)

    def _forget(self, key: str, making: _Making) -> None:
        if self._makings.get(key) is making:
            del self._makings[key]

    async def _make_in(self, folder: Path, reference: Reference, report: Report) -> Image:
        report(Progress(f"Pulling from {reference.path}", reference.tag))
        made = await self._local.make(reference, folder, lambda line: report(Progress(line, reference.tag)))
        length = (await asyncio.to_thread(made.archive.stat)).st_size
        request = ImportRequest(made.defaults, host_platform(), made.created, created_by=made.created_by)
        stopped = threading.Event()
        telling = from_thread(report)
        async with leased(self._store) as lease:

            def unpack() -> Layer:
                meter = Meter(telling, "Extracting", reference.tag, length, stopped)
                return unpack_file(lease, made.archive, meter)

            layer = await run_blocking(unpack, stopped.set)
            report(Progress("Pull complete", short_id(layer.diff_id)))
            new = single_layer_image(request, layer.diff_id)
            manifest = _manifest(new, self._store.layers.archives(layer.diff_id)[0])
            digest = digest_of(manifest)
            named = replace(
                new,
                references=(reference, reference.with_digest(digest)),
                manifest=manifest,
                manifest_type=MANIFEST_TYPE,
            )
            fresh = self._store.find_reference(reference) != new.id
            image = await self._store.store(named, timestamp(time.time_ns()))
        report(Progress(f"Digest: {digest}"))
        what = "Downloaded newer image" if fresh else "Image is up to date"
        report(Progress(f"Status: {what} for {reference.familiar}"))
        self._events.emit("image", "pull", reference.familiar, {"name": reference.familiar_name, **image.labels})
        return image


def _manifest(new: NewImage, archive: LayerBlob) -> bytes:
    """The manifest that a registry has once the image is pushed to it."""
    manifest = Manifest(
        config=Descriptor(CONFIG_TYPE, new.id, len(new.config_bytes)),
        layers=[Descriptor(archive.media_type, archive.digest, archive.size_bytes)],
        media_type=MANIFEST_TYPE,
    )
    return msgspec.json.encode(manifest)
