"""Bringing the layers of an image here: downloaded, verified and unpacked at the same time.

    registry ──▶ loop ──pipe──▶ thread: hash, write ──▶ blob ──followed by──▶ thread: decompress, hash ──▶ unpack

Several layers arrive at once; they are unpacked from the bottom up, each while it still arrives where its turn has
come. What waits in memory is bounded by the pipe, whatever a layer's size. An arrival that breaks off is gone on with,
in the same pull or in a later one. Pulls that want the same layer share its download and its unpacking.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from cais.distribution.compression import decompressed
from cais.distribution.oci import Descriptor
from cais.distribution.registry_client import delay_seconds
from cais.distribution.registry_errors import Failure, NoCredentials, Refused, Unreachable, failed
from cais.distribution.registry_repository import BlobStream, Repository
from cais.engine.image import short_id
from cais.engine.image_store import ImageStore
from cais.engine.progress import Meter, Progress, Report, from_thread, metered
from cais.engine.sharing import Job, Shared
from cais.engine.work import Pipe, run_blocking, run_with_body, to_the_end
from cais.errors import CaisError, Internal, InvalidArgument
from cais.storage.blobfiles import BlobReader, BlobWriter, Following
from cais.storage.layers import Layer, LayerBlob, Lease, chain_ids

ATTEMPTS: Final = 6
"""How often an arrival may break off with little progress in between."""

T = TypeVar("T")
S = TypeVar("S")
_Work: TypeAlias = Callable[[Job[T, S]], Coroutine[Any, Any, T]]

_PROGRESS_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 20


class OpenRepository:
    """Where blobs come from: a repository, open as long as anybody uses it, whoever has opened it."""

    def __init__(self, repository: Repository, stack: AsyncExitStack) -> None:
        self.repository = repository
        self._stack = stack
        self._users = 0

    @asynccontextmanager
    async def used(self) -> AsyncIterator[Repository]:
        """The repository for the time of the block."""
        self._users += 1
        try:
            yield self.repository
        finally:
            self._users -= 1
            if not self._users:
                await self._stack.aclose()


@dataclass(frozen=True, slots=True)
class WantedLayer:
    """A layer of a manifest; `chain_id` and `parent` name it and the one below in the store."""

    descriptor: Descriptor
    diff_id: str
    chain_id: str
    parent: str | None

    @property
    def part(self) -> str:
        """What progress calls it."""
        return short_id(self.descriptor.digest)


def wanted_layers(descriptors: Sequence[Descriptor], diff_ids: Sequence[str]) -> list[WantedLayer]:
    """The layers of an image, bottom first. Raises: InvalidArgument when the two lists cannot belong together."""
    if len(descriptors) != len(diff_ids):
        raise InvalidArgument(f"invalid manifest: {len(descriptors)} layers, and a configuration for {len(diff_ids)}")
    chain = chain_ids(diff_ids)
    parents = [None, *chain]
    return [WantedLayer(*item) for item in zip(descriptors, diff_ids, chain, parents, strict=False)]


class LayerFetcher:
    """Fetches layers into a store."""

    def __init__(self, store: ImageStore, max_downloads: int) -> None:
        self._store = store
        self._slots = asyncio.Semaphore(max_downloads)
        self._downloads: Shared[None, BlobWriter] = Shared(store.layers, "download")
        self._unpackings: Shared[Layer, None] = Shared(store.layers, "unpack")

    @asynccontextmanager
    async def fetched(
        self, source: OpenRepository, layers: Sequence[WantedLayer], report: Report
    ) -> AsyncIterator[None]:
        """All the layers, in the store and kept for the time of the block.

        Raises: InvalidArgument for content that is not what the manifest or the configuration says, or hostile;
            RegistryFailed, Unavailable.
        """
        async with AsyncExitStack() as stack:
            lease = self._store.layers.lease()
            stack.push_async_callback(asyncio.to_thread, lease.close)
            jobs = []
            for layer in layers:
                if self._is_here(layer, lease):
                    report(Progress("Already exists", layer.part))
                else:
                    joining = self._unpackings.join(layer.chain_id, report, self._work(source, layer))
                    jobs.append(await stack.enter_async_context(joining))
            await asyncio.gather(*(job.result() for job in jobs))
            yield

    def has_all(self, layers: Sequence[WantedLayer]) -> bool:
        """Whether nothing is to be fetched."""
        with closing(self._store.layers.lease()) as lease:
            return all(self._is_here(layer, lease) for layer in layers)

    def _is_here(self, layer: WantedLayer, lease: Lease) -> bool:
        """Whether a layer is in the store, with a blob that reproduces it; it is kept then."""
        return bool(self._store.layers.archives(layer.diff_id)) and lease.keep(layer.chain_id) is not None

    def _work(self, source: OpenRepository, layer: WantedLayer) -> "_Work[Layer, None]":
        async def work(job: "Job[Layer, None]") -> Layer:
            job.tell(Progress("Pulling fs layer", layer.part))
            below = self._unpackings.find(layer.parent) if layer.parent is not None else None
            while True:
                if job.lease.keep_blob(layer.descriptor.digest):
                    try:
                        return await self._from_blob(job, layer, below)
                    except Internal:
                        if self._store.blobs.has(layer.descriptor.digest):
                            raise
                        continue  # it was damaged, and is gone: it is fetched again
                downloading = self._downloads.join(
                    layer.descriptor.digest, job.tell, lambda down: self._download(source, layer, down)
                )
                async with downloading as down:
                    writer = await down.use()
                    if writer is None:
                        await down.result()
                        job.lease.keep_blob(layer.descriptor.digest)
                        continue
                    return await self._from_download(job, layer, below, down, writer)

        return work

    # -- unpacking

    async def _from_blob(self, job: "Job[Layer, None]", layer: WantedLayer, below: "Job[Layer, None] | None") -> Layer:
        """Unpack a layer whose blob is here."""
        size_bytes = self._store.blobs.size(layer.descriptor.digest)
        if size_bytes != layer.descriptor.size:
            raise InvalidArgument(_wrong_size(layer.descriptor, size_bytes))
        await _wait_for(below, layer, job.lease)
        job.tell(Progress("Download complete", layer.part))
        with await asyncio.to_thread(self._store.blobs.reader, layer.descriptor.digest) as reader:
            stopped = threading.Event()
            meter = _meter(job, "Extracting", layer, stopped)
            return await self._unpack(job, layer, reader, meter, stopped)

    async def _from_download(
        self, job: "Job[Layer, None]", layer: WantedLayer, below: "Job[Layer, None] | None",
        down: "Job[None, BlobWriter]", writer: BlobWriter,
    ) -> Layer:  # fmt: skip
        """Unpack a layer that arrives meanwhile, as soon as those below it are there."""
        with writer.follow() as following:
            try:
                await _first_of(_wait_for(below, layer, job.lease), down)
                stopped = threading.Event()
                meter = _meter(job, "Extracting", layer, stopped, when=down.task.done)
                unpacked = await self._unpack(job, layer, following, meter, stopped)
                await down.result()
            except CaisError:
                if down.task.done() and down.task.exception() is not None:
                    await down.result()  # it is why the unpacking failed
                raise
        return unpacked

    async def _unpack(
        self, job: "Job[Layer, None]", layer: WantedLayer, source: "Following | BlobReader", meter: Meter,
        stopped: threading.Event,
    ) -> Layer:  # fmt: skip
        def interrupt() -> None:
            stopped.set()
            if isinstance(source, Following):
                source.interrupt()

        def work() -> Layer:
            plain = decompressed(metered(source, meter))
            unpacked = job.lease.unpack(plain, layer.parent, layer.diff_id, interrupt=interrupt)
            if not job.lease.keep_blob(layer.descriptor.digest):
                raise Internal(f"the blob {layer.descriptor.digest} went while it was unpacked")
            blob = LayerBlob(layer.descriptor.digest, layer.descriptor.media_type, layer.descriptor.size)
            job.lease.attach(unpacked, blob)
            return unpacked

        unpacked = await run_blocking(work, interrupt)
        meter.tell()
        job.tell(Progress("Pull complete", layer.part))
        return unpacked

    # -- downloading

    async def _download(self, source: OpenRepository, layer: WantedLayer, job: "Job[None, BlobWriter]") -> None:
        """Bring the blob of a layer here, verified; who has joined may follow its writer meanwhile."""
        digest = layer.descriptor.digest
        if self._slots.locked():
            job.tell(Progress("Waiting", layer.part))
        async with source.used() as repository, self._slots:
            writer = await to_the_end(asyncio.to_thread(self._store.blobs.writer, digest))
            try:
                job.started.set_result(writer)
                await self._receive(repository, layer, job, writer)
                job.tell(Progress("Verifying Checksum", layer.part))
                await to_the_end(asyncio.to_thread(_commit, job.lease, writer, digest))
            except CaisError as error:
                await to_the_end(asyncio.to_thread(writer.close, error))  # who follows is told the same
                raise
            finally:
                await to_the_end(asyncio.to_thread(writer.close))
        await self._store.list_blob(digest)
        job.tell(Progress("Download complete", layer.part))

    async def _receive(
        self, repository: Repository, layer: WantedLayer, job: "Job[None, BlobWriter]", writer: BlobWriter
    ) -> None:
        """All bytes of a blob into its writer, in as many attempts as it takes within reason."""
        meter = _meter(job, "Downloading", layer, threading.Event(), start=writer.offset)
        descriptor = layer.descriptor
        failures = 0
        while writer.offset < descriptor.size or not descriptor.size:
            before = writer.offset
            try:
                async with repository.blob(descriptor.digest, writer.offset) as stream:
                    if stream.offset != writer.offset:
                        writer.restart()
                    broken: Failure | None = await _write_all(stream, descriptor, writer, meter)
            except Refused as error:
                if error.status == 416:
                    raise InvalidArgument(_wrong_size(descriptor, writer.offset)) from error
                if error.status < 500 and error.status != 429:
                    raise failed(error) from error
                broken = error
            except (Unreachable, NoCredentials) as error:
                broken = error
            if broken is None:
                if writer.offset != descriptor.size:
                    wrong = InvalidArgument(_wrong_size(descriptor, writer.offset))
                    await asyncio.to_thread(writer.abort, wrong)
                    raise wrong
                return
            failures = 0 if writer.offset - before >= _PROGRESS_BYTES else failures + 1
            if failures >= ATTEMPTS:
                raise failed(broken) from broken
            seconds = delay_seconds(failures, broken.retry_after_seconds if isinstance(broken, Refused) else None)
            job.tell(Progress(f"Retrying in {max(1, round(seconds))} seconds", layer.part))
            await asyncio.sleep(seconds)


async def _write_all(
    stream: BlobStream, descriptor: Descriptor, writer: BlobWriter, meter: Meter
) -> Unreachable | None:
    """Write what arrives; returns what the arrival broke off with. Raises: InvalidArgument when it is too much."""
    left = descriptor.size - writer.offset
    broken: Unreachable | None = None
    is_too_much = False

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal left, broken, is_too_much
        try:
            async for piece in stream.pieces:
                left -= len(piece)
                if left < 0:
                    is_too_much = True
                    return
                meter.add(len(piece))
                yield piece
        except Unreachable as error:
            broken = error

    def write(pipe: Pipe) -> None:
        while piece := pipe.read(_PIECE_BYTES):
            writer.write(piece)

    await run_with_body(pieces(), write)
    if is_too_much:
        wrong = InvalidArgument(
            f"blob {descriptor.digest} is larger than the {descriptor.size} bytes of its descriptor"
        )
        await asyncio.to_thread(writer.abort, wrong)
        raise wrong
    return broken


def _commit(lease: Lease, writer: BlobWriter, digest: str) -> None:
    try:
        lease.commit(writer)
    except InvalidArgument as error:
        raise InvalidArgument(f"filesystem layer verification failed for digest {digest}") from error


async def _wait_for(below: "Job[Layer, None] | None", layer: WantedLayer, lease: Lease) -> None:
    """Wait until the layer below is unpacked, and keep it."""
    if below is not None:
        await below.result()
    if layer.parent is not None and lease.keep(layer.parent) is None:
        raise Internal(f"layer {layer.parent} went while another was put on it")


async def _first_of(waiting: Coroutine[Any, Any, None], down: "Job[None, BlobWriter]") -> None:
    """Wait; stop waiting when the download fails before."""
    task = asyncio.ensure_future(waiting)
    try:
        await asyncio.wait({task, down.task}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await down.result()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _wrong_size(descriptor: Descriptor, size_bytes: int) -> str:
    return f"blob {descriptor.digest} has {size_bytes} bytes, where its descriptor says {descriptor.size}"


def _meter(
    job: "Job[Any, Any]", status: str, layer: WantedLayer, stopped: threading.Event, *, start: int = 0,
    when: Callable[[], bool] = lambda: True,
) -> Meter:  # fmt: skip
    """Tells how much of a layer is done; while it still arrives, that alone is told."""

    def tell(message: Progress) -> None:
        if when():
            job.tell(message)

    return Meter(from_thread(tell), status, layer.part, layer.descriptor.size, stopped, current=start)
