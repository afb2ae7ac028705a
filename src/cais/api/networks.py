"""/networks: requests about networks, parsed, passed on, and answered."""

from aiohttp import web

from cais.api.http import bool_query, empty_answer, filters_query, json_answer, read_json, text_query
from cais.engine import network_views
from cais.engine.engine import Engine
from cais.engine.network import Network
from cais.engine.network_models import ConnectRequest, DisconnectRequest, NetworkRequest
from cais.errors import InvalidArgument, NotFound


class NetworkHandlers:
    """The handlers of /networks for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.get("/networks", self.list, allow_head=False),
            web.get("/networks/", self.list, allow_head=False),
            web.post("/networks/create", self.create),
            web.post("/networks/prune", self.prune),
            web.get("/networks/{id:.+}", self.inspect, allow_head=False),
            web.post("/networks/{id:.+}/connect", self.connect),
            web.post("/networks/{id:.+}/disconnect", self.disconnect),
            web.delete("/networks/{id:.+}", self.remove),
        ]

    def _find(self, request: web.Request) -> Network:
        return self._engine.networks.find(request.match_info["id"])

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET /networks"""
        chosen = self._engine.network_changes.choose(filters_query(request))
        return json_answer([network_views.network(item, members=False) for item in chosen])

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """GET /networks/{id}"""
        network = self._find(request)
        if text_query(request, "scope") not in {"", "local"}:
            raise NotFound(f"network {request.match_info['id']} not found")
        bool_query(request, "verbose")
        return json_answer(network_views.network(network))

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /networks/create"""
        body = await read_json(request, NetworkRequest)
        if body is None:
            raise InvalidArgument("invalid name: name is empty")
        network = await self._engine.networks.create(body)
        return json_answer({"Id": network.id, "Warning": ""}, 201)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """POST /networks/{id}/connect"""
        body = await read_json(request, ConnectRequest) or ConnectRequest()
        await self._engine.network_changes.connect(self._find(request), body.Container, body.endpoint)
        return empty_answer(200)

    async def disconnect(self, request: web.Request) -> web.StreamResponse:
        """POST /networks/{id}/disconnect"""
        body = await read_json(request, DisconnectRequest) or DisconnectRequest()
        await self._engine.network_changes.disconnect(self._find(request), body.Container, body.Force)
        return empty_answer(200)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """DELETE /networks/{id}"""
        await self._engine.networks.remove(self._find(request))
        return empty_answer(204)

    async def prune(self, request: web.Request) -> web.StreamResponse:
        """POST /networks/prune"""
        return json_answer({"NetworksDeleted": await self._engine.network_changes.prune(filters_query(request))})
