"""The progress of a pull, a load or an import, as the engine reports it: a stream of JSON messages.

At a terminal each layer has its line, which is written anew while it moves; elsewhere only what is final is written.
"""

from __future__ import annotations

import os

from cais.cli.command import CommandError
from cais.cli.output import terminal_size, write_all
from cais.cli.units import human_size
from cais.client.engine import json_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.http import Response
    from cais.client.model import ProgressMessage

_BAR_COLUMNS = 50
_WIDE_COLUMNS = 110
_CLEAR_LINE = "\x1b[2K"


def show(answer: Response, descriptor: int | None) -> None:
    """Show the messages at a descriptor, or only wait for the end. Raises CommandError for an error among them."""
    display = Display(descriptor)
    for message in json_lines(answer):
        display.take(message)


class Display:
    """Where the messages are shown; None: nowhere."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._terminal = descriptor is not None and os.isatty(descriptor)
        self._lines: dict[str, int] = {}  # the line of each id, counted from the first line that moves

    def take(self, message: ProgressMessage) -> None:
        failure = message.get("errorDetail") or {}
        if text := failure.get("message") or message.get("error"):
            raise CommandError(text)
        if self._descriptor is None:
            return
        identifier = message.get("id", "")
        bar = self._bar(message)
        if not self._terminal:
            if not bar:
                self._write(_plain(message))
        elif identifier and ("progressDetail" in message or "progress" in message):
            self._write(self._at_its_line(identifier, f"{identifier}: {message.get('status', '')} {bar}".rstrip()))
        else:
            # What belongs to no layer stands below all that move, and ends them.
            self._lines.clear()
            self._write(_plain(message))

    def _write(self, text: str) -> None:
        if self._descriptor is not None:
            write_all(self._descriptor, text.encode("utf-8", "replace"))

    def _at_its_line(self, identifier: str, text: str) -> str:
        lines = self._lines
        if identifier not in lines:
            lines[identifier] = len(lines)
            return f"{_CLEAR_LINE}\r{text}\r\n"
        up = len(lines) - lines[identifier]
        return f"\x1b[{up}A{_CLEAR_LINE}\r{text}\r\x1b[{up}B"

    def _bar(self, message: ProgressMessage) -> str:
        detail = message.get("progressDetail") or {}
        current, total = detail.get("current", 0), detail.get("total", 0)
        if current <= 0 and total <= 0:
            return message.get("progress", "")
        if detail.get("units"):
            return f"{current}/{total} {detail['units']}" if total > 0 else f"{current} {detail['units']}"
        if total <= 0 or current > total:
            return human_size(current, 4)
        columns = (terminal_size(self._descriptor) or (0, 0))[0] if self._descriptor is not None else 0
        bar = ""
        if columns > _WIDE_COLUMNS:
            filled = min(current * _BAR_COLUMNS // total, _BAR_COLUMNS)
            bar = f"[{'=' * filled}>{' ' * (_BAR_COLUMNS - filled)}] "
        return f"{bar}{human_size(current, 4):>8}/{human_size(total, 4)}"


def _plain(message: ProgressMessage) -> str:
    if "stream" in message:
        return message["stream"]
    identifier, status = message.get("id", ""), message.get("status", "")
    if not status:
        return ""
    return f"{identifier}: {status}\n" if identifier else f"{status}\n"
