"""A container's file system as a tar archive: `docker export`.

The layers are mounted once more, read-only and detached: no path of the host leads there, nothing of the container's
mounts is in it, and it is gone when its descriptor is closed, whoever dies.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from cais.engine.image import Image
from cais.engine.image_archives import leased
from cais.engine.image_store import ImageStore
from cais.engine.text import reason
from cais.engine.work import ahead
from cais.errors import Internal, NotFound
from cais.runtime.merged import merged
from cais.storage import tartree

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


async def export(upper: Path, lower: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """The archive, in pieces. `lower` are the layers below the read-write one, topmost first.

    Raises Internal when it cannot be begun, which is known before the generator is returned.
    """
    try:
        root = await asyncio.to_thread(open_merged, [str(upper), *lower])
    except OSError as error:
        raise Internal(f"cannot export: {reason(error)}") from error
    return _archive(root)


async def export_image(store: ImageStore, image: Image) -> AsyncGenerator[bytes, None]:
    """The archive of an image's files, all layers merged, in pieces. Raises Internal when it cannot be begun."""
    lower = [str(store.layers.path(chain_id)) for chain_id in reversed(image.layers)]
    async with leased(store) as lease, store.temporary_folder("export") as empty:
        if image.layers and lease.keep(image.layers[-1]) is None:
            raise NotFound(f"No such image: {image.id}")
        # an overlay has two layers at least
        async with aclosing(await export(empty, lower or [str(empty)])) as pieces:
            async for piece in pieces:
                yield piece


async def _archive(root: int) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(ahead(tartree.pack(root))) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        os.close(root)


def open_merged(layers: Sequence[str]) -> int:
    """Two layers or more, merged, topmost first: a descriptor of a folder that is mounted nowhere. Raises OSError."""
    detached = merged(layers)
    try:
        return os.open(".", _FOLDER, dir_fd=detached)
    finally:
        os.close(detached)
