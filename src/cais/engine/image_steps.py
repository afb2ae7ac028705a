"""What builds have kept for the next one: the results of their steps, by a digest of all that each depends on.

A result is layers, which it keeps as an image would. Where it came from is no part of it: a step is found again only by
what it was made of, so that no image that claims to have been made by a step can stand for it (CVE-2024-24557).
"""

import asyncio
import sqlite3
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from cais.engine import image_tables
from cais.engine.image_tables import Step
from cais.storage.database import Database
from cais.storage.layers import LayerStore

__all__ = ["Step", "Steps"]


class Steps:
    """The steps that are kept. Reading is immediate, from the event loop; changing is awaited, one at a time."""

    def __init__(self, database: Database, layers: LayerStore) -> None:
        self._database = database
        self._layers = layers
        self._steps: dict[str, Step] = {}
        self._used: set[str] = set()

    def load(self, steps: Iterable[Step]) -> list[str]:
        """Take what the database has; returns the keys of those whose layers are gone. For a thread."""
        lost = []
        for step in steps:
            if step.chain_id is None or self._layers.retain(step.chain_id) is not None:
                self._steps[step.key] = step
            else:
                lost.append(step.key)
        return lost

    def all(self) -> list[Step]:
        """Every step, in no order."""
        return list(self._steps.values())

    def get(self, key: str) -> Step | None:
        """The step with that key, which counts as used now."""
        step = self._steps.get(key)
        if step is None:
            return None
        used = replace(step, last_used_ns=time.time_ns(), uses=step.uses + 1)
        self._steps[key] = used
        self._used.add(key)
        return used

    async def keep(self, steps: Sequence[Step]) -> None:
        """Keep steps, whose layers a lease keeps meanwhile, and note which were used. Raises: Unavailable."""
        found = {step.key: step for step in steps}
        chains = [self._layers.chain(step.chain_id) for step in found.values()]
        await asyncio.to_thread(self._layers.settle, [layer.chain_id for chain in chains for layer in chain])
        used, self._used = self._used - found.keys(), set()
        again = [self._steps[key] for key in used if key in self._steps]

        def write(connection: sqlite3.Connection) -> None:
            for chain in chains:
                image_tables.insert_layers(connection, chain[::-1])
            image_tables.insert_steps(connection, [*found.values(), *again])

        await self._database.run(write)
        gone = []
        for step in found.values():
            if step.chain_id is not None:
                self._layers.retain(step.chain_id)
            before = self._steps.get(step.key)
            if before is not None and before.chain_id is not None:
                gone.append(before.chain_id)
            self._steps[step.key] = step
        if gone:
            await asyncio.to_thread(self._layers.release, gone)

    async def remove(self, keys: Collection[str]) -> list[str]:
        """Let go of steps; returns the layers that went with them."""
        gone = [step for key in keys if (step := self._steps.pop(key, None)) is not None]
        await self._database.run(lambda connection: image_tables.delete_steps(connection, [s.key for s in gone]))
        tops = [step.chain_id for step in gone if step.chain_id is not None]
        return await asyncio.to_thread(self._layers.release, tops)
