"""/containers: requests about containers, parsed, passed on, and answered."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final

from aiohttp import web

from cais.api import websocket
from cais.api.connection import connection_of
from cais.api.hijack import Hijacked, content_type, hijack
from cais.api.http import (
    bool_query,
    empty_answer,
    encode,
    filters_query,
    int_query,
    json_answer,
    optional_int_query,
    read_json,
    text_query,
)
from cais.engine import joining, listing, usage, views
from cais.engine.attach import AttachOptions, parse_detach_keys
from cais.engine.container import Condition, Container
from cais.engine.engine import Engine
from cais.engine.logs import LogOptions
from cais.engine.models import CreateRequest, UpdateRequest
from cais.engine.tasks import Tasks
from cais.engine.times import parse_moment_ns
from cais.engine.top import DEFAULT_ARGUMENTS, top
from cais.errors import Conflict, InvalidArgument

# What clients send where they have nothing to say: "{}", "null". Docker's own limit.
_LONGEST_EMPTY_BODY: Final = 7


class ContainerHandlers:
    """The handlers of /containers for one engine."""

    def __init__(self, engine: Engine, tasks: Tasks) -> None:
        self._engine = engine
        self._tasks = tasks

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        one = "/containers/{id}"
        return [
            web.post("/containers/create", self.create),
            web.get("/containers/json", self.list, allow_head=False),
            web.get(f"{one}/json", self.inspect, allow_head=False),
            web.get(f"{one}/top", self.top, allow_head=False),
            web.get(f"{one}/logs", self.logs, allow_head=False),
            web.post(f"{one}/start", self.start),
            web.post(f"{one}/stop", self.stop),
            web.post(f"{one}/restart", self.restart),
            web.post(f"{one}/kill", self.kill),
            web.post(f"{one}/pause", self.pause),
            web.post(f"{one}/unpause", self.unpause),
            web.post(f"{one}/rename", self.rename),
            web.post(f"{one}/update", self.update),
            web.post(f"{one}/wait", self.wait),
            web.post(f"{one}/resize", self.resize),
            web.post(f"{one}/attach", self.attach),
            web.get(f"{one}/attach/ws", self.attach_websocket, allow_head=False),
            web.delete(one, self.remove),
        ]

    def _find(self, request: web.Request) -> Container:
        return self._engine.containers.find(request.match_info["id"])

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/create"""
        body = await read_json(request, CreateRequest)
        if body is None:
            raise InvalidArgument("config cannot be empty in order to create a container")
        container, warnings = await self._engine.containers.create(
            body, text_query(request, "name"), text_query(request, "platform")
        )
        return json_answer({"Id": container.id, "Warnings": warnings}, 201)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/json"""
        engine = self._engine
        chosen = listing.choose(
            engine.containers,
            engine.images,
            filters_query(request),
            show_all=bool_query(request, "all"),
            limit=int_query(request, "limit", 0),
        )
        answers, aliases = [], joining.aliases(engine.containers)
        for container in chosen:
            sizes = None
            if bool_query(request, "size"):
                sizes = await usage.sizes(container, engine.containers, engine.images)
            answers.append(
                views.summary(container, engine.images, engine.networks, sizes, aliases.get(container.name, ()))
            )
        return json_answer(answers)

    async def inspect(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/json"""
        engine, container = self._engine, self._find(request)
        sizes = None
        if bool_query(request, "size"):
            sizes = await usage.sizes(container, engine.containers, engine.images)
        return json_answer(
            views.inspect(
                container, engine.containers, engine.images, engine.settings, known=engine.networks, sizes=sizes
            )
        )

    async def top(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/top"""
        container = self._find(request)
        answer = await top(container, text_query(request, "ps_args") or DEFAULT_ARGUMENTS)
        self._engine.events.emit("container", "top", container.id, container.event_attributes())
        return json_answer(answer)

    async def start(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/start"""
        if text_query(request, "checkpoint") or text_query(request, "checkpoint-dir"):
            raise InvalidArgument("checkpoint is only supported in experimental mode")
        if (request.content_length or 0) > _LONGEST_EMPTY_BODY or "Transfer-Encoding" in request.headers:
            raise InvalidArgument(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
            )
        await self._engine.lifecycle.start(self._find(request))
        return empty_answer()

    async def stop(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/stop"""
        timeout = optional_int_query(request, "t")
        await self._engine.lifecycle.stop(self._find(request), timeout, text_query(request, "signal"))
        return empty_answer()

    async def restart(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/restart"""
        timeout = optional_int_query(request, "t")
        await self._engine.lifecycle.restart(self._find(request), timeout, text_query(request, "signal"))
        return empty_answer()

    async def kill(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/kill"""
        container = self._find(request)
        await self._engine.lifecycle.kill(container, text_query(request, "signal"), request.match_info["id"])
        return empty_answer()

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/pause"""
        await self._engine.adjust.pause(self._find(request))
        return empty_answer()

    async def unpause(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/unpause"""
        await self._engine.adjust.unpause(self._find(request))
        return empty_answer()

    async def rename(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/rename"""
        await self._engine.rename(self._find(request), text_query(request, "name"))
        return empty_answer()

    async def update(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/update"""
        container = self._find(request)
        body = await read_json(request, UpdateRequest)
        if body is None:
            raise InvalidArgument("invalid JSON: got EOF while reading request body")
        return json_answer({"Warnings": await self._engine.adjust.update(container, body)})

    async def resize(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/resize"""
        rows, columns = terminal_size(request)
        await self._engine.adjust.resize(self._find(request), rows, columns)
        return empty_answer(200)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """DELETE /containers/{id}"""
        container = self._find(request)
        if bool_query(request, "link"):
            raise Conflict("Conflict, cannot remove the default link name of the container")
        force, volumes = bool_query(request, "force"), bool_query(request, "v")
        await self._engine.lifecycle.remove(container, force, request.match_info["id"], volumes=volumes)
        return empty_answer()

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/wait: the head at once, the body at the end."""
        condition = text_query(request, "condition") or Condition.NOT_RUNNING
        if condition not in set(Condition):
            raise InvalidArgument(f'invalid condition: "{condition[:100]}"')
        future = self._find(request).wait(Condition(condition))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            with connection_of(request).cancelled_when_lost():
                await response.prepare(request)
                exit_code = await future
        finally:
            future.cancel()
        await response.write(encode({"StatusCode": exit_code}))
        await response.write_eof()
        return response

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/logs"""
        options = log_options(request)
        container = self._find(request)
        chunks = self._engine.logs(container, options)
        kind = content_type(request, container.record.config.Tty)
        return await stream(request, chunks, kind)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """POST /containers/{id}/attach"""
        options = attach_options(request)
        container = self._find(request)
        self._engine.check_attachable(container, request.match_info["id"])
        connection = hijack(request, content_type(request, container.record.config.Tty), self._tasks)
        await self._engine.attach(container, connection, options)
        return Hijacked()

    async def attach_websocket(self, request: web.Request) -> web.StreamResponse:
        """GET /containers/{id}/attach/ws: the streams as they are, without frames of Docker's."""
        options = attach_options(request, raw=True)
        container = self._find(request)
        self._engine.check_attachable(container, request.match_info["id"])
        return await websocket.serve(request, lambda stream: self._engine.attach(container, stream, options))


def attach_options(request: web.Request, *, raw: bool = False) -> AttachOptions:
    """What a request to attach asks for. Raises InvalidArgument."""
    return AttachOptions(
        stdin=bool_query(request, "stdin"),
        stdout=bool_query(request, "stdout"),
        stderr=bool_query(request, "stderr"),
        stream=bool_query(request, "stream"),
        logs=bool_query(request, "logs"),
        raw=raw,
        detach_keys=parse_detach_keys(text_query(request, "detachKeys")),
    )


def terminal_size(request: web.Request) -> tuple[int, int]:
    """The rows and columns of a resize. Raises InvalidArgument."""
    rows, columns = int_query(request, "h"), int_query(request, "w")
    if not (0 <= rows < 65536 and 0 <= columns < 65536):
        raise InvalidArgument(f"invalid terminal size: {rows} rows, {columns} columns")
    return rows, columns


def log_options(request: web.Request) -> LogOptions:
    """What a request for logs asks for. Raises InvalidArgument."""
    options = LogOptions(
        stdout=bool_query(request, "stdout"),
        stderr=bool_query(request, "stderr"),
        since_ns=moment_query(request, "since"),
        until_ns=moment_query(request, "until"),
        timestamps=bool_query(request, "timestamps"),
        tail=_tail(text_query(request, "tail", "all")),
        follow=bool_query(request, "follow"),
        details=bool_query(request, "details"),
    )
    if not (options.stdout or options.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    return options


def moment_query(request: web.Request, name: str) -> int:
    """A moment of the query in nanoseconds since 1970; 0 when it is absent, empty or 0. Raises InvalidArgument."""
    text = text_query(request, name)
    return parse_moment_ns(text, time.time_ns()) if text else 0


def _tail(text: str) -> int | None:
    """A number of lines; None for all of them, which is also what anything else means."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


async def stream(
    request: web.Request,
    chunks: AsyncGenerator[bytes, None],
    kind: str,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answers with chunks as they come, until they end or the client hangs up."""
    response = web.StreamResponse(headers={"Content-Type": kind, **(headers or {})})
    with connection_of(request).cancelled_when_lost():
        async with aclosing(chunks):
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
    return response
