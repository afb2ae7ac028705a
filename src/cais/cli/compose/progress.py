"""The progress of what is done with a project: a line for each event, or, at a terminal, one for each resource.

It goes to standard error, so that what a command prints is its answer alone.
"""

from __future__ import annotations

import os
import time

from cais.cli.command import CommandError
from cais.cli.output import STDERR, err, printable, terminal_size, write_all
from cais.client.codec import dumps_readable
from cais.compose.report import DONE, ERROR, WARNING, WORKING, Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_STATES = {WORKING: "Working", DONE: "Done", WARNING: "Warning", ERROR: "Error"}
_COLOURS = {WORKING: "\x1b[34m", DONE: "\x1b[32m", WARNING: "\x1b[33m\x1b[1m", ERROR: "\x1b[31m\x1b[1m"}
_MARKS = {DONE: "✔", WARNING: "!", ERROR: "✘"}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_RESET = "\x1b[0m"
_INTERVAL_SECONDS = 0.1


class Progress(Reporter):
    """Shows nothing but warnings: the quiet one, which the others are made of."""

    rehearses = False  # nothing of what is told really happens
    listener: Callable[[str, int, bytes], None] | None = None  # to what hooks write

    def heard(self, container: str, stream: int, data: bytes) -> None:
        if self.listener is not None:
            self.listener(container, stream, data)

    def begin(self, title: str) -> None:
        """Something is begun that `title` names: up, down."""

    def end(self) -> None:
        """It is done, or failed."""

    def warn(self, text: str, *, level: str = "warning") -> None:
        warn(text, level)


def warn(text: str, level: str = "warning") -> None:
    """A warning, as Docker Compose writes it; the level may also be info."""
    if os.isatty(STDERR):
        mark = "\x1b[33mWARN" if level == "warning" else "\x1b[36mINFO"
        err(f"{mark}\x1b[0m[0000] {text}")
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    err(f'time="{now}" level={level} msg={dumps_readable(text)}')


def kind_of(flag: str) -> str:
    """The kind of progress that is wanted: auto, tty, plain, json or quiet. Raises CommandError."""
    kind = flag or os.environ.get("COMPOSE_PROGRESS", "") or "auto"
    if kind not in {"auto", "tty", "plain", "json", "quiet"}:
        raise CommandError(f'unsupported --progress value "{kind}"')
    return kind


def chosen(kind: str, ansi: str) -> Progress:
    """The progress of a kind. Raises CommandError."""
    kind = kind_of(kind)
    if kind == "auto":
        kind = "tty" if os.isatty(STDERR) and ansi != "never" else "plain"
    if kind == "quiet":
        return Progress()
    if kind == "json":
        return Json()
    if kind == "plain":
        return Plain()
    return Terminal()


class Plain(Progress):
    """A line for each event."""

    def on(self, resource: str, status: str, state: int, detail: str = "") -> None:
        write_all(STDERR, f" {resource} {status} {detail}\n".encode())


class Json(Progress):
    """A JSON object for each event."""

    def on(self, resource: str, status: str, state: int, detail: str = "") -> None:
        event: dict[str, object] = {"id": resource, "status": _STATES[state], "text": status}
        if detail:
            event["details"] = detail
        if self.rehearses:
            event["dry-run"] = True
        write_all(STDERR, f"{dumps_readable(event)}\n".encode())


class _Line:
    __slots__ = ("began", "detail", "ended", "state", "status")

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended = 0.0
        self.status = ""
        self.state = WORKING
        self.detail = ""


class Terminal(Progress):
    """A line for each resource, written anew while something happens to it."""

    def __init__(self) -> None:
        import threading  # noqa: PLC0415 -- only where something is drawn

        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._drawn = 0
        self._title = ""
        self._stop: threading.Event | None = None

    def begin(self, title: str) -> None:
        import threading  # noqa: PLC0415

        self._title, self._lines, self._drawn = title, {}, 0
        self._stop = threading.Event()
        threading.Thread(target=self._redraw, args=(self._stop,), daemon=True).start()

    def end(self) -> None:
        if self._stop is not None:
            self._stop.set()
            self._stop = None
            with self._lock:
                self._draw(0)
                self._lines, self._drawn = {}, 0

    def _redraw(self, stop: threading.Event) -> None:
        beat = 0
        while not stop.wait(_INTERVAL_SECONDS):
            beat += 1
            with self._lock:
                if not stop.is_set():
                    self._draw(beat)

    def on(self, resource: str, status: str, state: int, detail: str = "") -> None:
        with self._lock:
            line = self._lines.setdefault(resource, _Line())
            if line.state != WORKING and state == WORKING:
                line.began = time.monotonic()
            line.status, line.state, line.detail = status, state, detail
            line.ended = time.monotonic() if state != WORKING else 0.0
            if self._stop is None:
                write_all(STDERR, f" {resource} {status}\n".encode())

    def warn(self, text: str, *, level: str = "warning") -> None:
        with self._lock:
            self._erase()
            warn(text, level)

    def _erase(self) -> None:
        if self._drawn:
            write_all(STDERR, f"\x1b[{self._drawn}A\x1b[J".encode())
            self._drawn = 0

    def _draw(self, beat: int) -> None:
        if not self._lines:
            return
        columns, rows = terminal_size(STDERR) or (80, 24)
        done = sum(line.state != WORKING for line in self._lines.values())
        width = max(len(resource) for resource in self._lines)
        shown = list(self._lines.items())[-max(rows - 2, 1) :]
        mark = "DRY-RUN MODE - " if self.rehearses else ""
        lines = [f"[+] {mark}{self._title} {done}/{len(self._lines)}"]
        lines += [self._text(resource, line, width, columns, beat) for resource, line in shown]
        self._erase()
        write_all(STDERR, ("".join(f"{line}\n" for line in lines)).encode())
        self._drawn = len(lines)

    def _text(self, resource: str, line: _Line, width: int, columns: int, beat: int) -> str:
        colour = _COLOURS[line.state]
        mark = _MARKS.get(line.state) or _SPINNER[beat % len(_SPINNER)]
        seconds = f"{(line.ended or time.monotonic()) - line.began:.1f}s"
        status = printable(f"{line.status} {line.detail}".strip()).replace("\n", " ")
        room = columns - width - len(seconds) - 6
        status = status[: max(room, 8)]
        gap = " " * max(room - len(status), 1)
        name = f"{printable(resource):<{width}}"
        return f" {colour}{mark}{_RESET} {name} {colour}{status}{_RESET}{gap}\x1b[34m{seconds}{_RESET}"
