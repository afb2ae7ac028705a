"""How what a command found is shown: as a table, as JSON, or as a Go template says.

The table and the JSON that nearly everybody wants are made here; only a template loads the template language.
"""

from __future__ import annotations

from cais.cli.command import CommandError
from cais.cli.output import out
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cais.cli.gotemplate import Listing, Template

    Row = Mapping[str, object]
    """The fields of one line by name: values, functions that give them, or `Labelled`."""

BAD_TEMPLATE = 64
"""The exit status for a template that is not well formed."""

_LEAST_WIDTH = 10
_GAP = 3
_JSON = "json"
_TABLE = "table"
_RAW = "raw"


class Labelled:
    """A field that is asked with a name: `{{.Label "name"}}`."""

    __slots__ = ("labels",)

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels


class Columns:
    """What a list can show of each thing in it, and what it shows when nothing is said.

    `type_name` is what Docker calls a row, which the errors of templates name; `titles` stand above the fields in a
    table; `raw` is the template of `--format raw`.
    """

    __slots__ = ("raw", "shown", "titles", "type_name")

    def __init__(self, type_name: str, titles: Mapping[str, str], shown: Sequence[str], raw: str = "") -> None:
        self.type_name = type_name
        self.titles = titles
        self.shown = shown
        self.raw = raw

    def render(self, template: str, rows: Iterable[Row], shown: Sequence[str] = ()) -> str:
        """All rows, each line with its end. `shown` are the columns of the table, where they are not the usual ones.

        Raises TemplateError.
        """
        if template in {"", _TABLE}:
            names = shown or self.shown
            lines = [[str(_value(row[name])) for name in names] for row in rows]
            return table([[self.titles[name] for name in names], *lines]) + "\n"
        if template == _JSON:
            return "".join(f"{json_line(row)}\n" for row in rows)
        return self._listing(template).render(map(_for_template, rows), self.titles)

    def check(self, template: str) -> None:
        """Raises TemplateError for a template that is not well formed."""
        if template not in {"", _TABLE, _JSON}:
            self._listing(template)

    def _listing(self, template: str) -> Listing:
        from cais.cli.gotemplate import Listing  # noqa: PLC0415 -- only for templates

        return Listing(self.raw if template == _RAW and self.raw else template, self.type_name)


def parsed_template(
    text: str, *, name: str = "", words: str = "template parsing error", status: int = BAD_TEMPLATE
) -> Template:
    """A template for a single object; "json" stands for all of it. Raises CommandError."""
    from cais.cli.gotemplate import Template, TemplateError  # noqa: PLC0415 -- only for templates

    try:
        return Template("{{json .}}" if text == _JSON else text, name)
    except TemplateError as error:
        raise CommandError(f"{words}: {error}", status) from None


def apply_typed(template: Template, data: object, type_name: str) -> str:
    """The text of a single object, which has the JSON of a type that Docker's client knows. Raises TemplateError."""
    from cais.cli.gotemplate.typed import typed  # noqa: PLC0415 -- only for templates

    return template.apply(typed(data, type_name))


def print_typed(template: Template, data: object, type_name: str) -> None:
    """Print that text, and when it cannot be made what was made of it before the CommandError."""
    from cais.cli.gotemplate import TemplateError  # noqa: PLC0415

    try:
        out(apply_typed(template, data, type_name))
    except TemplateError as error:
        out(error.written)
        raise CommandError(str(error)) from None


def table(rows: Iterable[Sequence[str]], least_width: int = _LEAST_WIDTH) -> str:
    """Columns of text, the last of which is as wide as it likes."""
    lines = list(rows)
    cells = [[_width(cell) for cell in line] for line in lines]
    widths = [max(max(column) + _GAP, least_width) for column in zip(*cells, strict=True)][:-1]
    return "\n".join(
        "".join(cell + " " * (width - taken) for cell, width, taken in zip(line, widths, sizes, strict=False))
        + line[-1]
        for line, sizes in zip(lines, cells, strict=True)
    )


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from cais.cli.gotemplate.table import columns  # noqa: PLC0415 -- seldom needed

    return columns(text)


def plain(row: Row) -> dict[str, object]:
    """The fields of a row and their values, in alphabetical order, as Docker's lists have them in JSON."""
    return {name: _value(row[name]) for name in sorted(row) if not isinstance(row[name], Labelled)}


def json_line(row: Row) -> str:
    return dumps_readable(plain(row))


def _value(field: object) -> object:
    return field() if callable(field) else field


def _for_template(row: Row) -> dict[str, object]:
    from cais.cli.gotemplate import Method  # noqa: PLC0415

    def labels_of(field: Labelled) -> Callable[[str], str]:
        return lambda name: field.labels.get(name, "")

    return {name: Method(labels_of(field)) if isinstance(field, Labelled) else field for name, field in row.items()}
