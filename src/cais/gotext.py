"""Texts as Go's library writes and reads them, of which the words of Docker's programs are made. strconv; time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
"""The units of a duration, with both letters that are used for micro."""

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
"""The texts that are booleans. strconv.ParseBool."""

_SECOND = 10**9
_DIGITS = "0123456789"
_SHORT_UNITS = ((1, "ns"), (10**3, "µs"), (10**6, "ms"))
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPES |= {"\\": "\\\\", '"': '\\"'}


def go_quote(text: str) -> str:
    """`text` in double quotes, with Go's escapes."""
    quoted = (
        _ESCAPES.get(character) or (character if character.isprintable() else _escaped(character)) for character in text
    )
    return '"' + "".join(quoted) + '"'


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def parse_duration(text: str, units: Mapping[str, int] = NANOSECONDS) -> int:
    """A duration such as 1m30s or 1.5h, in nanoseconds, rounded down. Raises: ValueError in Go's words."""
    rest = text[1:] if text[:1] in {"-", "+"} and text else text
    if rest == "0":
        return 0
    invalid = ValueError(f"time: invalid duration {go_quote(text)}")
    if not rest:
        raise invalid
    total = 0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip(_DIGITS + "."))]
        whole, _, fraction = number.partition(".")
        if not (whole + fraction).isdigit():
            raise invalid
        rest = rest[len(number) :]
        unit = _up_to_number(rest)
        if not unit:
            raise ValueError(f"time: missing unit in duration {go_quote(text)}")
        if unit not in units:
            raise ValueError(f"time: unknown unit {go_quote(unit)} in duration {go_quote(text)}")
        total += scaled(whole, fraction, units[unit])
        rest = rest[len(unit) :]
    return -total if text.startswith("-") else total


def _up_to_number(text: str) -> str:
    return text[: next((at for at, letter in enumerate(text) if letter in _DIGITS or letter == "."), len(text))]


def scaled(whole: str, fraction: str, scale: int) -> int:
    """WHOLE.FRACTION of `scale`, rounded down; in integers, since 0.3 has no exact float."""
    return int(whole or "0") * scale + int(fraction or "0") * scale // int("1" + "0" * len(fraction))


def duration(nanoseconds: int) -> str:
    """A duration in Go's words: 1h2m3.5s, 20ms, 0s."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if not rest:
        return "0s"
    for unit, name in _SHORT_UNITS:
        if rest < unit * 1000:
            return f"{sign}{_decimal(rest, unit)}{name}"
    minutes, rest = divmod(rest, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, _SECOND)}s"
    if not hours and not minutes:
        return sign + seconds
    return f"{sign}{hours}h{minutes}m{seconds}" if hours else f"{sign}{minutes}m{seconds}"


def _decimal(number: int, unit: int) -> str:
    whole, fraction = divmod(number, unit)
    digits = f"{fraction + unit}"[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
