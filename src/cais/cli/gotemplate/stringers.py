"""The types of Docker that say themselves how they are printed (in Go: that have a method String)."""

from __future__ import annotations

from cais.cli.gotemplate.values import make
from cais.gotext import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cais.cli.gotemplate.values import Value

_MODE_BITS = "dalTLDpSugct?"


def string_of(value: Value) -> str | None:
    """What the value's type says, or None where it says nothing."""
    type_ = value.type.elem if value.type.kind == "pointer" else value.type
    say = _STRINGERS.get(type_.name)
    return None if say is None or value.data is None else say(make(type_, value.data).data)


def moment(text: str) -> str:
    """A time of JSON as Go prints it: 2024-05-06 07:08:09.1 +0200 +0200."""
    day, _, clock = text.partition("T")
    sign = max(clock.find("+"), clock.find("-"))
    zone = clock[sign:].replace(":", "") if sign > 0 else ""
    if not zone:
        return f"{day} {normal_clock(clock.rstrip('Z'))} +0000 UTC"
    return f"{day} {normal_clock(clock[:sign])} {zone} {zone}"


def normal_clock(clock: str) -> str:
    """A time of day without zeros at the end of its fraction."""
    return clock.rstrip("0").rstrip(".") if "." in clock else clock


def _file_mode(mode: int) -> str:
    kinds = "".join(letter for at, letter in enumerate(_MODE_BITS) if mode & 1 << 31 - at) or "-"
    return kinds + "".join(letter if mode & 1 << 8 - at else "-" for at, letter in enumerate("rwxrwxrwx"))


def _ulimit(data: dict[str, Any]) -> str:
    return f"{data.get('Name', '')}={data.get('Soft', 0)}:{data.get('Hard', 0)}"


def _weight(data: dict[str, Any]) -> str:
    return f"{data.get('Path', '')}:{data.get('Weight', 0)}"


def _throttle(data: dict[str, Any]) -> str:
    return f"{data.get('Path', '')}:{data.get('Rate', 0)}"


_STRINGERS: dict[str, Callable[[Any], str]] = {
    "time.Time": moment,
    "time.Duration": duration,
    "fs.FileMode": _file_mode,
    "units.Ulimit": _ulimit,
    "blkiodev.WeightDevice": _weight,
    "blkiodev.ThrottleDevice": _throttle,
    "registry.NetIPNet": str,
}
