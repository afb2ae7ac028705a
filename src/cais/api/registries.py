"""/auth, /distribution and /images/search: what is asked of registries beside pulling and pushing."""

from aiohttp import web

from cais.api.http import filters_query, int_query, json_answer, read_json, text_query
from cais.distribution.oci import Platform
from cais.distribution.reference import parse
from cais.distribution.registry_auth import NOBODY, Credentials, complete, decode_credentials
from cais.engine.registries import Registries
from cais.errors import InvalidArgument

AUTH_HEADER = "X-Registry-Auth"


def registry_credentials(request: web.Request) -> Credentials:
    """The credentials that a request brings along for its registry; nobody's where they make no sense, as in Docker."""
    return decode_credentials(request.headers.get(AUTH_HEADER, ""))


class RegistryHandlers:
    """The handlers."""

    def __init__(self, registries: Registries) -> None:
        self._registries = registries

    def routes(self) -> list[web.RouteDef]:
        """The routes, without a version prefix."""
        return [
            web.post("/auth", self.auth),
            web.get("/distribution/{name:.+}/json", self.distribution, allow_head=False),
            web.get("/images/search", self.search, allow_head=False),
        ]

    async def auth(self, request: web.Request) -> web.StreamResponse:
        """POST /auth"""
        given = await read_json(request, Credentials)
        token = await self._registries.login(complete(given or NOBODY))
        return json_answer({"Status": "Login Succeeded", "IdentityToken": token})

    async def distribution(self, request: web.Request) -> web.StreamResponse:
        """GET /distribution/{name}/json"""
        reference = parse(request.match_info["name"])
        found = await self._registries.distribution(reference, registry_credentials(request))
        descriptor = {
            "mediaType": found.descriptor.media_type, "digest": found.descriptor.digest, "size": found.descriptor.size
        }  # fmt: skip
        return json_answer({"Descriptor": descriptor, "Platforms": [_platform(item) for item in found.platforms]})

    async def search(self, request: web.Request) -> web.StreamResponse:
        """GET /images/search"""
        term = text_query(request, "term")
        if not term:
            raise InvalidArgument("no term to search for is given")
        limit = int_query(request, "limit", 0)
        found = await self._registries.search(term, limit, filters_query(request), registry_credentials(request))
        return json_answer(found)


def _platform(platform: Platform) -> dict[str, str]:
    answer = {"architecture": platform.architecture, "os": platform.os}
    return answer | {"variant": platform.variant} if platform.variant else answer
