"""The functions of templates: those of the language, those that Docker adds, and the ones for headers of tables."""

from __future__ import annotations

from cais.cli.gotemplate import comparison, texts
from cais.cli.gotemplate.encoding import encode
from cais.cli.gotemplate.errors import CallError
from cais.cli.gotemplate.formatting import display, display_all
from cais.cli.gotemplate.literals import as_bytes, as_text
from cais.cli.gotemplate.types import INTEGERS, LISTS, go_type
from cais.cli.gotemplate.values import (
    BOOL,
    INT,
    STRING,
    Function,
    Value,
    element,
    indirect,
    indirect_interface,
    is_true,
    length,
    make,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from cais.cli.gotemplate.types import GoType

ANY_VALUE = go_type("reflect.Value")  # of a parameter that also takes no value at all
_ANY = go_type("interface {}")
_TEXTS = go_type("[]string")
_BYTE = go_type("uint8")


def printable(value: Value) -> str:
    """A value as an action prints it: pointers are followed."""
    if value.type is STRING:
        return str(value.data)
    if value.type.kind == "pointer":
        value = indirect(value)[0]
    return "<no value>" if value.type.kind == "invalid" else display(value)


# lists and maps


def _length(item: Value) -> Value:
    inner, is_nil = indirect(item)
    if is_nil:
        raise CallError("len of nil pointer")
    if inner.type.kind == "invalid":
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    found = length(inner)
    if found is None:
        raise CallError(f"len of type {inner.type.name}")
    return Value(INT, found)


def _index(item: Value, *indexes: Value) -> Value:
    item = indirect_interface(item)
    if item.type.kind == "invalid":
        raise CallError("index of untyped nil")
    for index in map(indirect_interface, indexes):
        item, is_nil = indirect(item)
        if is_nil:
            raise CallError("index of nil pointer")
        kind = item.type.kind
        if kind == "map":
            key = _map_key(index, item.type.key)
            item = make(item.type.elem, (item.data or {}).get(key))
        elif kind == "string" or kind in LISTS:
            item = _at(item, _list_index(index, length(item) or 0))
        else:
            raise CallError(f"can't index item of type {item.type.name}")
    return item


def _at(item: Value, index: int) -> Value:
    try:
        if item.type.kind == "string":
            return Value(_BYTE, as_bytes(item.data)[index])
        return element(item, index)
    except (IndexError, TypeError):
        raise CallError(f"reflect: {item.type.kind} index out of range") from None


def _map_key(index: Value, key: GoType) -> object:
    if index.type.kind == "invalid":
        raise CallError(f"value is nil; should be of type {key.name}")
    if not key.accepts(index.type):
        raise CallError(f"value has type {index.type.name}; should be {key.name}")
    return index.data


def _list_index(index: Value, most: int) -> int:
    if index.type.kind == "invalid":
        raise CallError("cannot index slice/array with nil")
    if index.type.kind not in INTEGERS:
        raise CallError(f"cannot index slice/array with type {index.type.name}")
    at: int = index.data
    if not 0 <= at <= most:
        raise CallError(f"index out of range: {at}")
    return at


def _slice(item: Value, *indexes: Value) -> Value:
    item = indirect_interface(item)
    kind = item.type.kind
    if kind == "invalid":
        raise CallError("slice of untyped nil")
    if len(indexes) > 3:
        raise CallError(f"too many slice indexes: {len(indexes)}")
    if kind == "string" and len(indexes) == 3:
        raise CallError("cannot 3-index slice a string")
    if kind != "string" and kind not in LISTS:
        raise CallError(f"can't slice item of type {item.type.name}")
    size = length(item) or 0
    bounds = [0, size, size]
    for place, index in enumerate(indexes):
        bounds[place] = _list_index(index, size)
    start, end, most = bounds
    for left, right in ((start, end), (end, most)):
        if left > right:
            raise CallError(f"invalid slice index: {left} > {right}")
    if kind == "string":
        return Value(item.type, as_text(as_bytes(item.data)[start:end]))
    type_ = item.type if kind == "slice" else go_type(f"[]{item.type.elem.name}")
    return Value(type_, item.data[start:end] if item.data is not None else None)


def _call(name: Value, function: Value, *_arguments: Value) -> NoReturn:
    """Docker's data hold no functions."""
    function = indirect_interface(function)
    if function.type.kind == "invalid":
        raise CallError("call of nil")
    raise CallError(f"non-function {name.data} of type {function.type.name}")


# logic


def _and(first: Value, *others: Value) -> Value:
    """The first that is false, or the last. Arguments are evaluated by need: see `evaluate`."""
    return next((value for value in (first, *others) if not is_true(indirect_interface(value))), (first, *others)[-1])


def _or(first: Value, *others: Value) -> Value:
    return next((value for value in (first, *others) if is_true(indirect_interface(value))), (first, *others)[-1])


def _not(value: Value) -> Value:
    return Value(BOOL, not is_true(indirect_interface(value)))


# texts


def _printf(template: Value, *arguments: Value) -> Value:
    from cais.cli.gotemplate.printf import sprintf  # noqa: PLC0415 -- most templates have none

    return text(sprintf(template.data, list(arguments)))


def _escaper(escape: Callable[[str], str]) -> Function:
    def call(*values: Value) -> Value:
        if len(values) == 1:
            return text(escape(printable(indirect_interface(values[0]))))
        return text(escape(display_all(_followed(value) for value in values)))

    return Function((), call, _ANY)


def _followed(value: Value) -> Value:
    value = indirect(value)[0] if value.type.kind == "pointer" else indirect_interface(value)
    return text("<no value>") if value.type.kind == "invalid" else value


def _json(value: Value) -> Value:
    if value.type.kind == "complex":
        raise CallError("json: unsupported type: complex128")
    return text(encode(value))


def _split(whole: Value, separator: Value) -> Value:
    return Value(_TEXTS, texts.split(whole.data, separator.data))


def _join(parts: Value, separator: Value) -> Value:
    return text(separator.data.join(str(part) for part in parts.data or ()))


def _on_text(change: Callable[[str], str]) -> Function:
    return Function((STRING,), lambda value: text(change(value.data)))


def _comparing(call: Callable[[Value, Value], Value]) -> Function:
    return Function((ANY_VALUE, ANY_VALUE), call)


FUNCTIONS: dict[str, Function] = {
    "and": Function((ANY_VALUE,), _and, ANY_VALUE),
    "call": Function((ANY_VALUE,), _call, ANY_VALUE),
    "html": _escaper(texts.for_html),
    "index": Function((ANY_VALUE,), _index, ANY_VALUE),
    "js": _escaper(texts.for_javascript),
    "len": Function((ANY_VALUE,), _length),
    "not": Function((ANY_VALUE,), _not),
    "or": Function((ANY_VALUE,), _or, ANY_VALUE),
    "print": Function((), lambda *values: text(display_all(values)), _ANY),
    "printf": Function((STRING,), _printf, _ANY),
    "println": Function((), lambda *values: text(display_all(values, as_line=True)), _ANY),
    "slice": Function((ANY_VALUE,), _slice, ANY_VALUE),
    "urlquery": _escaper(texts.for_query),
    "eq": Function((ANY_VALUE,), comparison.equal, ANY_VALUE),
    "ne": _comparing(comparison.not_equal),
    "lt": _comparing(comparison.less),
    "le": _comparing(comparison.less_or_equal),
    "gt": _comparing(comparison.greater),
    "ge": _comparing(comparison.greater_or_equal),
    "json": Function((_ANY,), _json),
    "split": Function((STRING, STRING), _split),
    "join": Function((_TEXTS, STRING), _join),
    "title": _on_text(texts.title),
    "lower": _on_text(texts.lower),
    "upper": _on_text(texts.upper),
    "pad": Function(
        (STRING, INT, INT), lambda whole, before, after: text(texts.pad(whole.data, before.data, after.data))
    ),
    "truncate": Function((STRING, INT), lambda whole, size: text(texts.truncate(whole.data, size.data))),
}


def _title(value: Value, *_others: Value) -> Value:
    return value


HEADER_FUNCTIONS: dict[str, Function] = {
    **FUNCTIONS,
    "json": Function((STRING,), _title),
    "split": Function((STRING, STRING), _title),
    "join": Function((STRING, STRING), _title),
    "title": Function((STRING,), _title),
    "lower": Function((STRING,), _title),
    "upper": Function((STRING,), _title),
    "truncate": Function((STRING, INT), _title),
}
"""A header shows the titles of columns as they are, whatever the template does with the fields."""
