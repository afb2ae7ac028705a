"""Quantities, names and identifiers as Docker's tables show them."""

from __future__ import annotations

import time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def _scaled(size_bytes: float, base: float, units: tuple[str, ...]) -> tuple[float, str]:
    size = float(size_bytes)
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    return size, units[index]


def human_size(size_bytes: float, digits: int = 3) -> str:
    """A size in units of 1000, with so many significant digits: 1.98MB."""
    size, unit = _scaled(size_bytes, 1000.0, _DECIMAL)
    return f"{_significant(size, digits)}{unit}"


def human_binary_size(size_bytes: float) -> str:
    """A size in units of 1024, with four significant digits: 23.54GiB."""
    size, unit = _scaled(size_bytes, 1024.0, _BINARY)
    return f"{_significant(size, 4)}{unit}"


def _significant(number: float, digits: int) -> str:
    return f"{number:.{digits}g}"


def human_duration(seconds: float) -> str:
    """A duration in one rough unit: "3 seconds", "About a minute", "2 weeks"."""
    whole = int(seconds)
    minutes = int(seconds / 60)
    hours = int(seconds / 3600 + 0.5)
    steps = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < 60, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    return next((text for fits, text in steps if fits), f"{int(seconds / 3600) // 24 // 365} years")


def age(unix_seconds: float) -> str:
    """How long ago a time was: "8 minutes ago"."""
    return f"{human_duration(time.time() - unix_seconds)} ago"


def local_time(unix_seconds: int) -> str:
    """A time in the zone of this machine, as Go prints it: 2026-11-24 03:43:10 +0000 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(unix_seconds))


def rfc3339(unix_seconds: int) -> str:
    """A time in the zone of this machine, as machines exchange it: 2026-11-24T03:43:10Z."""
    local = time.localtime(unix_seconds)
    zone = time.strftime("%z", local)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def short_id(identifier: str) -> str:
    """The first twelve digits, without the algorithm before them."""
    return identifier.rpartition(":")[2][:12]


def _width(character: str) -> int:
    return 2 if "\u1100" <= character and _is_wide(character) else 1


def _is_wide(character: str) -> bool:
    import unicodedata  # noqa: PLC0415 -- only for scripts with wide characters

    return unicodedata.east_asian_width(character) in {"W", "F"}


def ellipsis(text: str, columns: int) -> str:
    """`text`, cut so that it takes no more than `columns` columns of a terminal."""
    if len(text) <= columns and text.isascii():
        return text
    if sum(map(_width, text)) <= columns:
        return text
    taken = 0
    for index, character in enumerate(text):
        taken += _width(character)
        if taken > columns - 1:
            return text[:index] + "…"
    return text


def natural(text: str) -> list[tuple[int, int]]:
    """A key that sorts numbers inside a text by their value: 80 before 443."""
    parts: list[tuple[int, int]] = []
    digits = ""
    for character in f"{text}\0":
        if character.isascii() and character.isdigit():
            digits += character
            continue
        if digits:
            parts.append((ord("0"), int(digits)))
            digits = ""
        parts.append((ord(character), 0))
    return parts
