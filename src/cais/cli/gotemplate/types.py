"""The types that values have in Go. Templates show them: a struct prints as {a b}, a map as map[a:1]; errors name them.

A type is asked for by its name in Go, `map[string]*network.EndpointSettings`; names with a package are looked up in
`declarations`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal[
        "invalid", "bool", "int", "uint", "float", "complex", "string", "slice", "array", "map", "struct", "pointer",
        "interface", "value",
    ]  # fmt: skip

INTEGERS = frozenset(["int", "uint"])
LISTS = frozenset(["slice", "array"])
_NILLABLE = frozenset(["interface", "map", "pointer", "slice", "value"])

_BASIC: dict[str, Kind] = {
    "bool": "bool",
    "string": "string",
    "int": "int",
    "int32": "int",
    "int64": "int",
    "uint": "uint",
    "uint8": "uint",
    "uint16": "uint",
    "uint32": "uint",
    "uint64": "uint",
    "float64": "float",
    "complex128": "complex",
    "json.Number": "string",
    "interface {}": "interface",
    "reflect.Value": "value",  # of a function's parameter: any value, also none
}


class Field:
    """A field of a struct: its name in Go, its key in JSON ("" where it has none), and its type."""

    __slots__ = ("is_embedded", "key", "name", "omits_zero", "type")

    def __init__(self, name: str, key: str, type_: GoType, *, omits_zero: bool, is_embedded: bool) -> None:
        self.name = name
        self.key = key
        self.type = type_
        self.omits_zero = omits_zero  # JSON leaves it out when it is zero
        self.is_embedded = is_embedded  # its own fields are also those of the struct, in JSON only there


class GoType:
    """A type. `elem` is that of the elements, or of what a pointer points to; `key` that of a map's keys.

    A type without such parts is its own.
    """

    __slots__ = ("elem", "fields", "is_row", "key", "kind", "length", "name", "underlying")

    def __init__(self, name: str, kind: Kind, elem: GoType | None = None, key: GoType | None = None) -> None:
        self.name = name
        self.underlying = name  # the name of the type literal behind a declared name
        self.kind = kind
        self.elem = elem or self
        self.key = key or self
        self.length = 0  # of an array
        self.fields: tuple[Field, ...] = ()
        self.is_row = False

    @property
    def can_be_nil(self) -> bool:
        return self.kind in _NILLABLE

    @property
    def is_declared(self) -> bool:
        """Whether it has a name of its own: those are only assignable to themselves."""
        return self.underlying != self.name or (self.kind not in _NILLABLE and self.kind != "array")

    def accepts(self, other: GoType) -> bool:
        """Whether a value of the other type can be assigned (Go specification, "Assignability")."""
        if self.name == other.name or self.kind == "interface":
            return True
        return self.underlying == other.underlying and not (self.is_declared and other.is_declared)


INVALID = GoType("<invalid>", "invalid")
_known: dict[str, GoType] = {name: GoType(name, kind) for name, kind in _BASIC.items()}


def go_type(name: str) -> GoType:
    """The type of a name. Raises KeyError where it is not declared."""
    found = _known.get(name)
    if found is None:
        found = _known[name] = _build(name)
    return found


def pointer_to(elem: GoType) -> GoType:
    found = _known.get(f"*{elem.name}")
    if found is None:
        found = _known[f"*{elem.name}"] = GoType(f"*{elem.name}", "pointer", elem)
    return found


def _build(name: str) -> GoType:
    if name.startswith("*"):
        return GoType(name, "pointer", go_type(name[1:]))
    if name.startswith("["):
        length, _, elem = name[1:].partition("]")
        made = GoType(name, "array" if length else "slice", go_type(elem))
        made.length = int(length or 0)
        return made
    if name.startswith("map["):
        key, _, elem = name[4:].partition("]")
        return GoType(name, "map", go_type(elem), go_type(key))
    from cais.cli.gotemplate.declarations import NAMED, STRUCTS  # noqa: PLC0415 -- lists need none of them

    if name in NAMED:
        base = go_type(NAMED[name])
        made = GoType(name, base.kind, base.elem, base.key)
        made.underlying = base.underlying
        return made
    made = GoType(name, "struct")
    made.fields = tuple(_fields(STRUCTS[name]))
    return made


def _fields(declaration: str) -> list[Field]:
    """Fields as `Name Other? type; Name=key type; type`: a type alone is embedded, "?" means left out when zero."""
    made: list[Field] = []
    for group in declaration.split(";") if declaration else ():
        *names, type_name = _words(group)
        type_ = go_type(type_name)
        if not names:
            bare = type_name.lstrip("*").rpartition(".")[2]
            made.append(Field(bare, "", type_, omits_zero=False, is_embedded=True))
        for word in names:
            name, _, key = word.rstrip("?").partition("=")
            made.append(Field(name, key or name, type_, omits_zero=word.endswith("?"), is_embedded=False))
    return made


def _words(group: str) -> list[str]:
    """The words of a group; `interface {}` and `struct {}` are one."""
    return [word.replace("~", " ") for word in group.replace(" {}", "~{}").split()]
