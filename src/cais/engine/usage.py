"""How much a container takes on the disk."""

import asyncio
from dataclasses import dataclass

from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.images import Images
from cais.errors import CaisError
from cais.storage.measure import disk_bytes


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bytes of a container: those it has written itself, and those together with its image."""

    own: int
    total: int


async def sizes(container: Container, containers: Containers, images: Images) -> Sizes:
    """The bytes of a container; its own ones are counted on disk, in a thread."""
    own = await asyncio.to_thread(disk_bytes, containers.folder(container.id) / "rw" / "diff")
    try:
        image_bytes = images.get(container.record.image_id).size_bytes
    except CaisError:
        image_bytes = 0
    return Sizes(own, own + image_bytes)
