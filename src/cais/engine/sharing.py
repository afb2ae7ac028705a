"""Work that several operations want at the same time, done once.

    async with shared.join(key, report, work) as job:
        result = await job.result()

Whoever joins later is told what was told so far. The work is stopped when the last one leaves; what its lease keeps
is kept until then, so that everybody has time to use it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from cais.engine.progress import Progress, Report
from cais.engine.work import to_the_end
from cais.storage.layers import LayerStore, Lease

T = TypeVar("T")
S = TypeVar("S")


class Job(Generic[T, S]):
    """One piece of work. `started` is for what it lets others use before its end."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.started: asyncio.Future[S] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[T]
        self.reports: list[Report] = []
        self._told: dict[tuple[str, str], Progress] = {}

    def tell(self, message: Progress) -> None:
        """Tell everybody who has joined."""
        self._told[message.id, message.status] = message
        for report in self.reports:
            report(message)

    def replay(self, report: Report) -> None:
        """Tell one what was told, of what moved only where it was last."""
        for message in self._told.values():
            report(message)

    async def result(self) -> T:
        """What the work has given, waited for; raises what it raised. Being cancelled leaves it running."""
        return await asyncio.shield(self.task)

    async def use(self) -> S | None:
        """What the work lets others use before its end; None when it has ended before."""
        waiting: set[asyncio.Future[Any]] = {self.started, self.task}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return self.started.result() if self.started.done() and not self.task.done() else None


class Shared(Generic[T, S]):
    """The jobs of one kind, by their keys."""

    def __init__(self, layers: LayerStore, name: str) -> None:
        self._layers = layers
        self._name = name
        self._jobs: dict[str, Job[T, S]] = {}

    def find(self, key: str) -> Job[T, S] | None:
        """The job that is under way, if one is."""
        return self._jobs.get(key)

    @asynccontextmanager
    async def join(
        self, key: str, report: Report, work: Callable[[Job[T, S]], Coroutine[Any, Any, T]]
    ) -> AsyncIterator[Job[T, S]]:
        """Take part in the work `key`, which is begun when nobody has."""
        job = self._jobs.get(key)
        if job is None or (job.task.done() and (job.task.cancelled() or job.task.exception() is not None)):
            self._jobs[key] = job = Job(self._layers.lease(spare_blobs=True))
            job.task = asyncio.create_task(work(job), name=f"{self._name} {key}")
        job.replay(report)
        job.reports.append(report)
        try:
            yield job
        finally:
            job.reports.remove(report)
            if not job.reports:
                await to_the_end(self._end(key, job))

    async def _end(self, key: str, job: Job[T, S]) -> None:
        if self._jobs.get(key) is job:
            del self._jobs[key]
        job.task.cancel()
        await asyncio.gather(job.task, return_exceptions=True)
        job.started.cancel()
        await asyncio.to_thread(job.lease.close)
