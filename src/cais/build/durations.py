"""Durations as Go writes them: "1m30s", "500ms", "1.5h"."""

import re
from fractions import Fraction
from typing import Final

from cais.build.errors import WordError
from cais.build.words import quoted

_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zµμ]*)")
_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LONGEST: Final = 2**63 - 1
_MOST_LETTERS: Final = 100


def parse_duration(text: str) -> int:
    """Nanoseconds, which may be negative. Raises: WordError in Go's words."""
    rest = text.lstrip("+-") if text[:1] in ("+", "-") and text[1:2] not in ("+", "-") else text
    if rest == "0":
        return 0
    total = Fraction(0)
    at = 0
    while at < len(rest) <= _MOST_LETTERS:
        found = _PART.match(rest, at)
        if not found:
            raise WordError(f"time: invalid duration {quoted(text)}")
        if not found[2]:
            raise WordError(f"time: missing unit in duration {quoted(text)}")
        if found[2] not in _NANOSECONDS:
            raise WordError(f"time: unknown unit {quoted(found[2])} in duration {quoted(text)}")
        total += Fraction(found[1].rstrip(".") or "0") * _NANOSECONDS[found[2]]
        at = found.end()
    if not 0 < at <= _MOST_LETTERS or total > _LONGEST:
        raise WordError(f"time: invalid duration {quoted(text)}")
    return -int(total) if text.startswith("-") else int(total)
