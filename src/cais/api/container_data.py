"""/containers: what containers use and have written, and removing those that are left."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from cais.api.connection import connection_of
from cais.api.containers import stream
from cais.api.http import JSON_TYPE, bool_query, encode, filters_query, json_answer, read_json, text_query
from cais.distribution.oci import ContainerConfig
from cais.distribution.reference import parse_parts
from cais.engine import stats
from cais.engine.container import Container
from cais.engine.engine import Engine
from cais.engine.image_commit import CommitRequest
from cais.errors import InvalidArgument


class DataHandlers:
    """The handlers of /containers that read much, or decide about many."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        one = "/containers/{id}"
        return [
            web.get(f"{one}/stats", self.stats, allow_head=False),
            web.get(f"{one}/changes", self.changes, allow_head=False),
            web.get(f"{one}/export", self.export, allow_head=False),
            web.post("/containers/prune", self.prune),
            web.post("/commit", self.commit),
        ]

    def _find(self, request: web.Request) -> Container:
        return self._engine.containers.find(request.match_info["id"])

    async def stats(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/stats"""
        container, engine = self._find(request), self._engine
        streaming, one_shot = bool_query(request, "stream", True), bool_query(request, "one-shot")
        if streaming and one_shot:
            raise InvalidArgument("cannot have stream=true and one-shot=true")
        if streaming:
            return await stream(request, self._samples(container), JSON_TYPE)
        with connection_of(request).cancelled_when_lost():
            return json_answer(await stats.once(container, engine.host, engine.settings, one_shot))

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/changes"""
        found = await self._engine.changes(self._find(request))
        return json_answer([{"Path": change.path, "Kind": change.kind} for change in found])

    async def export(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/export"""
        archive = await self._engine.export(self._find(request))
        return await stream(request, archive, "application/octet-stream")

    async def commit(self, request: web.Request) -> web.StreamResponse:
        """POST /commit"""
        reference = None
        if repository := text_query(request, "repo"):
            reference = parse_parts(repository, text_query(request, "tag")).with_default_tag()
            if reference.digest:
                raise InvalidArgument("refusing to create a tag with a digest reference")
        container = self._engine.containers.find(text_query(request, "container"))
        wanted = CommitRequest(
            config=await read_json(request, ContainerConfig),
            changes=request.query.getall("changes", []),
            author=text_query(request, "author"),
            comment=text_query(request, "comment"),
            pause=bool_query(request, "pause", True),
        )
        with connection_of(request).cancelled_when_lost():
            image = await self._engine.commit(container, wanted, reference)
        return json_answer({"Id": image.id}, 201)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/prune"""
        pruned = await self._engine.prune(filters_query(request))
        return json_answer({"ContainersDeleted": pruned.ids or None, "SpaceReclaimed": pruned.bytes})

    async def _samples(self, container: Container) -> AsyncGenerator[bytes, None]:
        async with aclosing(stats.stream(container, self._engine.host, self._engine.settings)) as samples:
            async for sample in samples:
                yield encode(sample)
