"""What goes wrong with registries, in the words of Docker, which are those of Go's libraries."""

import asyncio
import re
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from cais.distribution.reference import Reference
from cais.errors import CaisError, NotFound, RegistryFailed

if TYPE_CHECKING:
    import aiohttp

_ADDRESS: Final = re.compile(r"\('([0-9a-fA-F.:]+)', (\d+)")
_MAX_TEXT: Final = 1000
_NOT_FOUND_CODES: Final = ("DENIED", "MANIFEST_UNKNOWN", "NAME_UNKNOWN")


class _Item(msgspec.Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Items(msgspec.Struct, frozen=True):
    errors: list[_Item] | None = None
    details: str = ""
    message: str = ""


class Refused(Exception):
    """A registry's answer that is an error: its status, the codes and messages of its body, and the request."""

    def __init__(
        self, method: str, url: str, status: int, body: bytes, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(f"{method} {url}: {status}")
        self.method = method
        self.url = url
        self.status = status
        self.retry_after_seconds = retry_after_seconds
        self.items = _items(status, body)

    @property
    def code(self) -> str:
        """The first code, such as MANIFEST_UNKNOWN; of the status alone where the body has none."""
        return self.items[0].code

    @property
    def text(self) -> str:
        """The error as Go's client words it."""
        texts = [f"{item.code.lower().replace('_', ' ')}: {item.message}" for item in self.items]
        return texts[0] if len(texts) == 1 else "errors:\n" + "\n".join(texts) + "\n"

    def translated(self) -> RegistryFailed:
        """For whoever asked for the operation."""
        return RegistryFailed(self.text)


class NoCredentials(Exception):
    """The registry asks for a password and none is given."""

    def __init__(self, method: str, url: str) -> None:
        super().__init__(f'{method.capitalize()} "{url}": no basic auth credentials')


class Unreachable(Exception):
    """No answer came: `text` says why, `url` where."""

    def __init__(self, method: str, url: str, text: str) -> None:
        super().__init__(f'{method.capitalize()} "{url}": {text}')
        self.text = text


Failure = Refused | NoCredentials | Unreachable


def _items(status: int, body: bytes) -> list[_Item]:
    try:
        found = msgspec.json.decode(body, type=_Items)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        found = _Items()
    items = [_Item(_clean(item.code), _clean(item.message)) for item in (found.errors or ())[:10] if item.code]
    if items:
        return items
    if said := _clean(found.details or found.message):
        return [_Item(_status_code(status), said)]
    if status in (401, 403, 429):
        return [_Item(_status_code(status), _STATUS_TEXTS[status])]
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    return [_Item("UNKNOWN", f"unexpected status from the registry: {status} {phrase}".strip())]


_STATUS_TEXTS: Final = {
    401: "authentication required",
    403: "requested access to the resource is denied",
    429: "You have reached your pull rate limit",
}


def _status_code(status: int) -> str:
    return {401: "UNAUTHORIZED", 403: "DENIED", 404: "NOT_FOUND", 429: "TOOMANYREQUESTS"}.get(status, "UNKNOWN")


def _clean(text: str) -> str:
    """A server's text without control characters, at a sane length."""
    return "".join(character if character.isprintable() else " " for character in text[:_MAX_TEXT])


def pull_error(error: Failure, reference: Reference) -> CaisError:
    """The error of a pull, in Docker's words and of the class of its status."""
    if not isinstance(error, Refused) or error.code not in _NOT_FOUND_CODES:
        return failed(error)
    if error.code == "DENIED":
        return NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            f"'docker login': {error.text}"
        )
    if error.code == "MANIFEST_UNKNOWN":
        return NotFound(f"manifest for {reference.familiar} not found: {error.text}")
    return NotFound(f"repository {reference.familiar_name} not found: {error.text}")


def failed(error: Failure) -> RegistryFailed:
    """The error of another operation."""
    if isinstance(error, Refused):
        return error.translated()
    return RegistryFailed(str(error))


def unreachable(method: str, url: str, error: "aiohttp.ClientError | OSError | TimeoutError") -> Unreachable:
    """Why no answer came, in Go's words."""
    return Unreachable(method, url, _reason(error))


def _reason(error: BaseException) -> str:  # noqa: PLR0911  a table of reasons
    import aiohttp  # noqa: PLC0415

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {error.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: {_certificate_reason(error.certificate_error)}"
    if alert := _alert(error):
        return f"remote error: tls: {alert}"
    if isinstance(error, aiohttp.ClientSSLError):
        inner = error.os_error
        if isinstance(inner, ssl.SSLError) and inner.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            return "http: server gave HTTP response to HTTPS client"
        return f"tls: {inner.strerror or inner}"
    if isinstance(error, aiohttp.ClientConnectorError):
        found = _ADDRESS.search(str(error.os_error))
        host = f"[{found[1]}]" if found and ":" in found[1] else found[1] if found else error.host
        text = {111: "connection refused", 113: "no route to host", 101: "network is unreachable"}
        return f"dial tcp {host}:{error.port}: connect: {text.get(error.os_error.errno or 0, error.os_error.strerror)}"
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return _clean(str(error)) or type(error).__name__


def _alert(error: BaseException) -> str:
    """What the server ended TLS with, such as "bad certificate"; it may come with what was to be its answer."""
    cause = getattr(error, "os_error", None) or error.__cause__
    _, is_alert, name = str(getattr(cause, "reason", "")).partition("_ALERT_")
    return name.lower().replace("_", " ") if is_alert and isinstance(cause, ssl.SSLError) else ""


def _certificate_reason(error: Exception) -> str:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return _clean(str(error))
    if error.verify_code in (18, 19, 20, 21):  # openssl-verification-options(1): self-signed, or of an unknown issuer
        return "x509: certificate signed by unknown authority"
    return f"x509: {error.verify_message}"
