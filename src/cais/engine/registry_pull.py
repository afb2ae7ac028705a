"""Pulling an image from a registry: its manifest, its configuration, its layers; then it gets its names.

An image is named only when all of it is here and verified. What an interrupted pull has received whole stays for the
next one.
"""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from cais.distribution.oci import (
    Descriptor,
    ImageConfig,
    Manifest,
    Platform,
    decode_config,
    decode_index,
    decode_manifest,
)
from cais.distribution.platforms import choose, host_platform, matches, platform_text
from cais.distribution.reference import Reference
from cais.distribution.registry_auth import Credentials
from cais.distribution.registry_client import connect_to
from cais.distribution.registry_errors import NoCredentials, Refused, Unreachable, pull_error
from cais.distribution.registry_hosts import Endpoint, endpoints, mirrors
from cais.distribution.registry_repository import Document, Repository
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.image import Image
from cais.engine.image_layers import LayerFetcher, OpenRepository, wanted_layers
from cais.engine.image_store import Events, ImageStore, NewImage
from cais.engine.models import timestamp
from cais.engine.progress import Progress, Report, silent
from cais.errors import CaisError, Internal, InvalidArgument, NotFound

_log: Final = logging.getLogger("cais.engine.images")

_CONFIG_TYPES: Final = frozenset(
    {"application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"}
)
_LAYER_TYPES: Final = frozenset(
    {
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    }
)
_MAX_LAYERS: Final = 500
_MAX_INDEX_DEPTH: Final = 2


@dataclass(frozen=True, slots=True)
class _Described:
    """An image as a registry describes it. `top` is what its name stands for: its manifest, or an index above."""

    top: Document
    manifest: Document
    decoded: Manifest
    config_bytes: bytes
    config: ImageConfig


class RegistryPuller:
    """Pulls images from registries into a store."""

    def __init__(self, store: ImageStore, events: Events, settings: RegistrySettings) -> None:
        self._store = store
        self._events = events
        self._settings = settings
        self._layers = LayerFetcher(store, settings.max_downloads)

    async def pull(
        self, reference: Reference, platform: Platform | None, credentials: Credentials, report: Report
    ) -> list[Image]:
        """Bring an image here, or, of a reference without tag and digest, the images of all its tags.

        Mirrors are asked first, without credentials; what they fail at, the registry itself is asked for.
        Raises: NotFound, RegistryFailed in Docker's words; InvalidArgument for content that is not what it should be.
        """
        for endpoint in await asyncio.to_thread(mirrors, reference.domain, self._settings):
            try:
                return await self._pull_from([endpoint], reference, platform, credentials, report)
            except CaisError as error:
                _log.info("the mirror %s does not give %s: %s", endpoint.url, reference.familiar, error)
        found = await asyncio.to_thread(endpoints, reference.domain, self._settings)
        return await self._pull_from(found, reference, platform, credentials, report)

    async def _pull_from(
        self, servers: list[Endpoint], reference: Reference, platform: Platform | None, credentials: Credentials,
        report: Report,
    ) -> list[Image]:  # fmt: skip
        stack = AsyncExitStack()
        try:
            registry = await stack.enter_async_context(connect_to(servers, credentials))
            source = OpenRepository(Repository(registry, reference.path), stack)
            async with source.used():
                if reference.tag or reference.digest:
                    return [await self._pull_one(source, reference, platform, report)]
                tags = await source.repository.tags()
                return [await self._pull_one(source, reference.with_tag(tag), platform, report) for tag in tags]
        except (Refused, NoCredentials, Unreachable) as error:
            raise pull_error(error, reference) from error

    async def _pull_one(
        self, source: OpenRepository, reference: Reference, platform: Platform | None, report: Report
    ) -> Image:
        described = await self._describe(source.repository, reference, platform, report)
        decoded = described.decoded
        layers = wanted_layers(decoded.layers, described.config.diff_ids)
        digest = described.top.digest
        names = (reference.with_digest(digest), *([reference] if reference.tag and not reference.digest else []))
        new = NewImage(
            described.config_bytes, described.config, names,
            manifest=described.manifest.data, manifest_type=described.manifest.media_type,
        )  # fmt: skip
        before = self._store.find_reference(reference)
        is_whole = self._layers.has_all(layers) and before == new.id
        async with self._layers.fetched(source, layers, silent if is_whole else report):
            image = await self._store.store(new, timestamp(time.time_ns()))
        report(Progress(f"Digest: {digest}"))
        what = "Image is up to date" if before == new.id else "Downloaded newer image"
        report(Progress(f"Status: {what} for {reference.familiar}"))
        self._events.emit("image", "pull", reference.familiar, {"name": reference.familiar_name, **image.labels})
        return image

    async def _describe(
        self, repository: Repository, reference: Reference, platform: Platform | None, report: Report
    ) -> _Described:
        top = await repository.manifest(reference.digest or reference.tag)
        manifest = await _for_platform(repository, top, platform or host_platform())
        decoded = decode_manifest(manifest.data)
        _check_types(decoded)
        report(Progress(f"Pulling from {reference.path}", reference.digest or reference.tag))
        data = await self._config(repository, decoded.config)
        config = decode_config(data)
        if not matches(platform, config.os, config.architecture):
            actual = platform_text(Platform(config.architecture, config.os, config.variant))
            raise NotFound(
                f"image with reference {reference.familiar} was found but does not match the specified platform: "
                f"wanted {platform_text(platform or Platform())}, actual: {actual}"
            )
        return _Described(top, manifest, decoded, data, config)

    async def _config(self, repository: Repository, descriptor: Descriptor) -> bytes:
        """The configuration, from here where it is, else from the registry."""
        if self._store.blobs.has(descriptor.digest) and self._store.blobs.size(descriptor.digest) == descriptor.size:
            try:
                return await asyncio.to_thread(self._store.blobs.read, descriptor.digest)
            except (NotFound, Internal):
                _log.warning("blob %s is damaged, and is fetched again", descriptor.digest)
        return await repository.document(descriptor, "image configuration")


async def _for_platform(repository: Repository, top: Document, platform: Platform) -> Document:
    """The manifest that a name stands for on a platform. Raises: NotFound when there is none."""
    document = top
    for _ in range(_MAX_INDEX_DEPTH):
        if not document.is_index:
            return document
        offered = decode_index(document.data).manifests
        chosen = choose([item.platform for item in offered], platform)
        if chosen is None:
            raise NotFound(f"no matching manifest for {platform_text(platform)} in the manifest list entries")
        item = offered[chosen]
        document = await repository.manifest(item.digest, item.size)
        if item.media_type != document.media_type:
            raise InvalidArgument(f"invalid index: {item.digest} is said to be {item.media_type[:100]!r} and is not")
    if document.is_index:
        raise InvalidArgument("invalid index: indexes nested too deep")
    return document


def _check_types(manifest: Manifest) -> None:
    """Raises: InvalidArgument where it is no image, or has layers of a kind that is not known."""
    if manifest.config.media_type not in _CONFIG_TYPES:
        raise InvalidArgument(
            f"unsupported media type {manifest.config.media_type[:100]!r}: this is no container image"
        )
    if len(manifest.layers) > _MAX_LAYERS:
        raise InvalidArgument(f"invalid manifest: more than {_MAX_LAYERS} layers")
    for layer in manifest.layers:
        if layer.media_type not in _LAYER_TYPES:
            raise InvalidArgument(f"unsupported layer media type {layer.media_type[:100]!r}")
