"""Ping, version, info and events."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from cais.api import image_answers
from cais.api.building import Building
from cais.api.containers import moment_query, stream
from cais.api.http import (
    MAX_VERSION,
    MIN_VERSION,
    api_version,
    encode,
    filters_query,
    json_answer,
    plain_headers,
    text_query,
    version_text,
)
from cais.api.volumes import with_usage
from cais.engine import info, usage, views
from cais.engine.engine import Engine
from cais.engine.events import FILTERS
from cais.engine.filters import Filters
from cais.errors import InvalidArgument

BUILDER_VERSION = "1"
DISK_USERS = ("container", "image", "volume", "build-cache")


class SystemHandlers:
    """The handlers about the engine itself."""

    def __init__(self, engine: Engine, building: Building) -> None:
        self._engine = engine
        self._building = building

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.get("/_ping", self.ping, allow_head=False),
            web.head("/_ping", self.ping),
            web.get("/version", self.version, allow_head=False),
            web.get("/info", self.info, allow_head=False),
            web.get("/events", self.events, allow_head=False),
            web.get("/system/df", self.disk_usage, allow_head=False),
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
        if since is not None and until is not None and until < since:
            given = text_query(request, "since"), text_query(request, "until")
            raise InvalidArgument("`since` time ({}) cannot be after `until` time ({})".format(*given))
        return await stream(request, self._lines(since, until, filters), "application/json")

    async def disk_usage(self, request: web.Request) -> web.StreamResponse:
        """GET /system/df"""
        engine = self._engine
        wanted = set(request.query.getall("type", [])) or set(DISK_USERS)
        if wanted - set(DISK_USERS):
            raise InvalidArgument(f"unknown object type: {sorted(wanted - set(DISK_USERS))[0]}")
        answer: dict[str, object] = {}
        if "image" in wanted:
            answer |= {"LayersSize": engine.images.layers_bytes(), "Images": self._images(api_version(request))}
        if "container" in wanted:
            answer["Containers"] = [
                views.summary(
                    container,
                    engine.images,
                    engine.networks,
                    await usage.sizes(container, engine.containers, engine.images),
                )
                for container in engine.containers
            ]
        if "volume" in wanted:
            answer["Volumes"] = await with_usage(engine.volumes)
        if "build-cache" in wanted:
            answer["BuildCache"] = await self._building.cache_records()
        return json_answer(answer)

    def _images(self, version: tuple[int, int]) -> list[dict[str, object]]:
        engine = self._engine
        shared = engine.images.shared_sizes()
        users = Counter(container.record.image_id for container in engine.containers)
        return [
            {**image_answers.summary(image, version, shared.get(image.id, 0)), "Containers": users[image.id]}
            for image in engine.images.select(everything=True)
        ]

    async def _lines(self, since: int | None, until: int | None, filters: Filters) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._engine.events.subscribe(since, until, filters)) as events:
            async for event in events:
                yield encode(event)
