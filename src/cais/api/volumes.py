"""/volumes."""

from typing import Any

from aiohttp import web

from cais.api.http import api_version, bool_query, empty_answer, filters_query, json_answer, read_json
from cais.engine.models import timestamp
from cais.engine.volume import DRIVER, SCOPE, Volume, VolumeRequest
from cais.engine.volumes import Volumes
from cais.errors import Unavailable

Json = dict[str, Any]

PRUNES_ANONYMOUS = (1, 42)
"""From this version on a prune is for volumes without a name, unless it says otherwise."""


class VolumeHandlers:
    """The handlers of /volumes."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.get("/volumes", self.list, allow_head=False),
            web.post("/volumes/create", self.create),
            web.post("/volumes/prune", self.prune),
            web.get("/volumes/{name}", self.inspect, allow_head=False),
            web.put("/volumes/{name}", self.update),
            web.delete("/volumes/{name}", self.remove),
        ]

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET /volumes"""
        found = self._volumes.select(filters_query(request))
        return json_answer({"Volumes": [shown(volume) for volume in found], "Warnings": None})

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /volumes/create"""
        wanted = await read_json(request, VolumeRequest) or VolumeRequest()
        return json_answer(shown(await self._volumes.create(wanted)), 201)

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """GET /volumes/{name}"""
        return json_answer(shown(self._volumes.find(request.match_info["name"])))

    async def update(self, request: web.Request) -> web.StreamResponse:
        """PUT /volumes/{name}: for cluster volumes alone"""
        self._volumes.find(request.match_info["name"])
        raise Unavailable("This node is not a swarm manager. Only cluster volumes can be updated.")

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """DELETE /volumes/{name}"""
        await self._volumes.remove(request.match_info["name"], force=bool_query(request, "force"))
        return empty_answer()

    async def prune(self, request: web.Request) -> web.StreamResponse:
        """POST /volumes/prune"""
        everything = api_version(request) < PRUNES_ANONYMOUS
        pruned = await self._volumes.prune(filters_query(request), everything=everything)
        return json_answer({"VolumesDeleted": pruned.names, "SpaceReclaimed": pruned.bytes})


def shown(volume: Volume) -> Json:
    """Volume."""
    return {
        "CreatedAt": timestamp(volume.record.created_ns // 1_000_000_000 * 1_000_000_000),
        "Driver": DRIVER,
        "Labels": _ordered(volume.record.labels),
        "Mountpoint": str(volume.mount_point),
        "Name": volume.name,
        "Options": _ordered(volume.record.options),
        "Scope": SCOPE,
    }


def _ordered(given: dict[str, str] | None) -> dict[str, str] | None:
    return given and dict(sorted(given.items()))


async def with_usage(volumes: Volumes) -> list[Json]:
    """All volumes with their sizes, -1 where it is not ours to tell, and how many containers have them."""
    found = []
    for volume in volumes:
        size = -1 if volume.options else await volumes.size_bytes(volume)
        found.append({**shown(volume), "UsageData": {"Size": size, "RefCount": len(volumes.users(volume.name))}})
    return found
