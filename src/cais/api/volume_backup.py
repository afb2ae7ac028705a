"""/cais/volumes: what this engine does with volumes beyond Docker's API."""

from aiohttp import web

from cais.api.connection import connection_of
from cais.api.containers import stream
from cais.api.http import bool_query, json_answer, text_query
from cais.api.progress import progress_answer
from cais.api.volumes import shown
from cais.engine.progress import Progress, Report
from cais.engine.volume import Volume
from cais.engine.volume_backup import VolumeBackup


class VolumeBackupHandlers:
    """The handlers that copy the content of volumes."""

    def __init__(self, backup: VolumeBackup) -> None:
        self._backup = backup

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        one = "/cais/volumes/{name}"
        return [
            web.get(f"{one}/export", self.export, allow_head=False),
            web.post(f"{one}/import", self.import_),
            web.post(f"{one}/clone", self.clone),
        ]

    async def export(self, request: web.Request) -> web.StreamResponse:
        """GET /cais/volumes/{name}/export"""
        name, pause = request.match_info["name"], bool_query(request, "pause")
        with connection_of(request).cancelled_when_lost():
            async with self._backup.exporting(name, pause=pause) as pieces:
                return await stream(request, pieces, "application/zstd")

    async def import_(self, request: web.Request) -> web.StreamResponse:
        """POST /cais/volumes/{name}/import"""
        with connection_of(request).cancelled_when_lost():
            body = aiter(request.content.iter_any())
            return json_answer(shown(await self._backup.import_(request.match_info["name"], body)), 201)

    async def clone(self, request: web.Request) -> web.StreamResponse:
        """POST /cais/volumes/{name}/clone"""
        name, target, pause = request.match_info["name"], text_query(request, "to"), bool_query(request, "pause")

        async def work(report: Report) -> Volume:
            return await self._backup.clone(name, target, report, pause=pause)

        return await progress_answer(request, work, lambda volume: [Progress(volume.name)])
