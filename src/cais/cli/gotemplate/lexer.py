"""Cuts a template into tokens: text, and inside {{ }} the words of the language.

Blank space is a token, since `$x.Name` and `$x .Name` differ. What cannot be read ends the list with an ERROR token,
whose text is the message: the parser, which reads from the front, meets errors in the order of the text.
"""

from __future__ import annotations

from cais.cli.gotemplate.literals import as_bytes, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    Kind = Literal[
        "error", "bool", "character", "constant", "complex", "assign", "declare", "eof", "field", "identifier",
        "left", "left paren", "number", "pipe", "raw string", "right", "right paren", "space", "string", "text",
        "variable", ".", "block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template",
        "with",
    ]  # fmt: skip

_KEYWORDS: dict[str, Kind] = {
    ".": ".",
    "block": "block",
    "break": "break",
    "continue": "continue",
    "define": "define",
    "else": "else",
    "end": "end",
    "if": "if",
    "nil": "nil",
    "range": "range",
    "template": "template",
    "with": "with",
}
_SINGLE: dict[str, Kind] = {"=": "assign", "|": "pipe"}
_SPACE = " \t\r\n"
_TERMINATORS = frozenset(_SPACE + ".,|:)(")
_DECIMAL = "0123456789_"
_HEXADECIMAL = "0123456789abcdefABCDEF_"
_BASES = {"x": _HEXADECIMAL, "X": _HEXADECIMAL, "o": "01234567_", "O": "01234567_", "b": "01_", "B": "01_"}
_EXPONENTS = {_DECIMAL: "eE", _HEXADECIMAL: "pP"}


class Token:
    """A piece of a template: `at` is the index of its first character, `line` counts from 1."""

    __slots__ = ("at", "kind", "line", "text")

    def __init__(self, kind: Kind, text: str, at: int, line: int) -> None:
        self.kind = kind
        self.text = text
        self.at = at
        self.line = line

    def __str__(self) -> str:
        """As it is shown in messages."""
        if self.kind == "eof":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in _KEYWORDS:
            return f"<{self.text}>"
        return f"{quote(self.text[:10])}..." if len(as_bytes(self.text)) > 10 else quote(self.text)


def tokens(text: str) -> list[Token]:
    """All tokens of a template; the last one is EOF or ERROR."""
    return list(_Lexer(text).run())


class _BadInputError(Exception):
    """The message of the error token."""


