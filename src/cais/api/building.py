"""The builder behind the API, imported when a request first needs it: who never builds does not hold its code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from cais.engine.engine import Engine

if TYPE_CHECKING:
    from cais.api.build import BuildHandlers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Building:
    """The routes of the builder of one engine, and what of it is listed elsewhere."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loaded: BuildHandlers | None = None

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.post("/build", self._late(lambda handlers: handlers.build)),
            web.post("/build/prune", self._late(lambda handlers: handlers.prune)),
            web.post("/build/cancel", self._late(lambda handlers: handlers.cancel)),
            web.post("/cais/build/context", self._late(lambda handlers: handlers.offer_context)),
            web.put("/cais/build/context/{id}", self._late(lambda handlers: handlers.fill_context)),
        ]

    async def cache_records(self) -> list[dict[str, object]]:
        """What is answered about the build cache, least recently used first."""
        return await self._handlers().cache_records()

    async def close(self) -> None:
        """Wait for what goes on beside builds."""
        if self._loaded is not None:
            await self._loaded.close()

    def _handlers(self) -> BuildHandlers:
        if self._loaded is None:
            from cais.api.build import BuildHandlers  # noqa: PLC0415  see above
            from cais.build.builder import Builder  # noqa: PLC0415

            self._loaded = BuildHandlers(Builder(self._engine))
        return self._loaded

    def _late(self, choose: Callable[[BuildHandlers], Handler]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await choose(self._handlers())(request)

        return handle
