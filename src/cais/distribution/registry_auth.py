"""Saying who one is to a registry: challenges, Basic, and bearer tokens with their expiry.

A registry answers 401 with challenges (RFC 9110 §11). For "Bearer" a token is fetched from the realm that it names:
with GET and the password, or with POST and an identity token (the token protocols of the Distribution project).
Nothing of this is ever logged or part of an error's text.
"""

import base64
import binascii
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import msgspec

CLIENT_ID: Final = "docker"
MIN_TOKEN_SECONDS: Final = 60
"""How long a token is used whose lifetime is not told, or told to be shorter."""
MAX_AUTH_BYTES: Final = 64 << 10
MAX_CONFIG_BYTES: Final = 192 << 10

_TOKEN_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER: Final = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""")
_EARLY_SECONDS: Final = 5


class Credentials(msgspec.Struct, frozen=True):
    """What a client gives for one registry, in the form of the X-Registry-Auth header."""

    username: str = ""
    password: str = ""
    auth: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def pair(self) -> tuple[str, str] | None:
        """The user's name and password, where both are given."""
        if self.username and self.password:
            return self.username, self.password
        return None


NOBODY: Final = Credentials()


def decode_credentials(header: str) -> Credentials:
    """The credentials of an X-Registry-Auth header, base64 of JSON; nobody's where it says nothing of use."""
    if not header or len(header) > MAX_AUTH_BYTES:
        return NOBODY
    try:
        data = base64.urlsafe_b64decode(header.strip().replace("+", "-").replace("/", "_") + "==")
        given = msgspec.json.decode(data, type=Credentials)
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return NOBODY
    return complete(given)


def decode_all_credentials(header: str) -> dict[str, Credentials]:
    """The credentials of an X-Registry-Config header, base64 of JSON, by the host; none where it makes no sense.

    Docker Hub is named by the address that it once had, "https://index.docker.io/v1/".
    """
    if not header or len(header) > MAX_CONFIG_BYTES:
        return {}
    try:
        data = base64.urlsafe_b64decode(header.strip().replace("+", "-").replace("/", "_") + "==")
        given = msgspec.json.decode(data, type=dict[str, Credentials])
    except (binascii.Error, ValueError, msgspec.MsgspecError, RecursionError):
        return {}
    found = {}
    for address, credentials in given.items():
        host = address.partition("://")[2] or address
        host = host.partition("/")[0]
        found["docker.io" if host == "index.docker.io" else host] = complete(credentials)
    return found


def complete(given: Credentials) -> Credentials:
    """The same, with name and password taken out of `auth` where they stand only there."""
    if given.auth and not given.username and not given.password:
        try:
            name, colon, password = base64.b64decode(given.auth + "==").decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            return given
        if colon:
            return msgspec.structs.replace(given, username=name, password=password.rstrip("\0"))
    return given


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme that a server accepts, in lower case, with its parameters."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(headers: Collection[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate headers; what makes no sense is passed over."""
    found: list[Challenge] = []
    for header in headers:
        rest = header.strip()
        current: Challenge | None = None
        while rest:
            parameter = _PARAMETER.match(rest)
            if parameter is not None and current is not None:
                quoted, plain = parameter[2], parameter[3]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                current.parameters.setdefault(parameter[1].lower(), value)
                rest = rest[parameter.end() :].lstrip(" \t,")
                continue
            scheme = _TOKEN_NAME.match(rest)
            if scheme is None:
                rest = rest[1:].lstrip(" \t,")
                continue
            current = Challenge(scheme[0].lower(), {})
            found.append(current)
            rest = rest[scheme.end() :].lstrip(" \t,")
    return found


class TokenAnswer(msgspec.Struct, frozen=True):
    """What a token server says."""

    token: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_in: int = 0

    @property
    def value(self) -> str:
        """The token itself."""
        return self.token or self.access_token


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and until when (on the monotonic clock) it is used."""

    value: str
    until: float

    @staticmethod
    def of(answer: TokenAnswer) -> "Token":
        """The token of an answer that has just arrived."""
        lifetime = max(answer.expires_in, MIN_TOKEN_SECONDS) - _EARLY_SECONDS
        return Token(answer.value, time.monotonic() + lifetime)

    @property
    def fresh(self) -> bool:
        """Whether it may still be used."""
        return time.monotonic() < self.until


def basic(name: str, password: str) -> str:
    """The Authorization header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode("ascii")


def scopes_of(challenge: Challenge, wanted: Collection[str]) -> list[str]:
    """The scopes to ask for: what the operation needs, and what the server has named, each once, sorted."""
    named = challenge.parameters.get("scope", "").split()
    return sorted({*wanted, *named})
