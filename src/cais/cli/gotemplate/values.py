"""Values: a type of Go with plain data, and what can be done to one without knowing which it is.

The data are as JSON has them: None, bool, int, float, str, list, dict. A struct is the dict of its JSON keys, a pointer
is what it points to or None, what an interface holds tells its type by itself. Data of the wrong shape count as zero:
whoever sent them, a template only ever meets values of the type.
"""

from __future__ import annotations

from cais.cli.gotemplate.literals import as_bytes
from cais.cli.gotemplate.types import INVALID, LISTS, go_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from cais.cli.gotemplate.types import Field, GoType

ZERO_TIME = "0001-01-01T00:00:00Z"

_SHAPES: dict[str, type | tuple[type, ...]] = {
    "bool": bool,
    "int": int,
    "uint": int,
    "float": (float, int),
    "complex": complex,
    "string": str,
    "slice": (list, tuple),
    "array": (list, tuple),
    "map": dict,
    "struct": dict,
}
_ZEROS: dict[str, Any] = {"bool": False, "int": 0, "uint": 0, "float": 0.0, "complex": 0j, "string": "", "struct": {}}


class Number(str):
    """A number of JSON as it was written: what Go calls json.Number."""

    __slots__ = ()


class Value:
    __slots__ = ("data", "type")

    def __init__(self, type_: GoType, data: Any) -> None:
        self.type = type_
        self.data = data

    @property
    def is_nil(self) -> bool:
        """Whether it is a nil pointer, map, slice or interface."""
        return self.data is None and self.type.can_be_nil


class Function:
    """Something that a template can call: a function or a method.

    `call` gets one value for each of the parameters, of their types, and any number of `rest`.
    """

    __slots__ = ("call", "parameters", "rest")

    def __init__(self, parameters: tuple[GoType, ...], call: Callable[..., Value], rest: GoType | None = None) -> None:
        self.parameters = parameters
        self.call = call
        self.rest = rest


NO_VALUE = Value(INVALID, None)
STRING, BOOL, INT, FLOAT = go_type("string"), go_type("bool"), go_type("int"), go_type("float64")
_NUMBER = go_type("json.Number")
_ANY_LIST, _ANY_MAP, _TEXTS = go_type("[]interface {}"), go_type("map[string]interface {}"), go_type("[]string")


def make(type_: GoType, data: Any) -> Value:
    """A value of a type: the data, or its zero where they are none of it."""
    if type_.name == "time.Time":  # a struct in Go, whose JSON is a text
        return Value(type_, data if isinstance(data, str) else ZERO_TIME)
    shape = _SHAPES.get(type_.kind)
    if shape is None or (isinstance(data, shape) and not (isinstance(data, bool) and type_.kind != "bool")):
        return Value(type_, data)
    if type_.kind == "array":
        return Value(type_, [make(type_.elem, None).data] * type_.length)
    return Value(type_, _ZEROS.get(type_.kind))


def held(data: Any) -> Value:
    """The value that an interface holds. A number of JSON is a float there, unless it was kept as it was written."""
    if data is None:
        return NO_VALUE
    if isinstance(data, str):
        return Value(_NUMBER if isinstance(data, Number) else STRING, data)
    if isinstance(data, bool):
        return Value(BOOL, data)
    if isinstance(data, int | float):
        return Value(FLOAT, float(data))
    return Value(_ANY_LIST, data) if isinstance(data, list | tuple) else Value(_ANY_MAP, data)


def of_python(data: Any) -> Value:
    """The value that a program means: an int is an int, and a list of texts is one."""
    if isinstance(data, int) and not isinstance(data, bool):
        return Value(INT, data)
    if isinstance(data, list | tuple) and all(isinstance(item, str) for item in data):
        return Value(_TEXTS, data)
    return held(data)


def text(data: str) -> Value:
    return Value(STRING, data)


def indirect_interface(value: Value) -> Value:
    return held(value.data) if value.type.kind == "interface" else value


def indirect(value: Value) -> tuple[Value, bool]:
    """What stands behind pointers and interfaces, and whether one of those is nil (then it is returned)."""
    while value.type.kind in {"pointer", "interface"}:
        if value.data is None:
            return value, True
        value = held(value.data) if value.type.kind == "interface" else make(value.type.elem, value.data)
    return value, False


def is_true(value: Value) -> bool:
    """Whether it counts as true: everything but false, zero, nil and what is empty. Structs always do."""
    if value.type.kind == "struct":
        return True
    return bool(value.data) if value.type.kind != "pointer" else value.data is not None


def element(value: Value, index: int) -> Value:
    """An element of a slice or an array; IndexError where there is none."""
    return make(value.type.elem, value.data[index])


def elements(value: Value) -> Iterator[Value]:
    elem = value.type.elem
    return (make(elem, data) for data in value.data or ())


def entries(value: Value) -> Iterator[tuple[Value, Value]]:
    """The keys and elements of a map, in the order in which Go shows them."""
    key, elem = value.type.key, value.type.elem
    return ((Value(key, name), make(elem, data)) for name, data in sorted((value.data or {}).items()))


def struct_fields(value: Value) -> Iterator[tuple[Field, Value]]:
    """The fields of a struct in their order; an embedded one is a field like any other."""
    for field in value.type.fields:
        yield field, make(field.type, value.data if field.is_embedded else value.data.get(field.key))


def struct_field(value: Value, name: str) -> Value | None:
    """The field of a struct, or of one that is embedded in it."""
    for field, inner in struct_fields(value):
        if field.name == name:
            return inner
    for field, inner in struct_fields(value):
        found = struct_field(indirect(inner)[0], name) if field.is_embedded else None
        if found is not None:
            return found
    return None


def length(value: Value) -> int | None:
    """The length of a text (in bytes), list or map, or None of what has none."""
    kind = value.type.kind
    if kind == "string":
        return len(as_bytes(value.data))
    if kind == "map" or kind in LISTS:
        return len(value.data or ())
    return None
