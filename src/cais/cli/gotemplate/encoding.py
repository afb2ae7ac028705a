"""JSON as Go's encoding/json writes it: structs in the order of their fields, maps by key."""

from __future__ import annotations

from cais.cli.gotemplate.floats import json_float
from cais.cli.gotemplate.stringers import normal_clock
from cais.cli.gotemplate.types import INTEGERS, LISTS
from cais.cli.gotemplate.values import Number, elements, entries, held, make, struct_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cais.cli.gotemplate.values import Value

_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_ESCAPES: dict[int, str] = {code: f"\\u{code:04x}" for code in (*range(0x20), 0x2028, 0x2029)}
_ESCAPES |= {ord(character): escape for character, escape in _SHORT.items()}
_HTML_ESCAPES = _ESCAPES | {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}
_BY_KEY = frozenset(["registry.ServiceConfig", "registry.IndexInfo"])  # written by way of a map


def encode(value: Value) -> str:
    """Compact JSON, with <, > and & as they are; only rows of lists have them escaped."""
    return "".join(_encode(value))


def quoted(text: str, *, for_html: bool = False) -> str:
    if not text.isascii():
        text = "".join("\\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text.translate(
            _HTML_ESCAPES if for_html else _ESCAPES
        ))  # fmt: skip
        return f'"{text}"'
    return f'"{text.translate(_HTML_ESCAPES if for_html else _ESCAPES)}"'


def _encode(value: Value) -> Iterator[str]:  # noqa: C901 -- one branch for each kind of type
    type_, data = value.type, value.data
    if type_.is_row:
        from cais.cli.gotemplate.rows import encode_row  # noqa: PLC0415 -- inspect knows none

        yield encode_row(value)
    elif type_.kind == "invalid" or value.is_nil:
        yield "null"
    elif type_.kind == "string":
        yield str(data) if isinstance(data, Number) else quoted(data)
    elif type_.kind == "bool":
        yield "true" if data else "false"
    elif type_.kind in INTEGERS:
        yield str(data)
    elif type_.kind == "float":
        yield json_float(data)
    elif type_.kind == "pointer":
        yield from _encode(make(type_.elem, data))
    elif type_.kind == "interface":
        yield from _encode(held(data))
    elif type_.kind in LISTS:
        yield from _joined("[", ("".join(_encode(item)) for item in elements(value)), "]")
    elif type_.kind == "map":
        yield from _joined("{", (f"{quoted(key.data)}:{encode(item)}" for key, item in entries(value)), "}")
    elif type_.name == "time.Time":
        yield quoted(_moment(data))
    elif type_.kind == "struct":
        members = _members(value)
        ordered = sorted(members) if type_.name in _BY_KEY else members
        yield from _joined("{", (f"{quoted(key)}:{encode(item)}" for key, item in ordered), "}")


def _joined(opening: str, parts: Iterable[str], closing: str) -> Iterator[str]:
    yield opening
    separator = ""
    for part in parts:
        yield separator + part
        separator = ","
    yield closing


def _members(value: Value) -> Iterator[tuple[str, Value]]:
    """What a struct has in JSON: also the fields of what is embedded, and nothing that is left out when zero."""
    for field, item in struct_fields(value):
        if field.is_embedded:
            inner = make(item.type.elem, item.data) if item.type.kind == "pointer" else item
            yield from _members(inner)
        elif field.key != "-" and not (field.omits_zero and _is_empty(item)):
            yield field.key, item


def _is_empty(value: Value) -> bool:
    return value.data is None if value.type.kind in {"pointer", "interface"} else (
        value.type.kind != "struct" and not value.data
    )  # fmt: skip


def _moment(text: str) -> str:
    """A time without zeros at the end of its fraction."""
    day, _, clock = text.partition("T")
    sign = max(clock.find("+"), clock.find("-"))
    if sign > 0:
        return f"{day}T{normal_clock(clock[:sign])}{clock[sign:]}"
    return f"{day}T{normal_clock(clock.rstrip('Z'))}Z"
