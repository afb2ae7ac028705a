"""The progress of a pull, a load or an import, as the engine reports it: a stream of JSON messages.

At a terminal each layer has its line, which is written anew while it moves; elsewhere only what is final is written.
"""

from __future__ import annotations

import os
import time

from cais.cli.command import CommandError
from cais.cli.output import printable, terminal_size, write_all
from cais.cli.units import human_size
from cais.client.engine import json_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.http import Response
    from cais.client.model import ProgressDetail, ProgressMessage

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
        identifier = self._one_line(message.get("id", ""))
        bar = self._bar(message)
        if not self._terminal:
            if not bar:
                self._write(_plain(message))
        elif identifier and ("progressDetail" in message or "progress" in message):
            status = self._one_line(message.get("status", ""))
            self._write(self._at_its_line(identifier, f"{identifier}: {status} {bar}".rstrip()))
        else:
            # What belongs to no layer stands below all that move, and ends them.
            self._lines.clear()
            self._write(printable(_plain(message)))

    def _one_line(self, text: str) -> str:
        """What an engine says of a layer, as it can stand in its line: at a terminal, nothing that moves elsewhere."""
        return printable(text).replace("\n", " ").replace("\t", " ") if self._terminal else text

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
            return self._one_line(message.get("progress", ""))
        if units := self._one_line(detail.get("units", "")):
            return f"{current}/{total} {units}" if total > 0 else f"{current} {units}"
        if total <= 0:
            return f"{human_size(current, 4):>8}"
        columns = (terminal_size(self._descriptor) or (0, 0))[0] if self._descriptor is not None else 0
        bar = ""
        if columns > _WIDE_COLUMNS:
            filled = min(current * _BAR_COLUMNS // total, _BAR_COLUMNS)
            bar = f"[{'=' * filled}>{' ' * (_BAR_COLUMNS - filled)}] "
        of_total = f"/{human_size(total, 4)}" if current <= total else ""
        return f"{bar}{human_size(current, 4):>8}{of_total}{_time_left(detail) if columns > _BAR_COLUMNS else ''}"


def _time_left(detail: ProgressDetail) -> str:
    """How long the rest will take, at first, where the engine says when it began."""
    current, total, began = detail.get("current", 0), detail.get("total", 0), detail.get("start", 0)
    if began <= 0 or not 0 < current * 2 < total:
        return ""
    seconds = (time.time() - began) / current * (total - current)
    return f" {int(seconds) // 60}m{int(seconds) % 60}s" if seconds >= 60 else f" {int(seconds)}s"


def _plain(message: ProgressMessage) -> str:
    if "stream" in message:
        return message["stream"]
    identifier, status = message.get("id", ""), message.get("status", "")
    if not status:
        return ""
    return f"{identifier}: {status}\n" if identifier else f"{status}\n"
