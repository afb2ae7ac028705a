"""Signals as users name them: `KILL`, `SIGKILL`, `kill`, `9`, `RTMIN+3`."""

import signal
from typing import Final

from cais.engine.text import printable
from cais.errors import InvalidArgument

_NUMBERS: Final = {item.name.removeprefix("SIG"): int(item) for item in signal.Signals} | {
    "CLD": int(signal.SIGCHLD),
    "POLL": int(signal.SIGIO),
    "STKFLT": 16,
    "IOT": int(signal.SIGABRT),
}
_MAX: Final = 64


def parse_signal(text: str) -> int:
    """The number of a signal. Raises InvalidArgument in Docker's words."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else _by_name(text)
    if not 1 <= number <= _MAX:
        raise InvalidArgument(f"invalid signal: {printable(text)}")
    return number


def _by_name(text: str) -> int:
    name = text.upper().removeprefix("SIG")
    for base, sign in (("RTMIN", 1), ("RTMAX", -1)):
        offset = name.removeprefix(base)
        if offset != name and offset[:1] == ("+" if sign > 0 else "-") and offset[1:].isdigit() and len(offset) < 4:
            number = _NUMBERS[base] + sign * int(offset[1:])
            return number if _NUMBERS["RTMIN"] <= number <= _NUMBERS["RTMAX"] else 0
    return _NUMBERS.get(name, 0)


def signal_name(number: int) -> str:
    """The name of a signal: `SIGTERM`, `SIGRTMIN+3`; "signal 99" for one that is none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        return "SIGSTKFLT" if number == _NUMBERS["STKFLT"] else f"signal {number}"
