"""The API's server: every route, with and without a version prefix, on the listening sockets it is given."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import web

from cais import __version__
from cais.api import images, notyet
from cais.api.archive import ArchiveHandlers
from cais.api.building import Building
from cais.api.connection import Connection
from cais.api.container_data import DataHandlers
from cais.api.containers import ContainerHandlers
from cais.api.exec import ExecHandlers
from cais.api.explain import ExplainHandlers
from cais.api.hijack import Hijacked
from cais.api.http import MAX_VERSION, api_version, error_answer, status_of, version_text
from cais.api.image_extensions import ImageExtensionHandlers
from cais.api.networks import NetworkHandlers
from cais.api.registries import RegistryHandlers
from cais.api.system import SystemHandlers
from cais.api.volume_backup import VolumeBackupHandlers
from cais.api.volumes import VolumeHandlers
from cais.engine.engine import Engine
from cais.engine.tasks import Tasks
from cais.errors import CaisError

_log = logging.getLogger("cais.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

VERSION_PREFIX: Final = "/v{version:[0-9]+[.][0-9]+}"
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_HEADER_BYTES: Final = 256 * 1024
READ_BYTES: Final = 512 * 1024  # of a request's body that may wait: more than comes at once, or reading stops each time
SHUTDOWN_SECONDS: Final = 5.0
HEARING_SECONDS: Final = 0.5

_HEADERS: Final = {
    "Api-Version": version_text(MAX_VERSION),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Cais/{__version__} (linux)",
}


class ApiServer:
    """Serves one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._building = Building(engine)
        self._tasks = Tasks()
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._listeners: list[socket.socket] = []
        self._runner: web.AppRunner | None = None

    async def start(self, listeners: Iterable[socket.socket]) -> None:
        """Accepts connections from the listening sockets, which are closed by `stop`."""
        app = web.Application(middlewares=[_answer], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(_add_headers)
        self._mount(app)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            tcp_keepalive=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            read_bufsize=READ_BYTES,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listeners = list(listeners)
        for listener in self._listeners:
            if listener.family == socket.AF_UNIX:
                server = await loop.create_unix_server(self._accept, sock=listener, backlog=512)
            else:
                server = await loop.create_server(self._accept, sock=listener, backlog=512)
            self._servers.append(server)

    async def stop(self) -> None:
        """Stops accepting, ends the streams that only wait, and lets requests that do something finish."""
        await self._engine.finish_starts()
        await self._stop_accepting()
        await self._engine.settle()
        for connection in list(self._connections):
            connection.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._building.close()
        await self._tasks.close(timeout_seconds=0.5)

    async def _stop_accepting(self) -> None:
        """Nobody more is let in; who has connected is heard, whether that was noticed already or not."""
        loop = asyncio.get_running_loop()
        waiting = [listener.dup() for listener in self._listeners]
        for server in self._servers:
            server.close()
        for listener in waiting:
            with listener, contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RD)  # a new connection is refused from now on
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    await loop.connect_accepted_socket(self._accept, connection)
        deadline = loop.time() + HEARING_SECONDS
        while any(connection.is_silent for connection in self._connections) and loop.time() < deadline:  # noqa: ASYNC110  once
            await asyncio.sleep(0.01)

    def _mount(self, app: web.Application) -> None:
        routes = [
            # A request is compared with one after the other: those first that people wait for most
            *ExecHandlers(self._engine, self._tasks).routes(),
            *ContainerHandlers(self._engine, self._tasks).routes(),
            *DataHandlers(self._engine).routes(),
            *ArchiveHandlers(self._engine).routes(),
            *ExplainHandlers(self._engine).routes(),
            *self._building.routes(),
            *SystemHandlers(self._engine, self._building).routes(),
            *VolumeHandlers(self._engine.volumes).routes(),
            *VolumeBackupHandlers(self._engine.backup).routes(),
            *NetworkHandlers(self._engine).routes(),
            *RegistryHandlers(self._engine.images.registries).routes(),
            *images.routes(self._engine.images),
            *ImageExtensionHandlers(self._engine.images).routes(),
            *notyet.routes(),
        ]
        for prefix in (VERSION_PREFIX, ""):
            for route in routes:
                web.RouteDef(route.method, prefix + route.path, route.handler, route.kwargs).register(app.router)

    def _accept(self) -> Connection:
        if self._runner is None or self._runner.server is None:
            raise RuntimeError("the server is not started")
        return Connection(self._runner.server(), self._connections)


@web.middleware
async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every request: its version checked, its errors translated, its time logged."""
    began = time.perf_counter()
    transport = request.transport
    protocol = transport.get_protocol() if transport is not None else None
    try:
        api_version(request)
        response = await handler(request)
        status = response.status
        return response
    except CaisError as error:
        status = status_of(error)
        if status >= 500 and status != 501:
            _log.info("%s %s: %s", request.method, request.path, error)
        return error_answer(status, error.message)
    except web.HTTPException as error:
        status = error.status
        if status in {404, 405}:
            return error_answer(404, "page not found")
        return error_answer(status, error.text or error.reason)
    except ConnectionError:  # the client is gone
        status = 499
        return Hijacked()
    except Exception as error:  # noqa: BLE001  a defect: the client is told, and the log has the whole story
        status = 500
        _log.exception("%s %s failed", request.method, request.path)
        return error_answer(500, f"{type(error).__name__}: {error}")
    finally:
        if isinstance(protocol, Connection):
            protocol.release()
        if _log.isEnabledFor(logging.DEBUG):
            took_ms = (time.perf_counter() - began) * 1000
            _log.debug("%s %s in %.1f ms", request.method, request.path_qs, took_ms)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
