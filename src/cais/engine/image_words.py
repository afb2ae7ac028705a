"""Words of a Dockerfile instruction: quotes, escapes and variables, as Docker reads them.

"a b"  'a b'  a\\ b     one word
$NAME  ${NAME}  ${NAME:-word}  ${NAME:+word}     not within single quotes
"""

from collections.abc import Mapping

from cais.errors import InvalidArgument

_MAX_DEPTH = 8


def split_words(text: str) -> list[str]:
    """The words of a text, quotes and escapes still in them."""
    words: list[str] = []
    word = ""
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\" and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char.isspace():
            if word:
                words.append(word)
            word = ""
            position += 1
            continue
        word += char
        position += 1
    if word:
        words.append(word)
    return words


def expand(word: str, variables: Mapping[str, str]) -> str:
    """A word with its quotes and escapes taken away and its variables replaced. Raises: InvalidArgument."""
    return _Expansion(word, variables).run()


class _Expansion:
    def __init__(self, text: str, variables: Mapping[str, str], depth: int = 0) -> None:
        self._text = text
        self._variables = variables
        self._depth = depth
        self._position = 0
        if depth > _MAX_DEPTH:
            raise InvalidArgument("variables nested too deep")

    def run(self) -> str:
        made = ""
        while self._position < len(self._text):
            char = self._take()
            if char == "'":
                made += self._single_quoted()
            elif char == '"':
                made += self._double_quoted()
            elif char == "\\" and self._position < len(self._text):
                made += self._take()
            elif char == "$":
                made += self._variable()
            else:
                made += char
        return made

    def _take(self) -> str:
        char = self._text[self._position]
        self._position += 1
        return char

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._position)
        if end < 0:
            raise InvalidArgument("unexpected end of statement while looking for matching single-quote")
        text = self._text[self._position : end]
        self._position = end + 1
        return text

    def _double_quoted(self) -> str:
        made = ""
        while self._position < len(self._text):
            char = self._take()
            if char == '"':
                return made
            if char == "$":
                made += self._variable()
            elif char == "\\" and self._text[self._position : self._position + 1] in ('"', "$", "\\"):
                made += self._take()
            else:
                made += char
        raise InvalidArgument("unexpected end of statement while looking for matching double-quote")

    def _variable(self) -> str:
        """What follows a "$"."""
        if self._text[self._position : self._position + 1] == "{":
            return self._braced()
        name = self._name()
        return self._variables.get(name, "") if name else "$"

    def _name(self) -> str:
        start = self._position
        while self._position < len(self._text):
            char = self._text[self._position]
            if not (char.isascii() and (char.isalnum() or char == "_")):
                break
            self._position += 1
        return self._text[start : self._position]

    def _braced(self) -> str:
        start = self._position
        self._position += 1
        name = self._name()
        end = self._closing_brace()
        if not name or end < 0:
            raise InvalidArgument(f"syntax error: bad substitution: ${self._text[start:]}")
        operator, word = self._text[self._position : self._position + 2], self._text[self._position + 2 : end]
        plain = self._position == end
        self._position = end + 1
        value = self._variables.get(name, "")
        if plain:
            return value
        if operator not in (":-", ":+"):
            raise InvalidArgument(f"unsupported modifier ({operator[:2]}) in substitution")
        if (operator == ":-") == bool(value):
            return value if operator == ":-" else ""
        return _Expansion(word, self._variables, self._depth + 1).run()

    def _closing_brace(self) -> int:
        depth = 1
        position = self._position
        while position < len(self._text):
            char = self._text[position]
            if char == "\\":
                position += 1
            elif char == "{":
                depth += 1
            elif char == "}":
                depth -= 1
                if depth == 0:
                    return position
            position += 1
        return -1
