"""The rows of lists (containers, images, …): objects with named fields, which a program makes."""

from __future__ import annotations

from cais.cli.gotemplate.encoding import encode, quoted
from cais.cli.gotemplate.types import GoType, go_type
from cais.cli.gotemplate.values import STRING, Function, Value, of_python, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_NIL = Value(go_type("*string"), None)
_HEADER = GoType("formatter.SubHeaderContext", "map", STRING, STRING)
_LABEL_BLANKS = str.maketrans("-_", "  ")


class Method:
    """A field that takes a text: what `{{.Label "name"}}` calls."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[str], str]) -> None:
        self.call = call


def row_type(name: str) -> GoType:
    """The type of a row, by the name that errors show: `formatter.ContainerContext`."""
    struct = GoType(name, "struct")
    struct.is_row = True
    return GoType(f"*{name}", "pointer", struct)


def header(titles: Mapping[str, str]) -> Value:
    """The row above a table: the titles of the fields."""
    return Value(_HEADER, dict(titles))


def member(value: Value, name: str) -> Function | None:
    """A field of a row, or `Label` of the header."""
    if not value.type.is_row:
        return Function((STRING,), _label_title) if name == "Label" else None
    if name not in value.data:
        return None
    field = value.data[name]
    if isinstance(field, Method):
        return Function((STRING,), lambda argument: text(field.call(argument.data)))
    return Function((), lambda: _plain(field))


def members(value: Value) -> Iterator[tuple[str, Value]]:
    """The fields of a row that take nothing, by name."""
    for name, field in sorted(value.data.items()):
        if not isinstance(field, Method):
            yield name, _plain(field)


def encode_row(value: Value) -> str:
    """A row in JSON: by name, and with <, > and & escaped."""
    return f"{{{','.join(f'{quoted(name)}:{_encode_member(item)}' for name, item in members(value))}}}"


def _encode_member(value: Value) -> str:
    return quoted(value.data, for_html=True) if value.type is STRING else encode(value)


def _plain(field: object) -> Value:
    data = field() if callable(field) else field
    return _NIL if data is None else of_python(data)


def _label_title(name: Value) -> Value:
    return text(name.data.rpartition(".")[2].translate(_LABEL_BLANKS))
