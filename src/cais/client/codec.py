"""JSON for the client, without the price of importing `json`.

`json` loads `re` and `enum`, half of the time of a whole short command. The C scanner beneath it is all that is
needed to read an answer, and writing a request is a screen of Python. Where an interpreter has no such scanner,
`json` itself is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_SPACE = " \t\r\n"
_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class _Decoding:
    """The options that the C scanner reads from its context: those of `json.loads`, control characters let through."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__


_scan: Callable[[str, int], tuple[Any, int]]
try:
    from _json import encode_basestring as _quote
    from _json import encode_basestring_ascii as _quote_ascii
    from _json import make_scanner

    _scan = make_scanner(_Decoding)  # type: ignore[arg-type]
except (ImportError, AttributeError, TypeError):
    from json.decoder import JSONDecoder
    from json.encoder import encode_basestring as _quote
    from json.encoder import encode_basestring_ascii as _quote_ascii

    _scan = JSONDecoder(strict=False).raw_decode


def loads(data: bytes | str) -> Any:
    """The value of one JSON document. Raises ValueError when it is not one."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    text = text.strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except StopIteration as stop:
        raise ValueError(f"not JSON at character {stop.value}: {text[:80]!r}") from None
    if end != len(text):
        raise ValueError(f"more than one JSON value: {text[end : end + 80]!r}")
    return value


def dumps(value: object) -> bytes:
    """Compact ASCII JSON of None, bool, int, float, str, and lists, tuples and dicts of them."""
    return "".join(_encode(value, _quote_ascii)).encode("ascii")


def dumps_readable(value: object) -> str:
    """Compact JSON as Go prints it: not ASCII only, and safe inside HTML."""
    return "".join(_encode(value, _quote_as_go))


def _quote_as_go(text: str) -> str:
    quoted = _quote(text)
    for character in "<>&\u2028\u2029":
        if character in quoted:
            quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted


def _encode(value: object, quote: Callable[[str], str]) -> Iterator[str]:
    if isinstance(value, str):
        yield quote(value)
    elif value is None:
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int | float):
        yield repr(value)
    elif isinstance(value, dict):
        separator = "{"
        for key, item in value.items():
            yield f"{separator}{quote(key)}:"
            yield from _encode(item, quote)
            separator = ","
        yield "}" if value else "{}"
    elif isinstance(value, list | tuple):
        separator = "["
        for item in value:
            yield separator
            yield from _encode(item, quote)
            separator = ","
        yield "]" if value else "[]"
    else:
        raise TypeError(f"no JSON for {type(value).__name__}")
