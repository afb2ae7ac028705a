"""Backing up volumes: out to an archive, in from one, and from one volume to another.

An archive is a tar, compressed with zstd, whose first entry is the volume's own folder. What comes in may be compressed
with anything that images are. A volume gets its new content at once, or stays as it was.
"""

import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Final

from cais.distribution.compression import Source, decompressed, zstd_compressed
from cais.engine.adjust import Adjustments
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.progress import Meter, Report, from_thread, metered
from cais.engine.volume import ANONYMOUS_LABEL, DRIVER, Volume, VolumeRequest, check_name
from cais.engine.volumes import Volumes
from cais.engine.work import ahead, run_blocking, run_with_body, to_the_end
from cais.errors import CaisError, Conflict
from cais.storage import tartree
from cais.storage.fill import Pieces
from cais.storage.tarstream import TarReader
from cais.storage.unpack_live import Target, unpack_live

_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_Pieces = AsyncGenerator[bytes, None]


class VolumeBackup:
    """Copies the content of the volumes of one engine."""

    def __init__(
        self, volumes: Volumes, containers: Containers, adjust: Adjustments, events: EventBus, scratch: str
    ) -> None:
        self._volumes = volumes
        self._containers = containers
        self._adjust = adjust
        self._events = events
        self._scratch = scratch

    @asynccontextmanager
    async def exporting(self, name: str, *, pause: bool) -> AsyncIterator[_Pieces]:
        """The archive of a volume, in pieces, good for the time of the block.

        pause: the containers that use it stand still meanwhile. Raises NotFound, Internal.
        """
        volume = self._volumes.find(name)
        async with self._reading(volume, pause) as root:
            self._events.emit("volume", "export", name, {"driver": DRIVER})
            yield ahead(zstd_compressed(tartree.pack_one(root, ".")))

    async def import_(self, name: str, body: AsyncIterator[bytes]) -> Volume:
        """A volume with what is in an archive. It is made unless it is there, and empty.

        Raises InvalidArgument for what is no archive, Conflict, Unavailable when the disk is full.
        """
        check_name(name)
        async with self._volumes.made(VolumeRequest(Name=name)) as volume, self._volumes.replacing(volume) as folder:
            await run_with_body(body, lambda pipe: self._unpack(decompressed(pipe), folder))
        self._events.emit("volume", "import", name, {"driver": DRIVER})
        return volume

    async def clone(self, name: str, target: str, report: Report, *, pause: bool) -> Volume:
        """A volume with the labels and the content of another one. It is made unless it is there, and empty.

        pause: the containers that use the other one stand still meanwhile. Raises as `import_`, and NotFound.
        """
        source = self._volumes.find(name)
        check_name(target)
        if target == name:
            raise Conflict(f"volume {name} cannot be cloned to itself")
        request = VolumeRequest(Name=target, Labels=_without_mark(source))
        stopped = threading.Event()
        total = await self._volumes.size_bytes(source)
        async with self._volumes.made(request) as volume, self._volumes.replacing(volume) as folder:
            async with self._reading(source, pause) as root:
                meter = Meter(from_thread(report), "Copying", target, total, stopped)
                pieces = metered(Pieces(tartree.pack_one(root, ".")), meter)
                await run_blocking(lambda: self._unpack(pieces, folder), stopped.set)
        self._events.emit("volume", "clone", target, {"driver": DRIVER, "source": name})
        return volume

    def _unpack(self, source: Source, folder: str) -> None:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            reader = TarReader(source)
            unpack_live(reader, Target(root, "/", root, sets_folder=True), self._scratch)
            reader.drain()
        finally:
            os.close(root)

    @asynccontextmanager
    async def _reading(self, volume: Volume, pause: bool) -> AsyncIterator[int]:
        """A descriptor of a volume's folder, whose users stand still if they are to."""
        async with self._paused(volume) if pause else nullcontext(), self._volumes.opened(volume) as folder:
            root = os.open(folder, _FOLDER)
            try:
                yield root
            finally:
                os.close(root)

    @asynccontextmanager
    async def _paused(self, volume: Volume) -> AsyncIterator[None]:
        paused: list[Container] = []
        try:
            for container in self._containers:
                if container.id in volume.users and container.running and not container.paused:
                    with suppress(Conflict):  # it has ended
                        await self._adjust.pause(container)
                        paused.append(container)
            yield
        finally:
            await to_the_end(self._unpause(paused))

    async def _unpause(self, paused: list[Container]) -> None:
        for container in paused:
            if container.paused:
                with suppress(CaisError):  # it has ended
                    await self._adjust.unpause(container)


def _without_mark(volume: Volume) -> dict[str, str] | None:
    return {key: value for key, value in volume.labels.items() if key != ANONYMOUS_LABEL} or None
