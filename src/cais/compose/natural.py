"""The order of keys in what `config` writes."""

from __future__ import annotations

import re
from functools import cmp_to_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _compare(one: str, other: str) -> int:
    """Which of two keys comes first, as the YAML library of Docker Compose sorts them: numbers by their value."""
    after_digit = False
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a == b:
            after_digit = a.isdigit()
            continue
        if a.isalpha() and b.isalpha():
            return -1 if a < b else 1
        if a.isalpha() or b.isalpha():
            first = a.isalpha() if after_digit else b.isalpha()
            return -1 if first else 1
        prefix = "1" if "0" in {a, b} and _digits_before(one, at).strip("0") else ""
        x, y = _DIGITS.match(one, at), _DIGITS.match(other, at)
        left, right = (x.group() if x else ""), (y.group() if y else "")
        numbers = int(prefix + left or "0"), int(prefix + right or "0")
        if numbers[0] != numbers[1]:
            return -1 if numbers[0] < numbers[1] else 1
        if len(left) != len(right):
            return -1 if len(left) < len(right) else 1
        return -1 if a < b else 1
    return len(one) - len(other)


_DIGITS = re.compile(r"[0-9]*")
_LAST_DIGITS = re.compile(r"[0-9]*$")


def _digits_before(text: str, at: int) -> str:
    found = _LAST_DIGITS.search(text[:at])
    return found.group() if found else ""


natural: Callable[[str], Any] = cmp_to_key(_compare)
