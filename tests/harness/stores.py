"""Image stores for tests: real ones, in a folder of the test's own; images without layers, which need no privilege."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from cais.distribution.oci import ContainerConfig, History, ImageConfig
from cais.distribution.reference import parse
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.events import EventBus
from cais.engine.image import Image
from cais.engine.image_store import ImageStore, NewImage
from cais.engine.images import Images
from cais.engine.models import timestamp
from cais.storage.database import Database


@asynccontextmanager
async def image_store(data_root: Path) -> AsyncIterator[ImageStore]:
    """A store on the folder, closed at the end."""
    database = Database()
    await database.open(data_root / "cais.db")
    store = ImageStore(database, data_root)
    try:
        await store.open()
        yield store
    finally:
        await store.close()
        await database.close()


@asynccontextmanager
async def opened_images(
    data_root: Path, events: EventBus | None = None, registries: RegistrySettings | None = None
) -> AsyncIterator[Images]:
    """The images of an engine on the folder, closed at the end."""
    database = Database()
    await database.open(data_root / "cais.db")
    images = Images(database, data_root, events or EventBus(), registries)
    try:
        await images.open()
        yield images
    finally:
        await images.close()
        await database.close()


async def add_image(
    store: ImageStore,
    *names: str,
    labels: dict[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    parent: str = "",
) -> Image:
    """An image without layers; its id depends on the first name, the labels and the time."""
    config = ImageConfig(
        os="linux",
        architecture="amd64",
        created=created,
        config=ContainerConfig(labels=labels),
        history=[History(created=created, created_by=names[0] if names else "nobody", empty_layer=True)],
    )
    references = tuple(parse(name) for name in names if name)
    new = NewImage(msgspec.json.encode(config), config, references, parent)
    return await store.store(new, timestamp(time.time_ns()))
