"""Registries, as the engine uses them beside pulling and pushing: logging in, looking at a manifest, searching."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from cais.distribution.oci import (
    Descriptor,
    Platform,
    decode_config,
    decode_index,
    decode_manifest,
)
from cais.distribution.reference import DEFAULT_DOMAIN, Reference
from cais.distribution.registry_auth import NOBODY, Credentials
from cais.distribution.registry_client import Registry, connect, connect_to, read_document
from cais.distribution.registry_errors import NoCredentials, Refused, Unreachable, failed, pull_error
from cais.distribution.registry_hosts import parse_insecure, search_endpoints
from cais.distribution.registry_repository import Document, Repository
from cais.distribution.registry_settings import RegistrySettings
from cais.engine.filters import Filters
from cais.errors import InvalidArgument, RegistryFailed, Unauthorized

DEFAULT_SEARCH_LIMIT: Final = 25
MAX_SEARCH_LIMIT: Final = 100

_MAX_SEARCH_BYTES: Final = 4 << 20
_HUB_NAMES: Final = ("", "docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/")
_SEARCH_FILTERS: Final = ("is-automated", "is-official", "stars")


class Found(msgspec.Struct, frozen=True):
    """One repository of a search."""

    star_count: int = 0
    is_official: bool = False
    name: str = ""
    is_automated: bool = False
    description: str = ""


class _Page(msgspec.Struct, frozen=True):
    results: list[Found] | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a registry has under a name, and for which platforms."""

    descriptor: Descriptor
    platforms: tuple[Platform, ...]


class Registries:
    """All registries, with one engine's settings."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings

    async def login(self, credentials: Credentials) -> str:
        """See that a registry accepts the credentials; returns the identity token that it gives, or nothing.

        Raises: Unauthorized when it does not; RegistryFailed, InvalidArgument.
        """
        domain = server_domain(credentials.serveraddress)
        try:
            async with connect(domain, self.settings, credentials) as registry:
                return await _login(registry, credentials)
        except (Refused, NoCredentials) as error:
            if isinstance(error, Refused) and error.status not in (401, 403):
                raise failed(error) from error
            url = f"{error.url}" if isinstance(error, Refused) else f"https://{domain}/v2/"
            text = error.text if isinstance(error, Refused) else "no basic auth credentials"
            raise Unauthorized(f'Get "{url}": {text}') from error
        except Unreachable as error:
            raise failed(error) from error

    async def distribution(self, reference: Reference, credentials: Credentials = NOBODY) -> Distribution:
        """What a registry has under a name. Raises: NotFound, RegistryFailed, InvalidArgument."""
        reference = reference.with_default_tag()
        try:
            async with connect(reference.domain, self.settings, credentials) as registry:
                repository = Repository(registry, reference.path)
                document = await repository.manifest(reference.digest or reference.tag)
                if document.is_index:
                    listed = decode_index(document.data).manifests
                    platforms = tuple(item.platform for item in listed if item.platform is not None)
                else:
                    config = decode_manifest(document.data).config
                    decoded = decode_config(await repository.document(config, "image configuration"))
                    platforms = (Platform(decoded.architecture, decoded.os, decoded.variant),)
                return Distribution(document.descriptor, platforms)
        except (Refused, NoCredentials, Unreachable) as error:
            raise pull_error(error, reference) from error

    async def manifest(
        self, reference: Reference, credentials: Credentials = NOBODY, *, insecure: bool = False
    ) -> Document:
        """A manifest or an index, byte for byte. `insecure`: its registry may be reached without TLS to be trusted.

        Raises: NotFound, RegistryFailed, InvalidArgument.
        """
        reference = reference.with_default_tag()
        settings = self.settings
        if insecure:
            settings = replace(settings, insecure=(*settings.insecure, parse_insecure(reference.domain)))
        try:
            async with connect(reference.domain, settings, credentials) as registry:
                return await Repository(registry, reference.path).manifest(reference.digest or reference.tag)
        except (Refused, NoCredentials, Unreachable) as error:
            raise pull_error(error, reference) from error

    async def search(
        self, term: str, limit: int = 0, filters: Filters | None = None, credentials: Credentials = NOBODY
    ) -> list[Found]:
        """The repositories that a registry finds, Docker Hub unless the term begins with a host; 0 is the usual limit.

        Raises: InvalidArgument for a limit, a filter or a term that makes no sense; RegistryFailed.
        """
        limit = limit or DEFAULT_SEARCH_LIMIT
        if not 1 <= limit <= MAX_SEARCH_LIMIT:
            raise InvalidArgument(f"limit {limit} is outside the range of [1, {MAX_SEARCH_LIMIT}]")
        passes = _search_filter(filters or Filters())
        if "://" in term:
            raise InvalidArgument(f"invalid repository name: repository name ({term}) should not have a scheme")
        domain, words = _split_term(term)
        query = urlencode({"q": words, "n": limit})
        try:
            servers = await asyncio.to_thread(search_endpoints, domain, self.settings)
            async with connect_to(servers, credentials, path="/v1/_ping") as registry:
                async with registry.request("GET", f"/v1/search?{query}") as answer:
                    data = await read_document(answer, _MAX_SEARCH_BYTES, "search result")
        except Refused as error:
            raise RegistryFailed(f"Unexpected status code {error.status}") from error
        except (NoCredentials, Unreachable) as error:
            raise failed(error) from error
        try:
            page = msgspec.json.decode(data, type=_Page)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise RegistryFailed("error decoding registry search results: not the JSON of a search") from None
        return [found for found in (page.results or [])[:limit] if passes(found)]


async def _login(registry: Registry, credentials: Credentials) -> str:
    for challenge in registry.challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            answer = await registry.ask_token(challenge, (), offline=True)
            return answer.refresh_token
    url = f"{registry.endpoint.url}/v2/"
    async with registry.request("GET", "/v2/", passing=(401,)) as answered:
        status = answered.status
    if status != 200:
        phrase = HTTPStatus(status).phrase
        raise Unauthorized(f"login attempt to {url} failed with status: {status} {phrase}")
    return ""


def server_domain(address: str) -> str:
    """The domain of a server's address as `docker login` sends it. Raises: InvalidArgument."""
    if address in _HUB_NAMES:
        return DEFAULT_DOMAIN
    split = urlsplit(address if "://" in address else f"//{address}")
    try:
        valid = bool(split.hostname) and split.port != 0 and split.username is None
    except ValueError:
        valid = False
    if not valid:
        raise InvalidArgument(f"invalid registry address {address[:200]!r}")
    return DEFAULT_DOMAIN if split.netloc in _HUB_NAMES else split.netloc


def _split_term(term: str) -> tuple[str, str]:
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost") and first not in _HUB_NAMES:
        return first, rest
    return DEFAULT_DOMAIN, (rest if first in _HUB_NAMES and slash else term).removeprefix("library/")


def _search_filter(filters: Filters) -> Callable[[Found], bool]:
    filters.validate(_SEARCH_FILTERS)
    stars = max(filters.integers("stars"), default=0)
    is_official = filters.boolean("is-official", False) if "is-official" in filters else None
    is_automated = filters.boolean("is-automated", False) if "is-automated" in filters else None

    def passes(found: Found) -> bool:
        return (
            found.star_count >= stars
            and is_official in (None, found.is_official)
            and is_automated in (None, found.is_automated)
        )

    return passes
