"""The forms that the arguments of an instruction have: an array, words, or names with values."""

import json
import re
from typing import Final

from cais.build.errors import LineError, WordError
from cais.build.words import SPACES
from cais.gotext import go_quote

BLANKS: Final = re.compile(r"[\t\v\f\r ]+")


def strings_of_array(text: str) -> tuple[str, ...] | None:
    """The strings of ["a", "b"], None for what is no array. Raises: WordError where something in it is no string."""
    text = text.lstrip(SPACES)
    if not text.startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in value):
        raise LineError("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(_whole(item) for item in value)


def is_array(text: str) -> bool:
    """Whether a text has the form of ["a", "b"]."""
    try:
        return strings_of_array(text) is not None
    except WordError:
        return False


def _whole(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can say and no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def blank_separated(text: str) -> tuple[str, ...]:
    """The words between blanks; quotes mean nothing."""
    return tuple(BLANKS.split(text)) if text else ()


def array_or_words(text: str) -> tuple[str, ...]:
    """The strings of an array, or the words between blanks. Raises: WordError."""
    strings = strings_of_array(text)
    return blank_separated(text) if strings is None else strings


def words(text: str, escape: str) -> list[str]:
    """The words of a text, with their quotes and escapes; quoted or escaped spaces end none."""
    found: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if not quote and letter in SPACES:
            if word:
                found.append("".join(word))
                word.clear()
            continue
        if letter == escape and quote != "'":
            if at == len(text):
                break  # it escapes nothing
            word.append(letter)
            letter = text[at]
            at += 1
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        word.append(letter)
    if word:
        found.append("".join(word))
    return found


def names_and_values(text: str, instruction: str, escape: str) -> tuple[list[tuple[str, str]], bool]:
    """NAME=VALUE …, or the old form NAME VALUE, and whether it was the old one. Values keep their quotes.

    Raises: WordError in BuildKit's words.
    """
    found = words(text, escape)
    if not found:
        raise WordError(f"{instruction} requires at least one argument")
    if "=" not in found[0]:
        name, *value = BLANKS.split(text, maxsplit=1)
        if not value:
            raise LineError(f"{instruction} must have two arguments")
        return [(name, value[0])], True
    pairs: list[tuple[str, str]] = []
    for word in found:
        name, equals, value_text = word.partition("=")
        if not equals:
            raise LineError(f"Syntax error - can't find = in {go_quote(word)}. Must be of the form: name=value")
        if not name:
            raise WordError(f"{instruction} names can not be blank")
        pairs.append((name, value_text))
    return pairs, False
