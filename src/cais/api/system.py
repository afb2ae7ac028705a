"""Ping, version, info and events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from cais.api.containers import moment_query, stream
from cais.api.http import (
    MAX_VERSION,
    MIN_VERSION,
    encode,
    filters_query,
    json_answer,
    plain_headers,
    text_query,
    version_text,
)
from cais.engine import info
from cais.engine.engine import Engine
from cais.engine.events import FILTERS
from cais.engine.filters import Filters

BUILDER_VERSION = "1"


class SystemHandlers:
    """The handlers about the engine itself."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.get("/_ping", self.ping, allow_head=False),
            web.head("/_ping", self.ping),
            web.get("/version", self.version, allow_head=False),
            web.get("/info", self.info, allow_head=False),
            web.get("/events", self.events, allow_head=False),
        ]

    async def ping(self, request: web.Request) -> web.StreamResponse:
        """GET and HEAD /_ping"""
        headers = plain_headers({"Builder-Version": BUILDER_VERSION, "Swarm": "inactive"})
        if request.method == "HEAD":
            headers["Content-Length"] = "0"
            headers["Content-Type"] = "text/plain; charset=utf-8"
            return web.Response(headers=headers)
        return web.Response(text="OK", headers=headers)

    async def version(self, _: web.Request) -> web.StreamResponse:
        """GET /version"""
        return json_answer(info.version(version_text(MAX_VERSION), version_text(MIN_VERSION)))

    async def info(self, _: web.Request) -> web.StreamResponse:
        """GET /info"""
        return json_answer(info.info(self._engine))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /events"""
        filters = filters_query(request)
        filters.validate(FILTERS)
        since = moment_query(request, "since") if text_query(request, "since") else None
        until = moment_query(request, "until") if text_query(request, "until") else None
        return await stream(request, self._lines(since, until, filters), "application/json")

    async def _lines(self, since: int | None, until: int | None, filters: Filters) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._engine.events.subscribe(since, until, filters)) as events:
            async for event in events:
                yield encode(event)
