"""What every resource of the API shares: answers, errors, query values, bodies and versions.

Errors are `{"message": …}` with the status that `_STATUS` gives for their class, the one place where
an error becomes a status. Query values are read as Docker reads them.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from cais.api.fieldnames import as_declared
from cais.engine.filters import Filters
from cais.errors import (
    CaisError,
    Conflict,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    NotModified,
    RegistryFailed,
    Unauthorized,
    Unavailable,
    Unsupported,
)

MAX_VERSION: Final = (1, 51)
MIN_VERSION: Final = (1, 24)

JSON_TYPE: Final = "application/json"

T = TypeVar("T")

_STATUS: Final[dict[type[CaisError], int]] = {
    InvalidArgument: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    NotModified: 304,
    Unavailable: 503,
    RegistryFailed: 500,
    Unsupported: 501,
    Internal: 500,
}

_NO: Final = frozenset({"", "0", "no", "false", "none"})
_encoder: Final = msgspec.json.Encoder()


def status_of(error: CaisError) -> int:
    """The HTTP status of an error: that of its class, or of the nearest class it inherits from."""
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500


def encode(value: object) -> bytes:
    """A value as one line of JSON, with the newline that Docker sends too."""
    return _encoder.encode(value) + b"\n"


def json_answer(value: object, status: int = 200) -> web.Response:
    """An answer whose body is the value as JSON."""
    return web.Response(body=encode(value), status=status, content_type=JSON_TYPE)


def empty_answer(status: int = 204) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)


def error_answer(status: int, message: str) -> web.Response:
    """An answer that says what went wrong; 304 carries no body."""
    if status == 304:
        return empty_answer(304)
    return json_answer({"message": message}, status)


def version_text(version: tuple[int, int]) -> str:
    """(1, 51) as "1.51"."""
    return f"{version[0]}.{version[1]}"


def parse_version(text: str) -> tuple[int, int]:
    """The version of a path's prefix, checked: InvalidArgument when it is too old, too new or no version."""
    major, _, minor = text.partition(".")
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit() and len(text) < 16):
        raise InvalidArgument(f"invalid API version {text!r}")
    version = (int(major), int(minor))
    if version > MAX_VERSION:
        raise InvalidArgument(
            f"client version {text} is too new. Maximum supported API version is {version_text(MAX_VERSION)}"
        )
    if version < MIN_VERSION:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {version_text(MIN_VERSION)}, "
            "please upgrade your client to a newer version"
        )
    return version


def api_version(request: web.Request) -> tuple[int, int]:
    """The API version that the client speaks; the newest when its path names none. Raises InvalidArgument."""
    prefix = request.match_info.get("version")
    return parse_version(prefix) if prefix else MAX_VERSION


def bool_query(request: web.Request, name: str, default: bool = False) -> bool:
    """A boolean of the query: absent is the default; "", 0, no, false and none are false; the rest is true."""
    value = request.query.get(name)
    return default if value is None else value.strip().lower() not in _NO


def text_query(request: web.Request, name: str, default: str = "") -> str:
    """A text of the query; absent is the default."""
    return request.query.get(name, default)


def int_query(request: web.Request, name: str, default: int | None = None) -> int:
    """An integer of the query; absent or empty is the default. Without a default it must be there."""
    value = request.query.get(name, "")
    if not value and default is not None:
        return default
    return parse_int(value)


def optional_int_query(request: web.Request, name: str) -> int | None:
    """An integer of the query; None when it is absent or empty."""
    value = request.query.get(name, "")
    return parse_int(value) if value else None


def parse_int(value: str) -> int:
    """A decimal integer of 64 bits; InvalidArgument in Docker's words otherwise."""
    digits = value[1:] if value[:1] in {"-", "+"} else value
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidArgument(f'strconv.Atoi: parsing "{value}": invalid syntax')
    number = int(value) if len(value) < 24 else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidArgument(f'strconv.Atoi: parsing "{value}": value out of range')
    return number


def filters_query(request: web.Request, name: str = "filters") -> Filters:
    """The filters of the query, in either form that clients send."""
    return parse_filters(request.query.get(name, ""))


def parse_filters(text: str) -> Filters:
    """Filters from JSON: `{"key": ["value"]}`, or `{"key": {"value": true}}` as the command sends it."""
    if not text:
        return Filters()
    try:
        raw = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str] | None])
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidArgument("invalid filter") from None
    return Filters({key: _wanted(values) for key, values in raw.items()})


def _wanted(values: dict[str, bool] | list[str] | None) -> list[str]:
    if isinstance(values, dict):
        return [value for value, wanted in values.items() if wanted]
    return values or []


async def read_json(request: web.Request, kind: type[T]) -> T | None:
    """The JSON body of a request as a `kind`; None when there is no body, or it is null.

    InvalidArgument when the content type is another, or the body is not valid.
    """
    body = await request.read()
    declared = request.headers.get("Content-Type", "")
    if not declared and not body:
        return None
    if request.content_type != JSON_TYPE:
        raise InvalidArgument(f"unsupported Content-Type header ({declared}): must be '{JSON_TYPE}'")
    if body.strip() in {b"", b"null"}:
        return None
    return decode(body, kind)


def decode(body: bytes, kind: type[T]) -> T:
    """JSON bytes as a `kind`, read as Docker reads them: see `fieldnames`."""
    try:
        return msgspec.convert(as_declared(msgspec.json.decode(body), kind), kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        trailing = "trailing characters" in str(error)
        raise InvalidArgument(f"invalid JSON: {'unexpected content after JSON' if trailing else error}") from None


def plain_headers(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Headers of an answer that no cache may keep."""
    return {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache", **(extra or {})}
