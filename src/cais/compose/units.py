"""Amounts in a Compose file: bytes and durations, read and written as Docker Compose does."""

from __future__ import annotations

import re

_BYTES = re.compile(r"(\d+(?:\.\d+)?) ?([kKmMgGtTpP])?([iI]?[bB])?$")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9,
    "w": 7 * 24 * 3600 * 10**9,
}


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
    bare = text.removeprefix("-").removeprefix("+")
    if bare == "0":
        return 0
    total, at = 0.0, 0
    while at < len(bare):
        match = _DURATION.match(bare, at)
        if match is None:
            raise ValueError(f'time: invalid duration "{text}"')
        total += float(match[1]) * _NANOSECONDS[match[2]]
        at = match.end()
    if not bare:
        raise ValueError(f'time: invalid duration "{text}"')
    return -round(total) if text.startswith("-") else round(total)


def duration_text(count: int) -> str:
    """Nanoseconds as Go writes them: 1m30s, 1.5s, 250ms."""
    if not count:
        return "0s"
    sign, count = ("-", -count) if count < 0 else ("", count)
    if count < 10**9:
        for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
            if count < size * 1000:
                return f"{sign}{_decimal(count, size)}{unit}"
    minutes, rest = divmod(count, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else sign + text


def _decimal(count: int, size: int) -> str:
    whole, rest = divmod(count, size)
    if not rest:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


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
