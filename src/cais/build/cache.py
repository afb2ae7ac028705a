"""The build cache as it is listed and pruned: the layers of steps, and the folders of cache mounts."""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cais.build.cacheentries import CACHE_MOUNT, KEPT_CONTEXT, Entry
from cais.build.cachefilters import PruneOptions
from cais.build.cachemounts import CacheMounts
from cais.build.kept import Generation, KeptContexts
from cais.build.making import INTERNAL
from cais.engine.engine import Engine
from cais.engine.image_steps import Step

DEFAULT_BYTES: Final = 20 << 30
"""How much a build cache may grow to before what was used least recently goes."""


@dataclass(frozen=True, slots=True)
class Freed:
    """What a prune has removed."""

    ids: list[str]
    size_bytes: int


class BuildCache:
    """Lists and prunes."""

    def __init__(self, engine: Engine, mounts: CacheMounts, kept: KeptContexts) -> None:
        self._engine = engine
        self._kept = kept
        self._mounts = mounts

    async def entries(self) -> list[Entry]:
        """Everything that is kept, least recently used first."""
        store = self._engine.images.store
        in_images = {chain_id for image in store.images() for chain_id in image.layers}
        steps = [_entry(step, step.chain_id in in_images) for step in store.steps.all() if step.kind != INTERNAL]
        mounts = [
            Entry(
                id=item.key,
                parent="",
                kind=CACHE_MOUNT,
                description=f"cached mount {item.id}",
                size_bytes=item.size_bytes,
                created_ns=item.created_ns,
                last_used_ns=item.last_used_ns,
                uses=1,
                in_use=item.in_use,
                shared=False,
            )
            for item in await asyncio.to_thread(self._mounts.all)
        ]
        kept = [_entry_of_context(context) for context in await self._kept.all()]
        return sorted([*steps, *mounts, *kept], key=lambda entry: (entry.last_used_ns, entry.id))

    async def prune(self, options: PruneOptions) -> Freed:
        """Remove what was used least recently, until what is left fits. Steps that made no layer go with the others."""
        entries = await self.entries()
        chosen = options.chosen(entries, await asyncio.to_thread(self._free_bytes))
        freed = await self._remove(chosen, with_internal=options.everything and not options.is_limited)
        self._engine.events.emit("builder", "prune", "", {"reclaimed": str(freed.size_bytes)})
        return freed

    async def collect(self) -> None:
        """After a build: keep the cache within its size."""
        store = self._engine.images.store
        if sum(step.size_bytes for step in store.steps.all()) > DEFAULT_BYTES:
            await self.prune(PruneOptions(everything=True, max_used_bytes=DEFAULT_BYTES))

    def _free_bytes(self) -> int:
        status = os.statvfs(self._engine.settings.data_root)
        return status.f_bavail * status.f_frsize

    async def _remove(self, chosen: Iterable[Entry], *, with_internal: bool) -> Freed:
        store = self._engine.images.store
        removed: list[Entry] = []
        keys = []
        for entry in chosen:
            if entry.kind == KEPT_CONTEXT:
                if await self._kept.remove(entry.id):
                    removed.append(entry)
            elif entry.kind != CACHE_MOUNT:
                keys.append(entry.id)
                removed.append(entry)
            elif await asyncio.to_thread(self._mounts.remove, entry.id):
                removed.append(entry)
        if with_internal:
            keys += [step.key for step in store.steps.all() if step.kind == INTERNAL]
        await store.steps.remove(keys)
        return Freed([entry.id for entry in removed], sum(entry.size_bytes for entry in removed if not entry.shared))


def _entry_of_context(context: Generation) -> Entry:
    return Entry(
        id=context.key,
        parent="",
        kind=KEPT_CONTEXT,
        description="local source for a context",
        size_bytes=context.size_bytes,
        created_ns=context.made_ns,
        last_used_ns=context.used_ns,
        uses=context.uses,
        in_use=context.users > 0,
        shared=False,
    )


def _entry(step: Step, shared: bool) -> Entry:
    return Entry(
        id=step.key,
        parent=step.parent,
        kind=step.kind,
        description=step.description,
        size_bytes=step.size_bytes,
        created_ns=step.created_ns,
        last_used_ns=step.last_used_ns,
        uses=step.uses,
        in_use=False,
        shared=shared,
    )
