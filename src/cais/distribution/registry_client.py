"""One registry server: requests with authentication, redirects and retries.

    async with connect("localhost:5000", settings, credentials) as registry:
        async with registry.request("GET", "/v2/name/manifests/tag", scopes=[…]) as answer: …

Credentials go to the server that was asked for, and to the token server that it names. A redirect to another origin
(the object storage behind a registry) is followed without them; one from https to http is refused.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urljoin, urlsplit

import msgspec

from cais import __version__
from cais.distribution.registry_auth import (
    CLIENT_ID,
    NOBODY,
    Challenge,
    Credentials,
    Token,
    TokenAnswer,
    basic,
    parse_challenges,
    scopes_of,
)
from cais.distribution.registry_errors import NoCredentials, Refused, Unreachable, unreachable
from cais.distribution.registry_hosts import Endpoint, endpoints, proxy_for, tls_context
from cais.distribution.registry_settings import RegistrySettings
from cais.errors import InvalidArgument

if TYPE_CHECKING:
    import ssl

    import aiohttp

_log: Final = logging.getLogger("cais.distribution.registry")

CONNECT_SECONDS: Final = 15.0
SILENCE_SECONDS: Final = 30.0
ATTEMPTS: Final = 4
FIRST_DELAY_SECONDS: Final = 0.25
MAX_DELAY_SECONDS: Final = 10.0
PING_SECONDS: Final = 15.0

_MAX_REDIRECTS: Final = 5
_MAX_ERROR_BYTES: Final = 64 << 10
_MAX_TOKEN_BYTES: Final = 1 << 20
_BUFFER_BYTES: Final = 1 << 18
_REPEATABLE: Final = frozenset({"GET", "HEAD"})
_PASSING: Final = frozenset({429, 500, 502, 503, 504})

Body = Callable[[], AsyncIterator[bytes]]
"""Makes a request's body, anew for each attempt."""


