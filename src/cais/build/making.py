"""The layers that a build's steps bring: taken from the cache, or made.

A result is looked for by a digest of what the step depends on: the layers below it by their content, the instruction,
the bytes, modes and owners of what it copies. What is found is used only where it lies on exactly these layers.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cais.build import squash
from cais.build.rootfs import StepFolder, merged, take_layer
from cais.build.state import State
from cais.engine.image import Image
from cais.engine.image_steps import Step
from cais.engine.image_store import ImageStore
from cais.engine.text import reason
from cais.engine.work import Stopped, run_blocking
from cais.errors import Conflict, Unavailable
from cais.storage.layers import Layer, Lease

REGULAR: Final = "regular"
INTERNAL: Final = "internal"
_MAX_LAYERS: Final = 127
_FLUSH_SECONDS: Final = 5.0

Perform = Callable[[StepFolder], Awaitable[None]]
"""Writes into a step's folder."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a step has come to: its layer, None where it has written nothing, and when it was made."""

    layer: Layer | None
    created_ns: int
    cached: bool


class Maker:
    """Makes the steps of one build. folder: for what is being made. epoch_ns: every time that the result shows."""

    def __init__(self, store: ImageStore, lease: Lease, folder: Path, epoch_ns: int | None) -> None:
        self._store = store
        self._lease = lease
        self._folder = folder
        self._epoch_ns = epoch_ns
        self._stopped = threading.Event()
        self._numbers = itertools.count()
        self._new: dict[str, Step] = {}
        self._imported: dict[str, Step] = {}
        self.used: dict[str, Step] = {}
        """Every step of this build that was made or found, by its key."""
        self._making: dict[str, asyncio.Future[Made]] = {}
        self._flushed = time.monotonic()

    @property
    def epoch_ns(self) -> int | None:
        """The time that everything has, where the build is to be reproducible."""
        return self._epoch_ns

    def hold(self, image: Image) -> bool:
        """Keep an image's layers until the build ends; False when they are gone."""
        return all(self._lease.keep(chain_id) is not None for chain_id in image.layers[-1:])

    def take_cache(self, image: Image, steps: Iterable[Step]) -> None:
        """Find also those steps, for this build; their layers are the image's. Nothing of it is kept for others."""
        if self.hold(image):
            self._imported |= {step.key: step for step in steps}

    def stop(self) -> None:
        """Nothing more is made."""
        self._stopped.set()

    def check(self) -> None:
        """Raises Unavailable when the build is given up; for threads."""
        if self._stopped.is_set():
            raise Unavailable("the build was given up")

    def note(self, key: str, state: State, text: str, *, fresh: bool) -> Made:
        """A step that writes no file: only when it was made for the first time is kept."""
        found = None if fresh else self._known(key)
        if found is not None:
            self.used[key] = found
            return Made(None, self._time(found.created_ns), cached=True)
        now = self._time(time.time_ns())
        self.used[key] = self._new[key] = Step(key, None, "", INTERNAL, text, 0, now, now)
        return Made(None, now, cached=False)

    async def make(self, key: str, state: State, text: str, perform: Perform, *, fresh: bool) -> Made:
        """A step that writes files. The same step of another stage, at the same time, is done once.

        Raises: what `perform` does; Conflict for too many layers; Unavailable.
        """
        if (found := None if fresh else self._find(key, state)) is not None:
            return found
        if (other := self._making.get(key)) is not None:
            return await asyncio.shield(other)
        if len(state.diff_ids) >= _MAX_LAYERS:
            raise Conflict("max depth exceeded")
        future: asyncio.Future[Made] = asyncio.get_running_loop().create_future()
        self._making[key] = future
        try:
            made = await self._perform(key, state, text, perform)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else Unavailable("the build was given up"))
            future.exception()  # it may be that nobody else waits
            raise
        finally:
            del self._making[key]
        future.set_result(made)
        await self._flush_sometimes()
        return made

    async def squash(self, layers: Sequence[str], below: Sequence[str], parent: str | None) -> Layer | None:
        """One layer of several, the lowest first, on those below them, the topmost first. Raises: Unavailable."""
        step = StepFolder(self.new_folder("squash"))
        given_up = threading.Event()

        def check() -> None:
            if given_up.is_set():
                raise Stopped

        def work() -> Layer | None:
            step.make()
            with merged(below, step.empty) as base:
                squash.merge(layers, base, step.diff, check)
            return take_layer(self._lease, step, parent, given_up)

        try:
            return await run_blocking(work, given_up.set)
        except OSError as error:
            raise Unavailable(f"squash: {reason(error)}") from error

    async def flush(self) -> None:
        """Keep what was made for the next build. Raises: Unavailable."""
        new, self._new = self._new, {}
        self._flushed = time.monotonic()
        await self._store.steps.keep(list(new.values()))

    def new_folder(self, name: str) -> Path:
        """A name for a folder of this build; it is removed with the build."""
        return self._folder / f"{name}-{next(self._numbers)}"

    async def _flush_sometimes(self) -> None:
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            await self.flush()

    async def _perform(self, key: str, state: State, text: str, perform: Perform) -> Made:
        step = StepFolder(self.new_folder("step"))
        newest = None if self._epoch_ns is None else self._epoch_ns // 1_000_000_000
        try:
            await asyncio.to_thread(step.make)
            await perform(step)
            layer = await run_blocking(
                lambda: take_layer(self._lease, step, state.top, self._stopped, newest), self._stopped.set
            )
        except OSError as error:
            raise Unavailable(f"{text[:80]}: {reason(error)}") from error
        now = self._time(time.time_ns())
        chain_id = state.top if layer is None else layer.chain_id
        size_bytes = 0 if layer is None else layer.size_bytes
        self.used[key] = self._new[key] = Step(key, chain_id, state.top or "", REGULAR, text, size_bytes, now, now)
        return Made(layer, now, cached=False)

    def _find(self, key: str, state: State) -> Made | None:
        """What the cache has, if it lies on the layers of this state."""
        step = self._known(key)
        if step is None:
            return None
        if step.chain_id == state.top:
            self.used[key] = step
            return Made(None, self._time(step.created_ns), cached=True)
        layer = None if step.chain_id is None else self._lease.keep(step.chain_id)
        if layer is None or layer.parent != state.top:
            return None
        self.used[key] = step
        return Made(layer, self._time(step.created_ns), cached=True)

    def _known(self, key: str) -> Step | None:
        return self._new.get(key) or self._store.steps.get(key) or self._imported.get(key)

    def _time(self, time_ns: int) -> int:
        return time_ns if self._epoch_ns is None else self._epoch_ns
