"""/exec, and exec in /containers: further commands in running containers."""

from aiohttp import web

from cais.api.containers import terminal_size
from cais.api.hijack import Hijacked, content_type, hijack
from cais.api.http import empty_answer, json_answer, read_json, text_query
from cais.engine import views
from cais.engine.attach import parse_detach_keys
from cais.engine.engine import Engine
from cais.engine.models import ExecConfig
from cais.engine.tasks import Tasks
from cais.errors import InvalidArgument


class ExecHandlers:
    """The handlers of execs for one engine."""

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.post("/containers/{id}/exec", self.create),
            web.post("/exec/{id}/start", self.start),
            web.post("/exec/{id}/resize", self.resize),
            web.post("/cais/exec/{id}/kill", self.kill),
            web.get("/exec/{id}/json", self.inspect, allow_head=False),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/exec"""
        config = await read_json(request, ExecConfig)
        if config is None:
            raise InvalidArgument("No exec command specified")
        parse_detach_keys(config.DetachKeys)
        made = self._engine.execs.create(request.match_info["id"], config)
        return json_answer({"Id": made.id}, 201)

    async def start(self, request: web.Request) -> web.StreamResponse:
        """POST /exec/{id}/start"""
        body = await read_json(request, ExecConfig) or ExecConfig()
        execs = self._engine.execs
        item = execs.find(request.match_info["id"])
        execs.check_startable(item)
        size = _console_size(body) or _console_size(item.config)
        if body.Detach:
            await execs.start_detached(item, size)
            return empty_answer(200)
        keys = parse_detach_keys(item.config.DetachKeys)
        connection = hijack(request, content_type(request, body.Tty), self._tasks)
        await execs.start_attached(item, connection, keys, size, framed=not body.Tty)
        return Hijacked()

    async def resize(self, request: web.Request) -> web.StreamResponse:
        """POST /exec/{id}/resize"""
        rows, columns = terminal_size(request)
        await self._engine.execs.resize(self._engine.execs.find(request.match_info["id"]), rows, columns)
        return empty_answer(200)

    async def kill(self, request: web.Request) -> web.StreamResponse:
        """POST /cais/exec/{id}/kill"""
        await self._engine.execs.kill(self._engine.execs.find(request.match_info["id"]), text_query(request, "signal"))
        return empty_answer()

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """GET /exec/{id}/json"""
        return json_answer(views.inspect_exec(self._engine.execs.find(request.match_info["id"])))


def _console_size(config: ExecConfig) -> tuple[int, int] | None:
    """Rows and columns, when they were given and are possible."""
    size = config.ConsoleSize
    if not size or len(size) != 2 or not all(0 < number < 65536 for number in size):
        return None
    return size[0], size[1]
