"""Columns of text: what Docker's lists are laid out with (in Go: package tabwriter, minwidth 10, padding 3).

A tab ends a cell. The cells of consecutive lines at the same place form a column, which is as wide as its widest cell
and a gap; what follows the last tab of a line is in no column.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LEAST_WIDTH = 10
_GAP = 3


def aligned(text: str) -> str:
    """Lines with tabs, as lines with blanks."""
    if "\t" not in text and "\v" not in text and "\f" not in text:
        return text
    parts = []
    for block in text.split("\f"):  # a form feed is a line break, where all columns end
        lines = [line.replace("\v", "\t").split("\t") for line in block.split("\n")]
        _align(lines)
        parts.append("\n".join("".join(line) for line in lines))
    return "\n".join(parts)


def _align(lines: list[list[str]]) -> None:
    """Fill up all cells but the last of each line."""
    open_columns: list[list[list[str]]] = []  # by place: the lines of the column that is growing there
    for line in lines:
        _close(open_columns, len(line) - 1)
        open_columns += [[] for _ in range(len(line) - 1 - len(open_columns))]
        for column in open_columns:
            column.append(line)
    _close(open_columns, 0)


def _close(open_columns: list[list[list[str]]], kept: int) -> None:
    for place in range(len(open_columns) - 1, kept - 1, -1):
        lines = open_columns.pop()
        widths = [columns(line[place]) for line in lines]
        widest = max(_LEAST_WIDTH, max(widths) + _GAP)
        for line, width in zip(lines, widths, strict=True):
            line[place] += " " * (widest - width)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: two for each wide character, none for a combining one."""
    if text.isascii():
        return len(text) if text.isprintable() else sum(map(str.isprintable, text))
    from unicodedata import category, east_asian_width  # noqa: PLC0415 -- seldom needed

    return sum(_width(character, category, east_asian_width) for character in text)


def _width(character: str, category: Callable[[str], str], east_asian_width: Callable[[str], str]) -> int:
    if category(character) in {"Mn", "Me", "Cf", "Cc"}:
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1
