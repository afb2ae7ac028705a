"""The literals of Go: strings, characters and numbers (Go specification, "Lexical elements"; package strconv).

Text is held in `str`. A byte that is not UTF-8 is a lone surrogate, as in Python's file names ("surrogateescape"),
so that what Go says of bytes can be had by encoding.
"""

from __future__ import annotations

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}
_ESCAPED = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_HEX = frozenset("0123456789abcdefABCDEF")
_OCTAL = frozenset("01234567")
_FLOAT_STARTS = frozenset("0123456789.")
_LAST_RUNE = 0x10FFFF

INT_MIN, INT_MAX, UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


def as_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair: JSON may have one
        return text.encode("utf-8", "surrogatepass")


def as_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def quote(text: str, mark: str = '"', *, ascii_only: bool = False) -> str:
    """`text` as a Go literal between `mark`s: double quotes for a string, single ones for a character."""
    parts = [mark]
    for character in text:
        if character == mark:
            parts.append("\\" + mark)
        elif character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif character.isprintable() and (character.isascii() or not ascii_only):
            parts.append(character)
        else:
            parts.append(_escaped(ord(character)))
    parts.append(mark)
    return "".join(parts)


def _escaped(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unquote(literal: str) -> str | None:
    """The text that a quoted or a raw string literal stands for, or None where it is no valid literal."""
    mark, inner = literal[:1], literal[1:-1]
    if len(literal) < 2 or literal[-1] != mark or mark not in {'"', "`"}:
        return None
    if mark == "`":
        return inner.replace("\r", "")
    if "\\" not in inner:
        return inner
    data = bytearray()
    at = 0
    while at < len(inner):
        read = _character(inner, at, mark)
        if read is None:
            return None
        code, is_byte, at = read
        data += bytes([code]) if is_byte else as_bytes(chr(code))
    return as_text(bytes(data))


def unquote_character(literal: str) -> int | None:
    """The number of the character in a literal such as 'x' or '\\n'; ValueError where more than one is in it."""
    read = _character(literal, 1, "'")
    if read is None:
        return None
    code, _, at = read
    if literal[at:] != "'":
        raise ValueError(f"malformed character constant: {literal}")
    return code


def _character(text: str, at: int, mark: str) -> tuple[int, bool, int] | None:
    """The character or escape at a place: its number, whether it is a bare byte, and where the next one begins."""
    first = text[at : at + 1]
    if first in {"", mark}:
        return None
    if first != "\\":
        return ord(first), False, at + 1
    letter = text[at + 1 : at + 2]
    if letter in _ESCAPED:
        return _ESCAPED[letter], False, at + 2
    if letter in _DIGITS:
        return _numbered(text[at + 2 : at + 2 + _DIGITS[letter]], letter, at + 2 + _DIGITS[letter])
    digits = text[at + 1 : at + 4]
    if len(digits) == 3 and _OCTAL.issuperset(digits) and int(digits, 8) <= 255:
        return int(digits, 8), True, at + 4
    return (ord(letter), False, at + 2) if letter and letter == mark else None


def _numbered(digits: str, letter: str, end: int) -> tuple[int, bool, int] | None:
    if len(digits) != _DIGITS[letter] or not _HEX.issuperset(digits):
        return None
    code = int(digits, 16)
    if letter == "x":
        return code, True, end
    return None if code > _LAST_RUNE or 0xD800 <= code < 0xE000 else (code, False, end)


class Number:
    """A number as it is written. It has no type yet: what it can be is not None."""

    __slots__ = ("as_complex", "as_float", "as_int", "as_uint", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.as_int: int | None = None
        self.as_uint: int | None = None
        self.as_float: float | None = None
        self.as_complex: complex | None = None

    def take_integer(self, value: int) -> None:
        if INT_MIN <= value <= INT_MAX:
            self.as_int = value
        if 0 <= value <= UINT_MAX:
            self.as_uint = value
        self.as_float = float(value)

    def take_float(self, value: float) -> None:
        self.as_float = value
        if value.is_integer() and INT_MIN <= value <= UINT_MAX:
            self.take_integer(int(value))

    def take_complex(self, value: complex) -> None:
        self.as_complex = value
        if value.imag == 0:
            self.take_float(value.real)


def parse_number(text: str, *, is_complex: bool = False) -> Number:
    """Read a number or a character constant. Raises ValueError with Go's words."""
    number = Number(text)
    if text.startswith("'"):
        code = unquote_character(text)
        if code is None:
            raise ValueError("invalid syntax")
        number.take_integer(code)
    elif is_complex:
        number.take_complex(_parse_complex(text))
    else:
        _parse_real(number)
    return number


def _parse_real(number: Number) -> None:
    text = number.text
    if text.endswith("i"):
        imaginary = parse_float(text[:-1])
        if imaginary is not None:
            number.take_complex(complex(0, imaginary))
            return
    integer = parse_integer(text)
    if integer is not None and INT_MIN <= integer <= UINT_MAX:
        number.take_integer(integer)
        return
    real = parse_float(text)
    if real is None:
        raise ValueError(f"illegal number syntax: {quote(text)}")
    if not any(mark in text for mark in ".eEpP"):
        raise ValueError(f"integer overflow: {quote(text)}")
    number.take_float(real)


def _parse_complex(text: str) -> complex:
    signs = (at for at, mark in enumerate(text) if at and mark in "+-" and text[at - 1] not in "eEpP")
    split = max(signs, default=0)
    real, imaginary = parse_float(text[:split]), parse_float(text[split:-1])
    if real is None or imaginary is None:
        raise ValueError("syntax error scanning complex number")
    return complex(real, imaginary)


def parse_integer(text: str) -> int | None:
    """An integer in any of Go's bases (0x 0o 0b, a leading 0 is octal), or None."""
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1 or not digits.isascii():
        return None
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567_":
        digits = f"0o{digits[1:]}"
    try:
        value = int(digits, 0)
    except ValueError:  # also of more than 4,300 digits, which fit in no integer of Go's
        return None
    return -value if text[0] == "-" else value


def parse_float(text: str) -> float | None:
    """A decimal or hexadecimal floating-point number, or None. Python's rule for underscores is Go's."""
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1 or not digits.isascii() or digits[:1] not in _FLOAT_STARTS:
        return None
    try:
        value = _hexadecimal_float(text, digits) if digits[:2] in {"0x", "0X"} else float(text)
    except (ValueError, OverflowError):
        return None
    return None if value in {float("inf"), float("-inf")} else value


def _hexadecimal_float(text: str, digits: str) -> float:
    """Python reads no underscores here, and Go insists on an exponent."""
    fits = all(
        digits[at - 1].isalnum() and digits[at + 1 : at + 2].isalnum()
        for at, character in enumerate(digits)
        if character == "_"
    )
    if not fits or not ("p" in digits or "P" in digits):
        raise ValueError(text)
    return float.fromhex(text.replace("_", ""))
