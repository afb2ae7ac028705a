"""/cais: what this engine answers beyond Docker's API, under a path of its own that Docker's never begins with."""

from aiohttp import web

from cais.api.http import json_answer, read_json, text_query
from cais.engine.engine import Engine
from cais.engine.models import CreateRequest
from cais.errors import InvalidArgument


class ExplainHandlers:
    """The handlers that explain containers, those that are there and those that are not."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.get("/cais/containers/{id}/explain", self.explain, allow_head=False),
            web.post("/cais/containers/explain", self.explain_run),
        ]

    async def explain(self, request: web.Request) -> web.StreamResponse:
        """GET /cais/containers/{id}/explain"""
        container = self._engine.containers.find(request.match_info["id"])
        return json_answer(await self._engine.explain(container))

    async def explain_run(self, request: web.Request) -> web.StreamResponse:
        """POST /cais/containers/explain: the body and the query of a request to create, and `pull`."""
        from cais.engine.explain_run import RunOptions  # noqa: PLC0415  as in the engine

        body = await read_json(request, CreateRequest)
        if body is None:
            raise InvalidArgument("config cannot be empty in order to create a container")
        options = RunOptions(
            name=text_query(request, "name"),
            platform=text_query(request, "platform"),
            pull=text_query(request, "pull") or "missing",
        )
        return json_answer(await self._engine.explain_run(body, options))
