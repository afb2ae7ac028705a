"""What Docker's API has and Cais lacks. A machine without swarm and plugins is one that Docker knows too: what is asked
about them is answered as Docker answers there, and what would make them answers 501 and says so."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from cais.api.http import json_answer
from cais.engine.text import printable
from cais.errors import NotFound, Unavailable, Unsupported

_NO_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
_NO_MEMBER: Final = "This node is not part of a swarm"
_BUILDKIT: Final = "BuildKit's protocol is not supported yet by Cais"
_ADVICE: Final = ": build with `DOCKER_BUILDKIT=0 docker build` or `cais build`, which know BuildKit's Dockerfiles"
_SWARM: Final = "swarm is not supported by Cais"
_PLUGINS: Final = "plugins are not supported by Cais"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[web.RouteDef]:
    """The routes, to be mounted after those that are served; the first that fits is taken."""
    return [web.route(method, path, handler) for method, path, handler in ENDPOINTS]


def _unsupported(words: str, advice: str = "") -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise Unsupported(f"{words} ({request.method} {request.path}){advice}")

    return refuse


def _outside_a_swarm(words: str) -> Handler:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise Unavailable(words)

    return refuse


async def _no_plugins(_request: web.Request) -> web.StreamResponse:
    return json_answer([])


async def _no_such_plugin(request: web.Request) -> web.StreamResponse:
    raise NotFound(f'plugin "{printable(request.match_info["name"])}" not found')


ENDPOINTS: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("POST", "/session", _unsupported(_BUILDKIT, _ADVICE)),
    ("POST", "/grpc", _unsupported(_BUILDKIT, _ADVICE)),
    ("GET", "/plugins", _no_plugins),
    ("GET", "/plugins/privileges", _unsupported(_PLUGINS)),
    ("POST", "/plugins/pull", _unsupported(_PLUGINS)),
    ("POST", "/plugins/create", _unsupported(_PLUGINS)),
    ("*", "/plugins/{name:.+}/{action:json|enable|disable|upgrade|push|set}", _no_such_plugin),
    ("DELETE", "/plugins/{name:.+}", _no_such_plugin),
    ("POST", "/swarm/init", _unsupported(_SWARM)),
    ("POST", "/swarm/join", _unsupported(_SWARM)),
    ("POST", "/swarm/leave", _outside_a_swarm(_NO_MEMBER)),
    ("POST", "/swarm/unlock", _outside_a_swarm(_NO_MEMBER)),
    *(
        ("*", path, _outside_a_swarm(_NO_MANAGER))
        for kind in ("swarm", "nodes", "services", "tasks", "secrets", "configs")
        for path in (f"/{kind}", f"/{kind}/{{rest:.+}}")
    ),
)
