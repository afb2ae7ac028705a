"""/containers/{id}/archive: files of a container, as tar archives."""

import base64

from aiohttp import web

from cais.api.connection import connection_of
from cais.api.containers import stream
from cais.api.http import bool_query, empty_answer, encode, text_query
from cais.engine.copying import PathStat, UnpackRequest
from cais.engine.engine import Engine
from cais.engine.models import timestamp


class ArchiveHandlers:
    """The handlers of /containers/{id}/archive."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        path = "/containers/{id}/archive"
        return [
            web.head(path, self.stat),
            web.get(path, self.read, allow_head=False),
            web.put(path, self.write),
        ]

    async def stat(self, request: web.Request) -> web.StreamResponse:
        """HEAD /containers/{id}/archive"""
        container = self._engine.containers.find(request.match_info["id"])
        found = await self._engine.copying.stat(container, text_query(request, "path"))
        return web.Response(headers=_headers(found))

    async def read(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/archive"""
        container = self._engine.containers.find(request.match_info["id"])
        async with self._engine.copying.reading(container, text_query(request, "path")) as (found, pieces):
            return await stream(request, pieces, "application/x-tar", _headers(found))

    async def write(self, request: web.Request) -> web.StreamResponse:
        """PUT /containers/{id}/archive"""
        container = self._engine.containers.find(request.match_info["id"])
        wanted = UnpackRequest(
            path=text_query(request, "path"),
            keeps_kinds=bool_query(request, "noOverwriteDirNonDir"),
            as_user=bool_query(request, "copyUIDGID"),
        )
        with connection_of(request).cancelled_when_lost():
            await self._engine.copying.unpack(container, wanted, aiter(request.content.iter_any()))
        return empty_answer(200)


def _headers(found: PathStat) -> dict[str, str]:
    described = {
        "name": found.name,
        "size": found.size,
        "mode": found.mode,
        "mtime": timestamp(found.mtime_ns),
        "linkTarget": found.link_target,
    }
    return {"X-Docker-Container-Path-Stat": base64.b64encode(encode(described).rstrip()).decode("ascii")}