class Registry:
    """One server, for one user and one operation. Use as an asynchronous context manager, or through `connect`."""

    def __init__(self, endpoint: Endpoint, tls: "ssl.SSLContext | None", credentials: Credentials) -> None:
        self.endpoint = endpoint
        self._tls = tls
        self._credentials = NOBODY if endpoint.mirror else credentials
        self._challenges: list[Challenge] = []
        self._tokens: dict[tuple[str, ...], Token] = {}
        self._asking = asyncio.Lock()
        self.identity_token = ""
        """What a login received to be used in place of the password, where it did."""

    async def __aenter__(self) -> Self:
        import aiohttp  # noqa: PLC0415  a daemon that pulls nothing needs no client

        self._session: aiohttp.ClientSession = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls if self._tls is not None else True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS),
            headers={"User-Agent": f"cais/{__version__}"},
            auto_decompress=False,
            read_bufsize=_BUFFER_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ping(self, path: str = "/v2/") -> None:
        """See that it is a registry, and learn how it wants to be talked to.

        Raises: Unreachable; Refused when it is no registry.
        """
        url = f"{self.endpoint.url}{path}"
        try:
            async with asyncio.timeout(PING_SECONDS), self._send("GET", url, {}, None) as answer:
                self._learn(answer)
                if path == "/v2/" and answer.status not in (200, 401, *_PASSING):  # those may be over at the next one
                    raise await _refused("GET", url, answer)
        except TimeoutError as error:
            raise unreachable("GET", url, error) from error

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        scopes: Collection[str] = (),
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        passing: Collection[int] = (),
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        """An answer that is a success, or has a status in `passing`; its body is still to be read.

        path: below the server's address, or a whole address. scopes: what a token must allow.
        What may pass (too many requests, an overloaded server, a connection that breaks) is tried again a few times
        where the request can be repeated.
        Raises: Refused, NoCredentials, Unreachable; InvalidArgument for a redirect that is not followed.
        """
        attempts = ATTEMPTS if method in _REPEATABLE else 1
        for attempt in range(attempts):
            last = attempt == attempts - 1
            sending = self._authorized(method, self._absolute(path), scopes, dict(headers or {}), body)
            try:
                answer = await sending.__aenter__()
            except Unreachable:
                if last:
                    raise
                await asyncio.sleep(delay_seconds(attempt))
                continue
            try:
                if 200 <= answer.status < 300 or answer.status in passing:
                    yield answer
                    return
                refused = await _refused(method, str(answer.url), answer)
            finally:
                await sending.__aexit__(None, None, None)
            if last or answer.status not in _PASSING:
                raise refused
            await asyncio.sleep(delay_seconds(attempt, refused.retry_after_seconds))

    def _absolute(self, path: str) -> str:
        return f"{self.endpoint.url}{path}" if path.startswith("/") else path

    def absolute(self, location: str, base: str) -> str:
        """The address that a Location header means. Raises: InvalidArgument when it leads away from https."""
        url = urljoin(base, location)
        scheme = urlsplit(url).scheme
        if scheme not in ("http", "https") or (scheme == "http" and urlsplit(base).scheme == "https"):
            raise InvalidArgument(f"the registry redirects to an address that is not followed: {urlsplit(url).netloc}")
        return url

    def _is_own(self, url: str) -> bool:
        split, own = urlsplit(url), urlsplit(self.endpoint.url)
        return (split.scheme, split.netloc) == (own.scheme, own.netloc)

    # -- sending

    @asynccontextmanager
    async def _authorized(
        self, method: str, url: str, scopes: Collection[str], headers: dict[str, str], body: Body | bytes | None
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        """The answer after redirects; where it is 401, asked again with credentials for what it wants."""
        for last in (False, True):
            authorization = await self._authorization(method, url, scopes) if self._is_own(url) else None
            sent = {**headers, "Authorization": authorization} if authorization else headers
            async with self._follow(method, url, sent, body) as answer:
                if answer.status != 401 or last or not self._is_own(str(answer.url)):
                    yield answer
                    return
                self._learn(answer)
                self._forget_token(scopes, authorization)
                if not self._challenges:
                    yield answer
                    return

    @asynccontextmanager
    async def _follow(
        self, method: str, url: str, headers: dict[str, str], body: Body | bytes | None
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        for _ in range(_MAX_REDIRECTS + 1):
            async with self._send(method, url, headers, body) as answer:
                location = answer.headers.get("Location", "")
                if answer.status not in (301, 302, 303, 307, 308) or not location:
                    yield answer
                    return
                before, url = url, self.absolute(location, url)
                if urlsplit(before)[:2] != urlsplit(url)[:2]:
                    headers = {name: value for name, value in headers.items() if name != "Authorization"}
        raise InvalidArgument(f"the registry redirects more than {_MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _send(
        self, method: str, url: str, headers: dict[str, str], body: Body | bytes | None
    ) -> "AsyncIterator[aiohttp.ClientResponse]":
        import aiohttp  # noqa: PLC0415

        data = body() if callable(body) else body
        try:
            answer = await self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, proxy=proxy_for(url)
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(method, _shown(url), error) from error
        except ValueError as error:
            raise InvalidArgument(f"invalid address of a registry: {urlsplit(url).netloc}") from error
        _log.debug("%s %s: %d", method, _shown(url), answer.status)
        try:
            yield answer
        finally:
            if answer.content.at_eof():
                answer.release()
            else:
                answer.close()

    # -- who asks

    def _learn(self, answer: "aiohttp.ClientResponse") -> None:
        challenges = parse_challenges(answer.headers.getall("WWW-Authenticate", []))
        known = [challenge for challenge in challenges if challenge.scheme in ("basic", "bearer")]
        if known or answer.status == 200:
            self._challenges = known

    async def _authorization(self, method: str, url: str, scopes: Collection[str]) -> str | None:
        if self._credentials.registrytoken:
            return f"Bearer {self._credentials.registrytoken}"
        for challenge in sorted(self._challenges, key=lambda found: found.scheme == "basic"):
            if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                return f"Bearer {await self._token(challenge, scopes)}"
            if challenge.scheme == "basic":
                pair = self._credentials.pair
                if pair is None:
                    raise NoCredentials(method, _shown(url))
                return basic(*pair)
        return None

    def _forget_token(self, scopes: Collection[str], authorization: str | None) -> None:
        """Forget a token that was refused, unless another request has replaced it meanwhile."""
        key = tuple(sorted(scopes))
        token = self._tokens.get(key)
        if token is not None and authorization == f"Bearer {token.value}":
            del self._tokens[key]

    async def _token(self, challenge: Challenge, scopes: Collection[str]) -> str:
        key = tuple(sorted(scopes))
        async with self._asking:
            token = self._tokens.get(key)
            if token is None or not token.fresh:
                answer = await self.ask_token(challenge, scopes_of(challenge, scopes) if scopes else [])
                self._tokens[key] = token = Token.of(answer)
            return token.value

    async def ask_token(self, challenge: Challenge, scopes: Collection[str], *, offline: bool = False) -> TokenAnswer:
        """Ask the token server of a challenge; `offline` also for an identity token.

        Raises: Refused when the credentials are wrong; Unreachable; InvalidArgument for a token server that
            credentials must not be sent to, or whose answer makes no sense.
        """
        realm = challenge.parameters["realm"]
        if urlsplit(realm).scheme not in ("https", "http") or (
            urlsplit(realm).scheme == "http" and self.endpoint.scheme == "https" and self.endpoint.verify
        ):
            raise InvalidArgument(f"the registry {self.endpoint.host} names a token server without TLS")
        service = challenge.parameters.get("service", "")
        given = self._credentials
        headers: dict[str, str] = {}
        if given.identitytoken:
            form = {"grant_type": "refresh_token", "refresh_token": given.identitytoken, "service": service,
                    "client_id": CLIENT_ID, "scope": " ".join(scopes)}  # fmt: skip
            return await self._ask_realm("POST", realm, headers, form, [])
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        if offline:
            query += [("offline_token", "true"), ("client_id", CLIENT_ID)]
        if given.pair is not None:
            query.append(("account", given.username))
            headers["Authorization"] = basic(*given.pair)
        return await self._ask_realm("GET", realm, headers, None, query)

    async def _ask_realm(
        self,
        method: str,
        realm: str,
        headers: dict[str, str],
        form: dict[str, str] | None,
        query: list[tuple[str, str]],
    ) -> TokenAnswer:
        import aiohttp  # noqa: PLC0415

        try:
            async with self._session.request(
                method, realm, headers=headers, data=form, params=query, allow_redirects=False, proxy=proxy_for(realm)
            ) as answer:
                if answer.status != 200:
                    raise await _refused(method, _shown(realm), answer)
                data = await _read_within(answer, _MAX_TOKEN_BYTES, "token")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(method, _shown(realm), error) from error
        try:
            token = msgspec.json.decode(data, type=TokenAnswer)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            raise InvalidArgument("the token server's answer makes no sense") from None
        if not token.value or not token.value.isascii() or not token.value.isprintable():
            raise InvalidArgument("the token server's answer has no token")
        return token

    @property
    def challenges(self) -> list[Challenge]:
        """What the server accepts; nothing where it asks for nothing."""
        return self._challenges


def delay_seconds(attempt: int, wanted_seconds: float | None = None) -> float:
    """How long to wait before another attempt: twice as long each time, or as the server says, within bounds."""
    if wanted_seconds is not None:
        return min(max(wanted_seconds, 0.0), MAX_DELAY_SECONDS)
    return min(FIRST_DELAY_SECONDS * 2.0**attempt, MAX_DELAY_SECONDS) * random.uniform(0.75, 1.25)  # noqa: S311


async def read_document(answer: "aiohttp.ClientResponse", limit: int, what: str) -> bytes:
    """The whole body of an answer. Raises: InvalidArgument when it is larger than `limit` bytes; Unreachable."""
    import aiohttp  # noqa: PLC0415

    try:
        return await _read_within(answer, limit, what)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreachable(answer.method, _shown(str(answer.url)), error) from error


async def _read_within(answer: "aiohttp.ClientResponse", limit: int, what: str) -> bytes:
    if (answer.content_length or 0) > limit:
        raise InvalidArgument(f"the registry's {what} is larger than {limit} bytes")
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > limit:
            raise InvalidArgument(f"the registry's {what} is larger than {limit} bytes")
    return bytes(data)


async def _refused(method: str, url: str, answer: "aiohttp.ClientResponse") -> Refused:
    """The error that an answer is; of a body that is too long or breaks off, the beginning."""
    import aiohttp  # noqa: PLC0415

    data = bytearray()
    try:
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > _MAX_ERROR_BYTES:
                break
    except (aiohttp.ClientError, OSError, TimeoutError):
        _log.debug("the answer of %s breaks off", _shown(url))
    after = answer.headers.get("Retry-After", "")
    seconds = float(after) if after.isascii() and after.isdigit() and len(after) < 6 else None
    return Refused(method, _shown(url), answer.status, bytes(data[:_MAX_ERROR_BYTES]), seconds)


def _shown(url: str) -> str:
    """An address without its query, which may have a secret in it."""
    return url.partition("?")[0]


@asynccontextmanager
async def connect(
    domain: str, settings: RegistrySettings, credentials: Credentials = NOBODY, *, path: str = "/v2/"
) -> AsyncIterator[Registry]:
    """The first server of a domain that answers; mirrors are not asked. See `connect_to`. Raises as it does."""
    found = await asyncio.to_thread(endpoints, domain, settings)
    async with connect_to(found, credentials, path=path) as registry:
        yield registry


@asynccontextmanager
async def connect_to(
    found: Sequence[Endpoint], credentials: Credentials = NOBODY, *, path: str = "/v2/"
) -> AsyncIterator[Registry]:
    """The first of some servers that answers at `path`.

    Raises: Unreachable, Refused of the last one; InvalidArgument for certificates that cannot be read.
    """
    async with AsyncExitStack() as stack:
        yield await _open_first(found, credentials, path, stack)


async def _open_first(
    found: Sequence[Endpoint], credentials: Credentials, path: str, stack: AsyncExitStack
) -> Registry:
    for number, endpoint in enumerate(found):
        tls = await asyncio.to_thread(tls_context, endpoint) if endpoint.scheme == "https" else None
        async with AsyncExitStack() as trying:
            registry = await trying.enter_async_context(Registry(endpoint, tls, credentials))
            try:
                await registry.ping(path)
            except (Unreachable, Refused) as error:
                if number == len(found) - 1:
                    raise
                _log.info("registry %s: %s", endpoint.url, error)
                continue
            stack.push_async_exit(trying.pop_all())
            return registry
    raise InvalidArgument("no registry to ask")
