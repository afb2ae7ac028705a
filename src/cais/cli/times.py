"""Points in time on the command line: how long ago (10m, 1h30m), a date with or without a time of day, or seconds."""

from __future__ import annotations

import time

from cais.cli.command import CommandError
from cais.cli.units import age
from cais.gotext import go_quote, parse_duration

_NANOSECONDS = 10**9


def timestamp(text: str, flag: str = "") -> str:
    """`text` as the Engine API takes it: seconds since 1970, "" for none. Raises CommandError, which names the flag."""
    if not text:
        return ""
    try:
        return str(int(time.time() - parse_duration(text) / _NANOSECONDS))
    except ValueError:
        pass
    whole, _, fraction = text.partition(".")
    if whole.isdigit() and (fraction.isdigit() or not fraction):
        return text
    try:
        return _from_date(text)
    except ValueError:
        where = f'invalid value for "{flag}": ' if flag else ""
        raise CommandError(f"{where}failed to parse value as time or duration: {go_quote(text)}") from None


def _from_date(text: str) -> str:
    from datetime import datetime  # noqa: PLC0415 -- seldom needed

    date = text
    if len(text) == 11 and text.endswith("Z"):  # a date in UTC, without a time of day
        date = f"{text[:-1]}T00:00:00Z"
    moment = datetime.fromisoformat(date)
    if moment.tzinfo is None:
        moment = moment.astimezone()
    fraction = text.partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    return f"{int(moment.timestamp() // 1)}.{digits[:9]:0<9}"


def local_rfc3339(nanoseconds: int) -> str:
    """A time in the zone of this machine: 2026-11-24T04:05:41.637522568Z."""
    seconds, fraction = divmod(nanoseconds, _NANOSECONDS)
    zone = time.strftime("%z", time.localtime(seconds))
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds)) + f".{fraction:09d}{shown}"


def age_of_date(text: str) -> str:
    """How long ago an RFC 3339 date was, "" for none: "8 minutes ago"."""
    from datetime import datetime  # noqa: PLC0415 -- seldom needed

    return age(datetime.fromisoformat(text).timestamp()) if text else ""


def go_date(text: str) -> str:
    """An RFC 3339 date as Go prints a time: 2026-11-24 04:05:41.637522568 +0000 UTC."""
    day, _, rest = text.partition("T")
    digits = len(rest) - len(rest.lstrip("0123456789:."))
    moment, zone = rest[:digits], rest[digits:]
    if "." in moment:
        moment = moment.rstrip("0").removesuffix(".")
    offset = zone.replace(":", "")
    return f"{day} {moment} {'+0000 UTC' if zone in {'Z', '+00:00'} else f'{offset} {offset}'}" if text else ""