def _is_alphanumeric(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()


def _shown(character: str) -> str:
    """A character as Go's %#U shows it: U+0021 '!'."""
    if not character:
        return "U+FFFFFFFFFFFFFFFF"
    code = 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
    return f"U+{code:04X} '{chr(code)}'" if chr(code).isprintable() else f"U+{code:04X}"


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.start = 0  # of the token that is being read
        self.at = 0
        self.parens = 0
        self._line = 1
        self._counted = 0  # where the count of lines has got to

    def run(self) -> Iterator[Token]:
        try:
            while True:
                opening = self.text.find("{{", self.at)
                if opening < 0:
                    self.at = len(self.text)
                    if self.at > self.start:
                        yield self._token("text")
                    yield self._token("eof")
                    return
                yield from self._text_before(opening)
                yield from self._action()
        except _BadInputError as bad:
            yield Token("error", str(bad), self.start, self._line_of_start())

    def _line_of_start(self) -> int:
        self._line += self.text.count("\n", self._counted, self.start)
        self._counted = self.start
        return self._line

    def _token(self, kind: Kind) -> Token:
        token = Token(kind, self.text[self.start : self.at], self.start, self._line_of_start())
        self.start = self.at
        return token

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _trims_before(self, inside: int) -> bool:
        """Whether `- ` follows an opening delimiter that ends at `inside`."""
        return self.text[inside : inside + 1] == "-" and self.text[inside + 1 : inside + 2] in tuple(_SPACE)

    def _trims_after(self, at: int) -> bool:
        """Whether ` -}}` stands at a place."""
        return self.text[at : at + 1] in tuple(_SPACE) and self.text.startswith("-}}", at + 1)

    def _text_before(self, opening: int) -> Iterator[Token]:
        text = self.text[self.start : opening]
        if self._trims_before(opening + 2):
            text = text.rstrip(_SPACE)
        self.at = self.start + len(text)
        if text:
            yield self._token("text")
        self.start = self.at = opening

    def _action(self) -> Iterator[Token]:
        self.at += 2
        marker = 2 if self._trims_before(self.at) else 0
        if self.text.startswith("/*", self.at + marker):
            self.at += marker
            self.start = self.at
            self._comment()
            return
        yield self._token("left")
        self.at += marker
        self.start = self.at
        self.parens = 0
        while not self._at_end():
            yield self._inside()
        trims = self._trims_after(self.at)
        if trims:
            self.at += 2
            self.start = self.at
        self.at += 2
        yield self._token("right")
        if trims:
            self._skip_space()

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in _SPACE:
            self.at += 1
        self.start = self.at

    def _comment(self) -> None:
        closing = self.text.find("*/", self.at + 2)
        if closing < 0:
            raise _BadInputError("unclosed comment")
        self.at = closing + 2
        trims = self._trims_after(self.at)
        if not trims and not self.text.startswith("}}", self.at):
            raise _BadInputError("comment ends before closing delimiter")
        self.at += 4 if trims else 2
        self.start = self.at
        if trims:
            self._skip_space()

    def _at_end(self) -> bool:
        """Whether the action ends here."""
        if not self.text.startswith("}}", self.at) and not self._trims_after(self.at):
            return False
        if self.parens:
            raise _BadInputError("unclosed left paren")
        return True

    def _inside(self) -> Token:
        character = self._peek()
        read = _READERS.get(character)
        if read is not None:
            return read(self)
        if _is_alphanumeric(character):
            return self._identifier()
        self.at += 1
        if character.isascii() and character.isprintable():
            return self._token("character")
        raise _BadInputError(f"unrecognized character in action: {_shown(character)}")

    def _unclosed(self) -> Token:
        raise _BadInputError("unclosed action")

    def _single(self) -> Token:
        self.at += 1
        return self._token(_SINGLE[self.text[self.start]])

    def _declare(self) -> Token:
        self.at += 2
        if self.text[self.at - 1 : self.at] != "=":
            raise _BadInputError("expected :=")
        return self._token("declare")

    def _dot(self) -> Token:
        following = self.text[self.at + 1 : self.at + 2]
        if not following or following in "0123456789":
            return self._number()
        return self._name("field")

    def _dollar(self) -> Token:
        return self._name("variable")

    def _paren(self) -> Token:
        character = self._peek()
        self.at += 1
        self.parens += 1 if character == "(" else -1
        if self.parens < 0:
            raise _BadInputError("unexpected right paren")
        return self._token("left paren" if character == "(" else "right paren")

    def _space(self) -> Token:
        while self._peek() and self._peek() in _SPACE and not self._trims_after(self.at):
            self.at += 1
        return self._token("space")

    def _identifier(self) -> Token:
        self._run_of_letters()
        word = self.text[self.start : self.at]
        if word in _KEYWORDS:
            return self._token(_KEYWORDS[word])
        return self._token("bool" if word in {"true", "false"} else "identifier")

    def _name(self, kind: Kind) -> Token:
        """A field or a variable, or the dot or the dollar alone."""
        self.at += 1
        if self._at_terminator():
            return self._token("variable" if kind == "variable" else ".")
        self._run_of_letters()
        return self._token(kind)

    def _run_of_letters(self) -> None:
        while self._peek() and _is_alphanumeric(self._peek()):
            self.at += 1
        if not self._at_terminator():
            raise _BadInputError(f"bad character {_shown(self._peek())}")

    def _at_terminator(self) -> bool:
        """Whether a name may end here."""
        character = self._peek()
        return not character or character in _TERMINATORS or self.text.startswith("}}", self.at)

    def _quoted(self, mark: str, kind: Kind, what: str) -> Token:
        self.at += 1
        while True:
            character = self._peek()
            self.at += 1
            if character == "\\":
                character = self._peek()
                self.at += 1
                if character and character != "\n":
                    continue
            if not character or character == "\n":
                raise _BadInputError(f"unterminated {what}")
            if character == mark:
                return self._token(kind)

    def _string(self) -> Token:
        return self._quoted('"', "string", "quoted string")

    def _character_constant(self) -> Token:
        return self._quoted("'", "constant", "character constant")

    def _raw_string(self) -> Token:
        closing = self.text.find("`", self.at + 1)
        if closing < 0:
            raise _BadInputError("unterminated raw quoted string")
        self.at = closing + 1
        return self._token("raw string")

    def _number(self) -> Token:
        """A number, loosely: whether it is one is seen when it is read."""
        fits = self._scan_number()
        is_complex = fits and self._peek() != "" and self._peek() in "+-"
        if is_complex:
            fits = self._scan_number() and self.text[self.at - 1] == "i"
        if not fits:
            raise _BadInputError(f"bad number syntax: {quote(self.text[self.start : self.at])}")
        return self._token("complex" if is_complex else "number")

    def _accept(self, characters: str) -> bool:
        found = self._peek() != "" and self._peek() in characters
        self.at += found
        return found

    def _accept_run(self, characters: str) -> None:
        while self._accept(characters):
            pass

    def _scan_number(self) -> bool:
        self._accept("+-")
        digits = _DECIMAL
        if self._accept("0") and self._peek() in _BASES:
            digits = _BASES[self._peek()]
            self.at += 1
        self._accept_run(digits)
        if self._accept("."):
            self._accept_run(digits)
        if digits in _EXPONENTS and self._accept(_EXPONENTS[digits]):
            self._accept("+-")
            self._accept_run(_DECIMAL)
        self._accept("i")
        if self._peek() and _is_alphanumeric(self._peek()):
            self.at += 1
            return False
        return True


_READERS: dict[str, Callable[[_Lexer], Token]] = {
    "": _Lexer._unclosed,
    '"': _Lexer._string,
    "'": _Lexer._character_constant,
    "`": _Lexer._raw_string,
    "=": _Lexer._single,
    "|": _Lexer._single,
    ":": _Lexer._declare,
    "$": _Lexer._dollar,
    ".": _Lexer._dot,
    **dict.fromkeys(_SPACE, _Lexer._space),
    **dict.fromkeys("()", _Lexer._paren),
    **dict.fromkeys("+-0123456789", _Lexer._number),
}
"""What reads the token that begins with a character."""
