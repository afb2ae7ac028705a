"""Endpoints of Docker's API that are not served: each answers 501 and says so."""

from typing import Final

from aiohttp import web

from cais.errors import Unsupported

_BUILDKIT: Final = "BuildKit's protocol"
_ADVICE: Final = {
    _BUILDKIT: ": build with `DOCKER_BUILDKIT=0 docker build` or `cais build`, which know BuildKit's Dockerfiles"
}
ENDPOINTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("POST", "/session", _BUILDKIT),
    ("POST", "/grpc", _BUILDKIT),
    ("*", "/plugins", "plugins"),
    ("*", "/plugins/{rest:.+}", "plugins"),
    ("*", "/swarm", "swarm"),
    ("*", "/swarm/{rest:.+}", "swarm"),
    ("*", "/nodes", "swarm"),
    ("*", "/nodes/{rest:.+}", "swarm"),
    ("*", "/services", "swarm"),
    ("*", "/services/{rest:.+}", "swarm"),
    ("*", "/tasks", "swarm"),
    ("*", "/tasks/{rest:.+}", "swarm"),
    ("*", "/secrets", "swarm"),
    ("*", "/secrets/{rest:.+}", "swarm"),
    ("*", "/configs", "swarm"),
    ("*", "/configs/{rest:.+}", "swarm"),
)


def routes() -> list[web.RouteDef]:
    """A route for each endpoint, to be mounted after those that are served."""
    return [_route(method, path, what) for method, path, what in ENDPOINTS]


def _route(method: str, path: str, what: str) -> web.RouteDef:
    async def refuse(request: web.Request) -> web.StreamResponse:
        advice = _ADVICE.get(what, "")
        raise Unsupported(f"{what} is not supported yet by Cais ({request.method} {path}){advice}")

    return web.route(method, path, refuse)
