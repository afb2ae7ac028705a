"""Amounts in a Compose file: bytes and durations, read and written as Docker Compose does."""

from __future__ import annotations

import re

from cais.gotext import NANOSECONDS, parse_duration

_BYTES = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP])?([iI]?[bB])?$")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_NANOSECONDS = NANOSECONDS | {"d": 24 * NANOSECONDS["h"], "w": 7 * 24 * NANOSECONDS["h"]}


def byte_count(value: object) -> int:
    """50M, 1.5gb, 1024: binary multiples. Raises ValueError."""
    if isinstance(value, int | float):
        return int(value)
    text = str(value).strip()
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    match = _BYTES.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid size: {text!r}")
    return int(float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()])


def nanoseconds(text: str) -> int:
    """1m30s, 500ms, 1.5h, 2d. Raises ValueError."""
    try:
        return parse_duration(text, _NANOSECONDS)
    except ValueError:
        raise ValueError(f'time: invalid duration "{text}"') from None


def number_text(value: object) -> str:
    """A scalar of a Compose file as text, in Go's form: true, 3, 1.5, 1e+21."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        return repr(value)
    return str(value)


def boolean(value: object) -> bool:
    """Raises ValueError."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in {"y", "yes", "true", "on", "1", "t"}:
        return True
    if word in {"n", "no", "false", "off", "0", "f"}:
        return False
    raise ValueError(f"invalid boolean: {value}")
