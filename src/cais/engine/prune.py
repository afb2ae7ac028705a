"""Removing every container that does not run: `docker container prune`."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.filters import Filters
from cais.engine.lifecycle import Lifecycle
from cais.engine.times import parse_moment_ns
from cais.errors import Conflict, InvalidArgument, NotFound
from cais.storage.measure import disk_bytes

FILTERS: Final = frozenset({"label", "label!", "until"})


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, and the bytes that it had taken."""

    ids: list[str]
    bytes: int


class Pruning:
    """Prunes the containers of one engine, one request at a time."""

    def __init__(self, containers: Containers, lifecycle: Lifecycle, events: EventBus) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._events = events
        self._busy = False

    async def prune(self, filters: Filters) -> Pruned:
        """Removes what the filters let through. Raises InvalidArgument, Conflict while another prune runs."""
        filters.validate(FILTERS)
        until_ns = _until_ns(filters)
        if self._busy:
            raise Conflict("a prune operation is already running")
        self._busy = True
        try:
            ids, total = [], 0
            for container in self._containers:
                if _is_unused(container) and _passes(container, filters, until_ns):
                    diff = self._containers.folder(container.id) / "rw" / "diff"
                    own = await asyncio.to_thread(disk_bytes, diff, allocated=True)
                    try:
                        await self._lifecycle.remove(container)
                    except (Conflict, NotFound):
                        continue  # somebody has started or removed it meanwhile
                    ids.append(container.id)
                    total += own
        finally:
            self._busy = False
        self._events.emit("container", "prune", "", {"reclaimed": str(total)})
        return Pruned(ids, total)


def _is_unused(container: Container) -> bool:
    return not (container.active or container.starting or container.removing)


def _passes(container: Container, filters: Filters, until_ns: int | None) -> bool:
    labels = container.record.config.labels
    if until_ns is not None and container.record.created_ns > until_ns:
        return False
    unwanted = filters.get("label!")
    return filters.labels("label", labels) and not any(Filters({"x": [text]}).labels("x", labels) for text in unwanted)


def _until_ns(filters: Filters) -> int | None:
    given = filters.get("until")
    if len(given) > 1:
        raise InvalidArgument("more than one until filter specified")
    return parse_moment_ns(given[0], time.time_ns()) if given else None
