"""Times and durations as users and documents write them. RFC 3339; Go's time.ParseDuration."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from cais.errors import InvalidArgument
from cais.gotext import NANOSECONDS, go_quote

_SECOND: Final = 1_000_000_000
_EXA: Final = 10**18
_MAX_NS: Final = (1 << 63) - 1

_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION: Final = re.compile(rf"[-+]?(?:{_PART.pattern})+", re.ASCII)
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,18}))?)?)?)?([Zz]|[-+]\d\d:?\d\d)?", re.ASCII
)
_UNIX: Final = re.compile(r"(\d{1,11})(?:\.(\d{1,9}))?", re.ASCII)


def parse_duration_ns(text: str) -> int:
    """A duration such as "1h30m" or "0.5s", in nanoseconds. Raises: InvalidArgument in Go's words."""
    if text in ("0", "+0", "-0"):
        return 0
    if not _DURATION.fullmatch(text) or len(text) > 100:
        missing = re.fullmatch(r"[-+]?\d*\.?\d*", text, re.ASCII) and any(c.isdigit() for c in text)
        what = "missing unit in duration" if missing else "invalid duration"
        raise InvalidArgument(f'time: {what} "{text}"')
    total = sum(_scaled(number, NANOSECONDS[unit]) for number, unit in _PART.findall(text))
    if total > _MAX_NS:
        raise InvalidArgument(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total


def _scaled(number: str, unit_ns: int) -> int:
    """A decimal number of units, rounded down; in integers, since 0.3 has no exact float."""
    whole, _, fraction = number.partition(".")
    return int(whole or 0) * unit_ns + int(fraction[:18].ljust(18, "0")) * unit_ns // _EXA


def parse_time_ns(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 time, or the beginning of one, in UTC; None for anything else."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=_zone(zone)
        )
    except ValueError:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86400 + since.seconds
    return seconds * _SECOND + int((fraction or "")[:9].ljust(9, "0"))


def parse_moment_ns(text: str, now_ns: int) -> int:
    """A moment: seconds since 1970, an RFC 3339 time, or a duration before now. Raises: InvalidArgument."""
    found = _UNIX.fullmatch(text)
    if found is not None:
        return int(found[1]) * _SECOND + int((found[2] or "").ljust(9, "0"))
    moment_ns = parse_time_ns(text)
    if moment_ns is not None:
        return moment_ns
    try:
        return now_ns - parse_duration_ns(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"failed to parse value as time or duration: {go_quote(text)}") from error


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
