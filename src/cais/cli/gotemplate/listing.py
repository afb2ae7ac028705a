"""`--format` of the commands that list: a template applied to one row after the other, or a table of them."""

from __future__ import annotations

from cais.cli.gotemplate.errors import TemplateError
from cais.cli.gotemplate.functions import HEADER_FUNCTIONS
from cais.cli.gotemplate.rows import header, row_type
from cais.cli.gotemplate.table import aligned
from cais.cli.gotemplate.template import Template
from cais.cli.gotemplate.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = Mapping[str, object]
    """The fields of a row by name.

    A field is a plain value (str, bool, int, float, None, list, dict), a callable without parameters that returns one,
    or a `rows.Method`, which takes a text.
    """

_TABLE = "table"
_JSON = "json"


class Listing:
    """How a list is to be shown: `json`, a template, or `table` with a template for the columns.

    `type_name` is what Docker calls a row (`formatter.ContainerContext`), which errors name. Raises TemplateError with
    Docker's message.
    """

    def __init__(self, template: str, type_name: str) -> None:
        self.is_table = template.startswith(_TABLE)
        self._type = row_type(type_name)
        if self.is_table:
            template = template.removeprefix(_TABLE)
        elif template == _JSON:
            template = "{{json .}}"
        template = template.strip(" ").replace("\\t", "\t").replace("\\n", "\n")
        try:
            self._template = Template(template)
        except TemplateError as error:
            raise _parsing_error(error) from None

    def render(self, rows: Iterable[Row], titles: Mapping[str, str]) -> str:
        """All rows, a line each, and above a table a line made of the titles of the fields."""
        try:
            lines = [f"{self._template.apply(Value(self._type, row))}\n" for row in rows]
        except TemplateError as error:
            raise _parsing_error(error) from None
        if not self.is_table:
            return "".join(lines)
        above = self._template.apply_partly(header(titles), HEADER_FUNCTIONS)
        return aligned("".join([above, "\n", *lines]))


def check(template: str, row: Row, type_name: str) -> None:
    """Apply the template of a list to a row in advance, as `docker ps` does to an empty one. Raises TemplateError.

    What a row's callables are asked for tells which fields are needed.
    """
    try:
        parsed = Template(template)
    except TemplateError as error:
        raise TemplateError(f"failed to parse template: {error}") from None
    try:
        parsed.apply(Value(row_type(type_name), row))
    except TemplateError as error:
        raise TemplateError(f"failed to execute template: {error}") from None


def _parsing_error(error: TemplateError) -> TemplateError:
    return TemplateError(f"template parsing error: {error}")
