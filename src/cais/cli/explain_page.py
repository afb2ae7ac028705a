"""A page of text for a terminal: titles, labelled rows that wrap beside their labels, tables, bars.

Whatever comes from an engine goes through `safe`: a container's processes choose their own names, and no control
character of theirs reaches the terminal.
"""

from __future__ import annotations

import os

from cais.cli.formats import table
from cais.cli.output import STDOUT, terminal_size
from cais.cli.units import ellipsis

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LEAST_COLUMNS = 40
_USUAL_COLUMNS = 100
_LABEL_COLUMNS = 16
_INDENT = 2
_BAR_CELLS = 10
_HIGH, _FULL = 0.7, 0.9

BOLD, DIM, RED, YELLOW, GREEN = "1", "2", "31", "33", "32"


def safe(text: object) -> str:
    """A text on one line, its control characters escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


class Page:
    """Collects lines. `columns` is the width to keep to; `colored`: with the escapes of a terminal."""

    def __init__(self, columns: int, *, colored: bool) -> None:
        self._columns = max(columns, _LEAST_COLUMNS)
        self._colored = colored
        self._lines: list[str] = []
        self._steps = 0
        self.numbered = False  # whether titles are the steps of something

    def text(self) -> str:
        """All lines."""
        return "\n".join(line.rstrip() for line in self._lines)

    def paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._colored and color and text else text

    def title(self, text: str, color: str = BOLD) -> None:
        """The heading of a section, with a blank line before it."""
        if self.numbered:
            self._steps += 1
            text = f"{self._steps}. {text}"
        if self._lines:
            self._lines.append("")
        self._lines.extend(self.paint(line, color) for line in self._wrapped(safe(text), self._columns))

    def row(self, label: str, text: str, color: str = "") -> None:
        """A label, and a text that wraps beside it."""
        label = safe(label)
        room = self._columns - _INDENT - _LABEL_COLUMNS
        first, *rest = self._wrapped(safe(text), room)
        gap = " " * max(1, _LABEL_COLUMNS - len(label))
        self._lines.append(" " * _INDENT + self.paint(label, DIM) + gap + self.paint(first, color))
        margin = " " * (_INDENT + _LABEL_COLUMNS)
        self._lines.extend(margin + self.paint(line, color) for line in rest)

    def sentence(self, text: str, color: str = "") -> None:
        """A text that wraps over the whole width."""
        for line in self._wrapped(safe(text), self._columns - _INDENT):
            self._lines.append(" " * _INDENT + self.paint(line, color))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Columns, whose last is cut at the edge."""
        lines = table([[safe(cell) for cell in line] for line in rows], least_width=0).splitlines()
        for index, line in enumerate(lines):
            cut = ellipsis(line, self._columns - _INDENT)
            self._lines.append(" " * _INDENT + self.paint(cut, "" if index else DIM))

    def meter(self, label: str, used: float, limit: float, text: str) -> None:
        """A row with a bar of how much of a limit is used."""
        share = used / limit if limit else 1.0
        cells = min(_BAR_CELLS, round(share * _BAR_CELLS)) if share < 1 else _BAR_CELLS
        bar = "[" + "#" * cells + "." * (_BAR_CELLS - cells) + "]"
        color = RED if share >= _FULL else YELLOW if share >= _HIGH else ""
        self.row(label, f"{bar} {share:4.0%}  {text}", color)

    def _wrapped(self, text: str, room: int) -> list[str]:
        """The text in lines of that width; a word that is longer has a line of its own."""
        lines: list[str] = []
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if line and len(longer) > room:
                lines.append(line)
                line = word
            else:
                line = longer
        return [*lines, line]


def terminal_page() -> Page:
    """A page for standard output: as wide as the terminal is, and colored where it is one."""
    size = terminal_size(STDOUT)
    columns = os.environ.get("COLUMNS", "")
    if size is not None and size[0]:
        width = size[0]
    else:
        width = int(columns) if columns.isascii() and columns.isdigit() else _USUAL_COLUMNS
    colored = os.isatty(STDOUT) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Page(width, colored=colored)
