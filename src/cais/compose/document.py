"""A Compose file as it has been read: its values, the line that each stands in, and the tags !reset and !override."""

from __future__ import annotations

from cais.client.codec import loads
from cais.compose.errors import FileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Tree = dict[str, Any]
    """A mapping as it came from YAML or JSON: text keys, and texts, numbers, booleans, None, lists and Trees."""
    Path = tuple[str | int, ...]


class Document:
    """One YAML document."""

    __slots__ = ("_data", "_lines", "file", "overrides", "resets")

    def __init__(self, file: str, data: Tree | str, lines: str = "") -> None:
        """As texts, data and lines are JSON, which is read when it is asked for; the lines as [[line, *path], …]."""
        self.file = file
        self._data = data
        self._lines: dict[Path, int] | str = lines or {}
        self.resets: list[Path] = []  # what the tag !reset takes away from files before this one
        self.overrides: list[Path] = []  # what the tag !override puts in the place of what was there

    @property
    def data(self) -> Tree:
        if isinstance(self._data, str):
            self._data = loads(self._data)
        return self._data  # type: ignore[return-value]

    @property
    def lines(self) -> dict[Path, int]:
        """Where a value or, for a mapping's value, its key stands, counted from 1."""
        if isinstance(self._lines, str):
            self._lines = {tuple(path): line for line, *path in loads(self._lines)}
        return self._lines

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest one around it."""
        for length in range(len(path), 0, -1):
            if line := self.lines.get(path[:length]):
                return line
        return self.lines.get((), 0)

    def error(self, path: Path, what: str) -> FileError:
        return FileError(self.file, self.line(path), what)


def dotted(path: Path) -> str:
    """A path as it is said in messages: services.web.ports[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def copied(value: Any) -> Any:
    """A copy that shares nothing that can be changed."""
    if isinstance(value, dict):
        return type(value)((key, copied(item)) for key, item in value.items())
    return [copied(item) for item in value] if isinstance(value, list) else value
