"""Endpoints of Docker's API that are not served: each says so.

Those of a swarm answer as Docker does on a node that is in none (503), which clients know what to do with: docker-py's
`leave_swarm(force=True)` takes it for done. What would make a swarm, and everything else, answers 501.
"""

from typing import Final

from aiohttp import web

from cais.errors import Unavailable, Unsupported

ENDPOINTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("POST", "/session", "BuildKit sessions"),
    ("POST", "/grpc", "BuildKit sessions"),
    ("*", "/plugins", "plugins"),
    ("*", "/plugins/{rest:.+}", "plugins"),
    ("POST", "/swarm/init", "swarm"),
    ("POST", "/swarm/join", "swarm"),
)

NOT_IN_A_SWARM: Final = "This node is not part of a swarm"
NOT_A_MANAGER: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm'
    " and try again."
)

SWARM: Final[tuple[tuple[str, str, str], ...]] = (
    ("POST", "/swarm/leave", NOT_IN_A_SWARM),
    *(
        ("*", path, NOT_A_MANAGER)
        for resource in ("swarm", "nodes", "services", "tasks", "secrets", "configs")
        for path in (f"/{resource}", f"/{resource}/{{rest:.+}}")
    ),
)


def routes() -> list[web.RouteDef]:
    """A route for each endpoint, to be mounted after those that are served."""
    return [
        *(_unsupported(method, path, what) for method, path, what in ENDPOINTS),
        *(_without_swarm(method, path, reason) for method, path, reason in SWARM),
    ]


def _unsupported(method: str, path: str, what: str) -> web.RouteDef:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise Unsupported(f"{what} is not supported yet by Cais ({request.method} {request.path})")

    return web.route(method, path, refuse)


def _without_swarm(method: str, path: str, reason: str) -> web.RouteDef:
    async def refuse(request: web.Request) -> web.StreamResponse:
        raise Unavailable(reason)

    return web.route(method, path, refuse)
