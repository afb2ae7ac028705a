"""Words of a Dockerfile: quotes, escapes and variables, as BuildKit's lexer takes them.

    $NAME  ${NAME}
    ${NAME-word}   ${NAME:-word}     word, where NAME is unset (with ":" also where it is empty)
    ${NAME+word}   ${NAME:+word}     word, where NAME is set, else nothing
    ${NAME?word}   ${NAME:?word}     an error with that text, where NAME is unset
    ${NAME#pat}  ${NAME##pat}  ${NAME%pat}  ${NAME%%pat}      without the shortest or longest prefix or suffix
    ${NAME/pat/word}  ${NAME//pat/word}                       the first, or every, match replaced

Words may hold variables themselves. In a pattern, `*` and `?` are wild and a backslash escapes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cais.build.errors import WordError
from cais.gotext import go_quote

_BROAD_SPACES: Final = "".join(map(chr, range(0x2000, 0x200B)))
SPACES: Final = f"\t\n\v\f\r \x85\xa0\u1680{_BROAD_SPACES}\u2028\u2029\u202f\u205f\u3000"  # what Go calls spaces
_SPECIAL: Final = "@*#?-$!0"
_DEEPEST: Final = 64  # substitutions inside substitutions: more than anybody writes, and no trouble for the stack


@dataclass(frozen=True, slots=True)
class Rules:
    """How words are read. Quotes and escapes may be left in the result; `unset_stays` leaves what names no variable."""

    escape: str = "\\"
    raw_quotes: bool = False
    raw_escapes: bool = False
    ignores_quotes: bool = False
    unset_stays: bool = False


@dataclass(frozen=True, slots=True)
class Expanded:
    """A text after expansion: as one, split at its unquoted spaces, and the variables that were and were not found."""

    text: str
    words: tuple[str, ...]
    found: frozenset[str]
    missing: frozenset[str]


def expand(text: str, variables: Mapping[str, str], rules: Rules = Rules()) -> Expanded:
    """Raises: WordError, in BuildKit's words."""
    reader = _Reader(text, variables, rules)
    try:
        whole, words = reader.until("", raw_escapes=rules.raw_escapes)
    except WordError as error:
        raise WordError(f"failed to process {go_quote(text)}: {error}") from None
    return Expanded(whole, tuple(words), frozenset(reader.found), frozenset(reader.missing))


@dataclass(slots=True)
class _Collected:
    """What was read so far: as one text, and split at spaces that are neither quoted nor escaped."""

    text: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    word: list[str] = field(default_factory=list)

    def add(self, text: str, *, splits: bool) -> None:
        self.text.append(text)
        if not splits:
            self.word.append(text)
            return
        for letter in text:
            if letter in SPACES:
                self._end_word()
            else:
                self.word.append(letter)

    def _end_word(self) -> None:
        if word := "".join(self.word):
            self.words.append(word)
        self.word.clear()

    def done(self) -> tuple[str, list[str]]:
        self._end_word()
        return "".join(self.text), self.words


