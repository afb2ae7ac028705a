"""Durations in a Dockerfile: "1m30s", "500ms", "1.5h"."""

from typing import Final

from cais import gotext
from cais.build.errors import WordError
from cais.gotext import go_quote

_LONGEST: Final = 2**63 - 1
_MOST_LETTERS: Final = 100


def parse_duration(text: str) -> int:
    """Nanoseconds, which may be negative. Raises: WordError in Go's words."""
    invalid = WordError(f"time: invalid duration {go_quote(text)}")
    if len(text) - text.startswith(("+", "-")) > _MOST_LETTERS:
        raise invalid
    try:
        found = gotext.parse_duration(text)
    except ValueError as error:
        raise WordError(str(error)) from None
    if abs(found) > _LONGEST:
        raise invalid
    return found
