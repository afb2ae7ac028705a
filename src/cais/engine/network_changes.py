"""Networks and containers brought together by name: connect, disconnect, remove; and lists of networks."""

import asyncio
import time
from typing import Final

from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.filters import Filters
from cais.engine.models import EndpointSettings
from cais.engine.network import Network
from cais.engine.network_endpoints import Endpoints
from cais.engine.networks import Networks
from cais.engine.times import parse_moment_ns
from cais.errors import CaisError, Conflict, InvalidArgument, NotFound

FILTERS: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
PRUNE_FILTERS: Final = frozenset({"label", "label!", "until"})


class NetworkChanges:
    """What the API asks of the networks of one engine."""

    def __init__(self, networks: Networks, endpoints: Endpoints, containers: Containers, events: EventBus) -> None:
        self._networks = networks
        self._endpoints = endpoints
        self._containers = containers
        self._events = events
        self._pruning = asyncio.Lock()

    async def connect(self, network: Network, reference: str, wanted: EndpointSettings | None) -> None:
        """Puts a container on a network. Raises NotFound, InvalidArgument, Forbidden, Conflict."""
        container = self._containers.find(reference)
        async with container.lock:
            if container.removed:
                raise NotFound(f"No such container: {reference}")
            await self._endpoints.connect(container, network, wanted or EndpointSettings())
            self._containers.save(container)

    async def disconnect(self, network: Network, reference: str, force: bool) -> None:
        """Takes a container off a network. Raises NotFound, InvalidArgument, Forbidden."""
        try:
            container = self._containers.find(reference)
        except NotFound:
            if force:
                raise NotFound(f"endpoint {reference} not found") from None
            raise
        async with container.lock:
            try:
                await self._endpoints.disconnect(container, network)
            finally:
                self._containers.save(container)

    def choose(self, filters: Filters) -> list[Network]:
        """The networks that the filters let through, by name. Raises InvalidArgument."""
        filters.validate(FILTERS)
        for kind in filters.get("type"):
            if kind not in {"builtin", "custom"}:
                raise InvalidArgument(f"invalid filter: 'type'='{kind}'")
        dangling = filters.boolean("dangling", False) if filters.get("dangling") else None
        return [network for network in self._networks if self._passes(network, filters, dangling)]

    def _passes(self, network: Network, filters: Filters, dangling: bool | None) -> bool:
        record = network.record
        unused = record.user_defined and not network.members
        return (
            (dangling is None or unused is dangling)
            and filters.exact("driver", record.driver)
            and (filters.prefix("id", record.id) or filters.matches("id", record.id))
            and filters.labels("label", record.labels)
            and filters.matches("name", record.name)
            and filters.exact("scope", "local")
            and filters.exact("type", "builtin" if record.predefined else "custom")
        )

    async def prune(self, filters: Filters) -> list[str]:
        """Takes away the networks that nobody is on; their names. Raises InvalidArgument, Conflict."""
        filters.validate(PRUNE_FILTERS)
        given = filters.get("until")
        if len(given) > 1:
            raise InvalidArgument("more than one until filter specified")
        until_ns = parse_moment_ns(given[0], time.time_ns()) if given else None
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            names = []
            for network in self._networks:
                if not self._may_go(network, filters, until_ns):
                    continue
                try:
                    await self._networks.remove(network)
                except CaisError:  # somebody has come, or has removed it
                    continue
                names.append(network.name)
        self._events.emit("network", "prune", "", {"reclaimed": "0"})
        return names

    @staticmethod
    def _may_go(network: Network, filters: Filters, until_ns: int | None) -> bool:
        record = network.record
        if record.predefined or network.members or (until_ns is not None and record.created_ns > until_ns):
            return False
        unwanted = filters.get("label!")
        return filters.labels("label", record.labels) and not any(
            Filters({"x": [text]}).labels("x", record.labels) for text in unwanted
        )
