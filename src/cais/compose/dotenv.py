"""Files of environment variables (.env, env_file), as Docker Compose reads them.

    NAME=value   NAME: value   export NAME=value   NAME (taken from outside)   # a comment

'...' is taken as it is. "..." may go over several lines, and knows \\n, \\r, \\t, \\", \\\\ and \\$. Outside of single
quotes variables are replaced, by what was set outside or earlier in the file.
"""

from __future__ import annotations

import os
import re

from cais.compose.errors import FileError
from cais.compose.interpolate import InvalidTemplate, MissingVariable, substitute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = re.compile(r"\\([nrtabfv\\\"$]|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "$": "$$"}
_NAME = re.compile(r"[\w.\-\[\]]+")


def read_file(path: str, outside: Mapping[str, str], earlier: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a file.

    What the file refers to is looked for in `outside`, in the file itself, and in what `earlier` files have said.
    Raises FileError and OSError.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        return parse(path, file.read(), outside, earlier)


def read_raw(path: str) -> dict[str, str]:
    """The variables of a file in which nothing is quoted and nothing replaced (`format: raw`)."""
    found = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file.read().splitlines():
            name, separator, value = line.partition("=")
            if separator and not line.lstrip().startswith("#"):
                found[name.strip()] = value
    return found


def parse(path: str, text: str, outside: Mapping[str, str], earlier: Mapping[str, str] | None = None) -> dict[str, str]:
    return _Parser(path, text.removeprefix("\ufeff").replace("\r\n", "\n"), outside, earlier or {}).all()


class _Parser:
    def __init__(self, path: str, text: str, outside: Mapping[str, str], earlier: Mapping[str, str]) -> None:
        self._path = path
        self._text = text
        self._outside = outside
        self._earlier = earlier
        self._at = 0
        self._found: dict[str, str] = {}

    def all(self) -> dict[str, str]:
        while self._skip():
            self._statement()
        return self._found

    def _skip(self) -> bool:
        """Go to the next statement, over space and comments; False at the end."""
        text = self._text
        while self._at < len(text):
            if text[self._at].isspace():
                self._at += 1
            elif text[self._at] == "#":
                self._at = self._line_end()
            else:
                return True
        return False

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _statement(self) -> None:
        line = self._text[self._at : self._line_end()]
        if match := re.match(r"export\s+", line):
            self._at += match.end()
            line = line[match.end() :]
        name_match = _NAME.match(line)
        rest = line[name_match.end() :].lstrip(" \t") if name_match else line
        if name_match is None or (rest and rest[0] not in "=:#"):
            raise self._error(f'unexpected character "{rest[:1]}" in variable name "{line.split("=")[0]}"')
        name = name_match.group()
        if not rest or rest[0] == "#":  # its value is the one from outside
            self._at = self._line_end()
            if name in self._outside:
                self._found[name] = self._outside[name]
            return
        self._at += line.index(rest[0], name_match.end()) + 1
        while self._text[self._at : self._at + 1] in {" ", "\t"}:
            self._at += 1
        self._found[name] = self._value()

    def _value(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote not in {"'", '"'}:
            line = self._text[self._at : self._line_end()]
            self._at = self._line_end()
            comment = re.search(r"(^|\s)#", line)
            return self._expand((line[: comment.start()] if comment else line).rstrip())
        begin, at = self._at + 1, self._at + 1
        while at < len(self._text) and self._text[at] != quote:
            at += 2 if self._text[at] == "\\" else 1
        if at >= len(self._text):
            raise self._error(f"unterminated quoted value {self._text[self._at : self._line_end()]}")
        self._at = at + 1
        content = self._text[begin:at]
        if quote == "'":
            return content
        return self._expand(_ESCAPES.sub(lambda match: _ESCAPED.get(match[1], match[1]), content))

    def _expand(self, text: str) -> str:
        try:
            return substitute(text, {**self._earlier, **self._found, **self._outside}, lambda _name: None)
        except (InvalidTemplate, MissingVariable) as error:
            if isinstance(error, InvalidTemplate):
                return text
            raise self._error(error.message) from None

    def _error(self, what: str) -> FileError:
        return FileError(self._path, self._text.count("\n", 0, self._at) + 1, what)


def describe_missing(path: str) -> str:
    """What Docker Compose says of a file that is not there."""
    return f"env file {path} not found: stat {path}: no such file or directory"


def is_file(path: str) -> bool:
    return os.path.isfile(path)
