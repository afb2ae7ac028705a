"""What is wrong with a Dockerfile, and where."""

from collections.abc import Iterable, Sequence

from cais.errors import InvalidArgument

_AROUND = 4
_SUGGESTED_WITHIN = 3


class DockerfileError(InvalidArgument):
    """A Dockerfile that cannot be used. `message` is one line in BuildKit's words; lines are counted from 1.

    `excerpt` is empty where the error belongs to no line. `is_syntax`: what is wrong is found before any instruction
    is understood.
    """

    def __init__(self, message: str, name: str = "Dockerfile", first_line: int = 0, last_line: int = 0) -> None:
        super().__init__(message)
        self.name = name
        self.first_line = first_line
        self.last_line = max(last_line, first_line)
        self.excerpt = ""
        self.is_syntax = False

    def within(self, lines: Sequence[str]) -> "DockerfileError":
        """The same error with an excerpt of the file that it is about."""
        self.excerpt = excerpt(self.name, lines, self.first_line, self.last_line)
        return self

    @property
    def detailed(self) -> str:
        """The excerpt, where there is one, and the message below it."""
        return f"{self.excerpt}{self.message}" if self.excerpt else self.message


class WordError(ValueError):
    """A word, flag or mount that cannot be read: the reason alone, for who knows the line."""


class LineError(WordError):
    """A line whose words cannot even be told apart."""


def excerpt(name: str, lines: Sequence[str], first: int, last: int) -> str:
    """The lines from first to last and four around them, marked as BuildKit marks them, each with its newline."""
    if not 1 <= first <= len(lines):
        return ""
    start, end, around = first, last, 0
    while around < _AROUND and (start > 1 or end < len(lines)):
        around += (start > 1) + (end < len(lines))
        start, end = max(start - 1, 1), min(end + 1, len(lines))
    rule = "-" * 20
    shown = [f"{name}:{first}", rule]
    for number in range(start, end + 1):
        mark = ">>>" if first <= number <= last else "   "
        shown.append(f"{number:4d} | {mark} {lines[number - 1]}".rstrip())
    return "".join(f"{line}\n" for line in [*shown, rule])


def with_suggestion(message: str, word: str, known: Iterable[str], *, upper: bool = False) -> str:
    """The message, and what the word was perhaps meant to be, when something known is fewer than three letters away."""
    nearest, best = "", _SUGGESTED_WITHIN
    for candidate in known:
        away = _distance(word.lower(), candidate.lower())
        if away == 0:
            return message
        if away < best:
            nearest, best = candidate, away
    if not nearest:
        return message
    if upper:
        nearest = nearest.lower() if word == word.lower() else nearest.upper()
    return f"{message} (did you mean {nearest}?)"


def _distance(one: str, other: str) -> int:
    """How many letters to insert, drop, change or swap with a neighbour; no exact number where it is a large one."""
    if abs(len(one) - len(other)) >= _SUGGESTED_WITHIN:
        return _SUGGESTED_WITHIN
    rows = [list(range(len(other) + 1))]
    for at, letter in enumerate(one, 1):
        above, row = rows[-1], [at]
        for index, wanted in enumerate(other, 1):
            cost = min(above[index] + 1, row[-1] + 1, above[index - 1] + (letter != wanted))
            if at > 1 and index > 1 and one[at - 2 : at] == other[index - 2 : index][::-1]:
                cost = min(cost, rows[-2][index - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
