"""What the text functions of templates do, in Go's understanding of letters and bytes."""

from __future__ import annotations

from cais.cli.gotemplate.errors import CallError
from cais.cli.gotemplate.literals import as_bytes, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_HTML = str.maketrans({'"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;", "\0": "\ufffd"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"'}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_LONGEST = 1 << 28  # bytes that `pad` makes


def upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(_one(character, str.upper) for character in text)


def lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(_one(character, str.lower) for character in text)


def title(text: str) -> str:
    """The first letter of every word large."""
    parts = []
    before = " "
    for character in text:
        parts.append(_one(character, str.title) if _separates(before) else character)
        before = character
    return "".join(parts)


def _one(character: str, change: Callable[[str], str]) -> str:
    """The change of one letter into one letter; Go knows no others."""
    changed = change(character)
    if len(changed) == 1:
        return changed
    return "i" if character == "İ" and change is str.lower else character


def _separates(character: str) -> bool:
    if character.isascii():
        return not (character.isalnum() or character == "_")
    return not (character.isalpha() or character.isdecimal()) and character.isspace()


def split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def pad(text: str, before: int, after: int) -> str:
    """`text` with blanks around it, unless it is empty."""
    if not text:
        return text
    if before < 0 or after < 0:
        raise CallError("strings: negative Repeat count")
    if before + after > _LONGEST:
        raise CallError("strings: Repeat output length overflow")
    return " " * before + text + " " * after


def truncate(text: str, size: int) -> str:
    """At most so many bytes of a text."""
    data = as_bytes(text)
    if len(data) < size:
        return text
    if size < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{size}]")
    return as_text(data[:size])


def for_html(text: str) -> str:
    return text.translate(_HTML)


def for_javascript(text: str) -> str:
    return "".join(map(_js_character, text))


def _js_character(character: str) -> str:
    if character in _JS:
        return _JS[character]
    if character.isascii() and character >= " " and character not in "<>&=":
        return character
    if not character.isascii() and character.isprintable():
        return character
    code = 0xFFFD if "\ud800" <= character <= "\udfff" else ord(character)
    return f"\\u{code:04X}"


def for_query(text: str) -> str:
    """As a value in the query of a URL."""
    return "".join(
        chr(byte) if byte in _UNRESERVED else "+" if byte == 0x20 else f"%{byte:02X}" for byte in as_bytes(text)
    )