class _Reader:
    """Reads one text from its beginning to its end."""

    def __init__(self, text: str, variables: Mapping[str, str], rules: Rules) -> None:
        self._text = text
        self._at = 0
        self._variables = variables
        self._rules = rules
        self._depth = 0
        self._raw_escapes = rules.raw_escapes
        self.found: set[str] = set()
        self.missing: set[str] = set()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        letter = self._peek()
        self._at += 1
        return letter

    @property
    def _ended(self) -> bool:
        return self._at >= len(self._text)

    def until(self, stop: str, *, raw_escapes: bool) -> tuple[str, list[str]]:
        """Read up to a letter, which is passed, or to the end where it is empty."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise WordError("too many substitutions inside each other")
        before, self._raw_escapes = self._raw_escapes, raw_escapes
        try:
            return self._until(stop)
        finally:
            self._raw_escapes = before
            self._depth -= 1

    def _until(self, stop: str) -> tuple[str, list[str]]:
        collected = _Collected()
        special: dict[str, Callable[[], str]] = {"$": self._dollar}
        if not self._rules.ignores_quotes:
            special |= {"'": self._single_quoted, '"': self._double_quoted}
        while not self._ended:
            letter = self._peek()
            if stop and letter == stop:
                self._at += 1
                return collected.done()
            if letter in special:
                collected.add(special[letter](), splits=letter == "$")
                continue
            self._at += 1
            if letter != self._rules.escape:
                collected.add(letter, splits=True)
                continue
            if self._raw_escapes:
                collected.add(letter, splits=False)
            collected.add(self._next(), splits=False)
        if stop:
            raise WordError(f"unexpected end of statement while looking for matching {stop}")
        return collected.done()

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            self._at = len(self._text)
            raise WordError("unexpected end of statement while looking for matching single-quote")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{inner}'" if self._rules.raw_quotes else inner

    def _double_quoted(self) -> str:
        self._at += 1
        mark = '"' if self._rules.raw_quotes else ""
        result = [mark]
        while not self._ended:
            letter = self._peek()
            if letter == "$":
                result.append(self._dollar())
                continue
            self._at += 1
            if letter == '"':
                return "".join([*result, mark])
            if letter == self._rules.escape:
                if self._raw_escapes:
                    result.append(letter)
                if self._ended:
                    break
                if self._peek() in ('"', "$", self._rules.escape):
                    letter = self._next()
                elif self._raw_escapes:
                    continue
            result.append(letter)
        raise WordError("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            if value is None:
                return f"${name}" if self._rules.unset_stays else ""
            return value
        self._at += 1
        if self._ended:
            raise WordError("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise WordError("syntax error: bad substitution")
        return self._substitution(self._name())

    def _substitution(self, name: str) -> str:
        """What follows the name in ${NAME…}, and what comes of it."""
        operator = self._next()
        if operator == "}":
            value = self._value(name)
            return value if value is not None else f"${{{name}}}" if self._rules.unset_stays else ""
        if operator == "/":
            return self._replacement(name)
        colon = operator == ":"
        if colon:
            operator = self._next()
        shown = f":{operator}" if colon else operator
        if not operator:
            raise WordError("syntax error: missing '}'")
        if operator not in "+-?#%":
            raise WordError(f"unsupported modifier ({shown}) in substitution")
        word = self._inner("}", raw_escapes=operator in "#%")
        value = self._value(name)
        if value is None and self._rules.unset_stays:
            return f"${{{name}{shown}{word}}}"
        if operator in "#%":
            return _trimmed(value or "", operator, word)
        return _alternative(name, value, operator, word, empty_counts=not colon)

    def _replacement(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._at += everywhere
        pattern = self._inner("/", raw_escapes=True)
        replacement = self._inner("}", raw_escapes=True)
        value = self._value(name)
        if value is None and self._rules.unset_stays:
            return f"${{{name}/{pattern}/{replacement}}}"
        return _replaced(value or "", pattern, replacement, everywhere=everywhere)

    def _inner(self, stop: str, *, raw_escapes: bool) -> str:
        try:
            return self.until(stop, raw_escapes=raw_escapes)[0]
        except WordError:
            if not self._ended:
                raise
            where = " in ${}" if stop == "/" else ""
            raise WordError(f"syntax error: missing '{stop}'{where}") from None

    def _name(self) -> str:
        first = self._peek()
        if first.isdigit():
            return self._take(str.isdigit)
        if first and first in _SPECIAL:
            return self._next()
        return self._take(lambda letter: letter.isalnum() or letter == "_")

    def _take(self, belongs: Callable[[str], bool]) -> str:
        start = self._at
        while not self._ended and belongs(self._peek()):
            self._at += 1
        return self._text[start : self._at]

    def _value(self, name: str) -> str | None:
        value = self._variables.get(name)
        (self.missing if value is None else self.found).add(name)
        return value


def _alternative(name: str, value: str | None, operator: str, word: str, *, empty_counts: bool) -> str:
    """`-`, `+` and `?`. An empty value counts as one only without the colon."""
    present = value is not None and (empty_counts or value != "")
    if operator == "+":
        return word if present else ""
    if present:
        return value or ""
    if operator == "-":
        return word
    reason = "is not allowed to be unset" if value is None else "is not allowed to be empty"
    raise WordError(f"{name}: {word or reason}")


def _trimmed(value: str, operator: str, pattern: str) -> str:
    """A value without a prefix (#) or suffix (%); a doubled operator takes the longest."""
    longest = pattern.startswith(operator)
    tokens = _tokens(pattern[1:] if longest else pattern)
    if operator == "#":
        found = _regular(tokens, longest=longest).match(value)
        return value[found.end() :] if found else value
    found = _regular(tokens[::-1], longest=longest).match(value[::-1])
    return value[: len(value) - found.end()] if found else value


def _replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    last = -1

    def replace(found: re.Match[str]) -> str:
        nonlocal last
        if found.start() == found.end() == last:  # nothing, just behind what was replaced, is no match of its own
            return ""
        last = found.end()
        return replacement

    return _regular(_tokens(pattern), longest=True).sub(replace, value, count=0 if everywhere else 1)


_STAR: Final = ""
_ANY: Final = "."


def _tokens(pattern: str) -> list[str]:
    """A shell's pattern in pieces: _STAR, _ANY, or one literal letter as a regular expression.

    Raises: WordError for an escape of what needs none.
    """
    tokens: list[str] = []
    letters = iter(pattern)
    for letter in letters:
        if letter == "\\":
            escaped = next(letters, "")
            if not escaped or escaped not in "}/*?\\":
                raise WordError(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
            tokens.append(re.escape(escaped))
        else:
            tokens.append({"*": _STAR, "?": _ANY}.get(letter, re.escape(letter)))
    return tokens


def _regular(tokens: list[str], *, longest: bool) -> re.Pattern[str]:
    """A pattern that takes no longer than its length times that of the text.

    What stands between two stars may as well match where it first can (an atomic group); only the last star decides
    about the length.
    """
    segments = [""]
    for token in tokens:
        if token == _STAR:
            segments.append("")
        else:
            segments[-1] += token
    middle = [f"(?>.*?{segment})" for segment in segments[1:-1] if segment]
    last = f"{'.*' if longest else '.*?'}{segments[-1]}" if len(segments) > 1 else ""
    return re.compile("".join([segments[0], *middle, last]), re.DOTALL)
