"""eq, ne, lt, le, gt, ge."""

from __future__ import annotations

from cais.cli.gotemplate.errors import CallError
from cais.cli.gotemplate.formatting import Spec, display, show
from cais.cli.gotemplate.types import LISTS
from cais.cli.gotemplate.values import BOOL, Value, indirect_interface, struct_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BASIC = frozenset(["bool", "int", "uint", "float", "complex", "string"])
_ORDERED = frozenset(["int", "uint", "float", "string"])
_INTEGERS = frozenset(["int", "uint"])
_BAD_TYPE = "invalid type for comparison"
_BAD_TYPES = "incompatible types for comparison"


def equal(first: Value, *others: Value) -> Value:
    """Whether the first equals any of the others."""
    if not others:
        raise CallError("missing argument for comparison")
    first = indirect_interface(first)
    return Value(BOOL, any(_are_equal(first, indirect_interface(other)) for other in others))


def not_equal(first: Value, second: Value) -> Value:
    return Value(BOOL, not equal(first, second).data)


def less(first: Value, second: Value) -> Value:
    left, right = _ordered(first, second)
    return Value(BOOL, left < right)


def less_or_equal(first: Value, second: Value) -> Value:
    left, right = _ordered(first, second)
    return Value(BOOL, left <= right)


def greater(first: Value, second: Value) -> Value:
    return Value(BOOL, not less_or_equal(first, second).data)


def greater_or_equal(first: Value, second: Value) -> Value:
    return Value(BOOL, not less(first, second).data)


def _ordered(first: Value, second: Value) -> tuple[Any, Any]:
    """The data of two values that have an order."""
    first, second = indirect_interface(first), indirect_interface(second)
    if first.type.kind not in _BASIC or second.type.kind not in _BASIC:
        raise CallError(_BAD_TYPE)
    if first.type.kind != second.type.kind and not {first.type.kind, second.type.kind} <= _INTEGERS:
        raise CallError(_BAD_TYPES)
    if first.type.kind not in _ORDERED:
        raise CallError(_BAD_TYPE)
    return first.data, second.data


def _are_equal(first: Value, second: Value) -> bool:
    left, right = first.type.kind, second.type.kind
    if left in _BASIC and left == right:
        return bool(first.data == second.data)
    if left in _BASIC or right in _BASIC:
        if {left, right} <= _INTEGERS:
            return bool(first.data == second.data)
        if "invalid" not in {left, right}:
            raise CallError(_BAD_TYPES)
        return False
    return _composites_are_equal(first, second)


def _composites_are_equal(first: Value, second: Value) -> bool:
    """Structs, pointers, lists, maps and nil: only against nil, or of a type that Go compares."""
    if not _can_compare(first, second):
        raise CallError(
            f"non-comparable types {_as_text(first)}: {first.type.name}, {second.type.name}: {display(second)}"
        )
    if _is_nothing(first) or _is_nothing(second):
        return _is_nothing(first) == _is_nothing(second)
    if not _is_comparable(second):
        raise CallError(f"non-comparable type {_as_text(second)}: {second.type.name}")
    same_type = first.type.name == second.type.name
    return same_type and (first.data is second.data if first.type.kind == "pointer" else first.data == second.data)


def _can_compare(first: Value, second: Value) -> bool:
    """Whether types agree in kind, unless one is nil."""
    kinds = first.type.kind, second.type.kind
    return "invalid" in kinds or kinds[0] == kinds[1]


def _is_nothing(value: Value) -> bool:
    return value.type.kind == "invalid" or value.is_nil


def _is_comparable(value: Value) -> bool:
    kind = value.type.kind
    if kind == "struct":
        return all(_is_comparable(item) for _, item in struct_fields(value))
    return kind not in {"map", "slice"} and (kind not in LISTS or value.type.elem.kind not in {"map", "slice"})


def _as_text(value: Value) -> str:
    return show(value, "s", Spec())
