"""How lists are shown: as a table, or as JSON, one object a line."""

from __future__ import annotations

from cais.cli.command import CommandError
from cais.cli.units import go_quote
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LEAST_WIDTH = 10
_GAP = 3


def wants_json(template: str) -> bool:
    """Whether `--format` asks for JSON; without it, or with "table", it does not. Raises CommandError for the rest."""
    if template in {"", "table"}:
        return False
    if template in {"json", "{{json .}}", "{{ json . }}"}:
        return True
    raise CommandError(
        f"--format {go_quote(template)} is not supported yet: templates are not, only json and table are"
    )


def table(rows: Iterable[Sequence[str]], least_width: int = _LEAST_WIDTH) -> str:
    """Columns of text, the last of which is as wide as it likes."""
    lines = list(rows)
    widths = [max(max(map(len, column)) + _GAP, least_width) for column in zip(*lines, strict=True)][:-1]
    return "\n".join(
        "".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)) + line[-1] for line in lines
    )


def json_line(fields: dict[str, object]) -> str:
    """The fields in alphabetical order."""
    return dumps_readable(dict(sorted(fields.items())))
