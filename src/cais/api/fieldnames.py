"""The names of fields in a request's body, read as Go's encoding/json reads them: in whatever case they are written.

Clients rely on it: docker-py sends `detachKeys` where the API has `DetachKeys`.
"""

import functools
from typing import Any

import msgspec
from msgspec import inspect


def as_declared(value: Any, kind: type) -> Any:
    """Decoded JSON with the fields of each struct named as `kind` declares them, and without nulls.

    A null stands for "not given", whatever the field. A name that is written as declared comes before others.
    """
    return _convert(value, _type_of(kind))


@functools.cache
def _type_of(kind: type) -> inspect.Type:
    return inspect.type_info(kind)


def _convert(value: Any, kind: inspect.Type | None) -> Any:
    if isinstance(value, dict):
        return _convert_object(value, _among(kind, inspect.StructType) or _among(kind, inspect.DictType))
    if isinstance(value, list):
        found = _among(kind, inspect.ListType)
        item = found.item_type if isinstance(found, inspect.ListType) else None
        return [_convert(inner, item) for inner in value]
    return value


def _convert_object(value: dict[str, Any], kind: inspect.Type | None) -> dict[str, Any]:
    if not isinstance(kind, inspect.StructType):
        inner = kind.value_type if isinstance(kind, inspect.DictType) else None
        return {key: _convert(item, inner) for key, item in value.items() if item is not None}
    fields = _fields(kind.cls)
    converted: dict[str, Any] = {}
    for key, item in value.items():
        if item is None:
            continue
        name, inner = fields.get(key.lower(), (key, None))
        if name == key or (name not in value and name not in converted):
            converted[name] = _convert(item, inner)
    return converted


@functools.cache
def _fields(cls: type[msgspec.Struct]) -> dict[str, tuple[str, inspect.Type]]:
    """A struct's fields by their names in small letters: the name as it is declared, and the type."""
    found = inspect.type_info(cls)
    assert isinstance(found, inspect.StructType)  # noqa: S101
    return {field.encode_name.lower(): (field.encode_name, field.type) for field in found.fields}


def _among(kind: inspect.Type | None, wanted: type[inspect.Type]) -> inspect.Type | None:
    """A type, or the one of a union, that is of the wanted sort."""
    candidates = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    return next((candidate for candidate in candidates if isinstance(candidate, wanted)), None)
