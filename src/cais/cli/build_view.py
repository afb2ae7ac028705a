"""How a build is watched: not at all, line by line, or in a picture that moves at a terminal."""

from __future__ import annotations

import os
import time

from cais.cli.build_steps import Step, Steps
from cais.cli.output import printable, terminal_size, write_all
from cais.cli.units import ellipsis, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.client.model import ProgressMessage

_USUAL_SIZE = (80, 24)  # of a terminal that does not know its own
_TAIL_LINES = 5
_FAILED_LINES = 100
_DIM, _BLUE, _RED, _END = "\x1b[2m", "\x1b[34m", "\x1b[31m", "\x1b[0m"
_CLEAR_BELOW = "\x1b[J"
_INTERVAL_SECONDS = 0.08


class View:
    """Takes what the engine tells. This one shows nothing, and keeps the text for whoever is to see why it failed."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.text: list[str] = []  # what an engine that tells no steps has written
        self.identity = ""
        self.cache: list[str] = []  # images that have the build's cache
        self.conclusion = ""  # what is said behind all steps: the image and its names
        self._latest = 0

    def take(self, message: ProgressMessage) -> None:
        """Take a message that is no error."""
        event = message.get("build")
        aux = message.get("aux")
        if isinstance(aux, dict) and isinstance(aux.get("ID"), str):
            self.identity = aux["ID"]
        elif isinstance(event, dict):
            self._event(event)
        elif "stream" in message:
            if self.steps.all:
                self.conclusion += message["stream"]
            else:
                self.text.append(message["stream"])
                self.on_text(message["stream"])
        elif message.get("status"):
            self._status(message)

    def _event(self, event: dict[str, Any]) -> None:
        steps = self.steps
        if "planned" in event:
            steps.plan(event["planned"])
        elif "started" in event:
            step = steps.get(event["started"])
            step.began = time.monotonic()
            self._latest = step.number
            self.on_start(step)
        elif "output" in event:
            step = steps.get(event["output"])
            self.on_lines(step, step.take(str(event.get("data", ""))))
        elif "cache" in event:
            self.cache = [str(identity) for identity in event["cache"]]
        elif "finished" in event:
            step = steps.get(event["finished"])
            step.cached, step.error = bool(event.get("cached")), str(event.get("error", ""))
            started = bool(step.began)
            step.began = step.began or time.monotonic()
            if not started:
                self.on_start(step)
            self.on_lines(step, step.finish())
            self.on_finish(step)

    def _status(self, message: ProgressMessage) -> None:
        """The progress of a pull."""
        identifier, status = message.get("id", ""), message.get("status", "")
        text = f"{identifier}: {status}" if identifier else status
        detail = message.get("progressDetail") or {}
        current, total = detail.get("current", 0), detail.get("total", 0)
        step = self.steps.all.get(self._latest)
        if current and total:
            text = f"{text} {human_size(current, 4)}/{human_size(total, 4)}"
            if step is not None:
                step.note = text
        elif step is not None:
            self.on_lines(step, step.take(f"{text}\n"))
        else:
            self.text.append(f"{text}\n")
            self.on_text(f"{text}\n")

    def sent(self, count: int) -> None:
        """So many bytes of the context have been sent."""
        self.steps.sent_bytes += count

    def on_text(self, text: str) -> None:
        """Text of an engine that tells no steps."""

    def on_start(self, step: Step) -> None:
        """A step has begun."""

    def on_lines(self, step: Step, lines: list[tuple[float, str]]) -> None:
        """A step has written lines."""

    def on_finish(self, step: Step) -> None:
        """A step has ended."""

    def tick(self) -> None:
        """Time has passed."""

    def close(self, error: str) -> None:
        """The build has ended; `error` is why it failed, or ""."""


class Plain(View):
    """Line by line, each with the number of its step."""

    def __init__(self, descriptor: int, text_descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._text_descriptor = text_descriptor

    def _write(self, text: str) -> None:
        write_all(self._descriptor, _for(self._descriptor, text))

    def on_text(self, text: str) -> None:
        write_all(self._text_descriptor, _for(self._text_descriptor, text))

    def on_start(self, step: Step) -> None:
        self._write(f"#{step.number} {step.title}\n")

    def on_lines(self, step: Step, lines: list[tuple[float, str]]) -> None:
        if lines:
            self._write("".join(f"#{step.number} {seconds:.3f} {line}\n" for seconds, line in lines))

    def on_finish(self, step: Step) -> None:
        if step.error:
            self._write(f"#{step.number} ERROR: {step.error}\n\n")
        elif step.cached:
            self._write(f"#{step.number} CACHED\n\n")
        else:
            self._write(f"#{step.number} DONE {step.seconds:.1f}s\n\n")

    def close(self, error: str) -> None:
        self._write(failure_log(self.steps) if error else self.conclusion)


class Live(View):
    """A picture of the running and the ended steps, drawn anew while they go on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._drawn = 0  # lines of the picture that is there
        self._next = 0.0
        self._before: list[str] = []  # what stands above the picture for good

    def sent(self, count: int) -> None:
        super().sent(count)
        self.tick()

    def on_text(self, text: str) -> None:
        self._before.append(calm(text))

    def tick(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL_SECONDS
            self._draw()

    def close(self, error: str) -> None:
        self._draw(final=True)
        write_all(self._descriptor, _for(self._descriptor, failure_log(self.steps) if error else self.conclusion))

    def _draw(self, *, final: bool = False) -> None:
        size = terminal_size(self._descriptor)
        columns, rows = size if size and all(size) else _USUAL_SIZE
        picture = self._picture(columns, final=final)
        if not final and len(picture) > rows - 1:  # what has scrolled away cannot be drawn over
            picture = [picture[0], *picture[-(rows - 2) :]]
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        text = "".join(self._before) + "".join(f"{line}\n" for line in picture)
        self._before.clear()
        self._drawn = len(picture)
        write_all(self._descriptor, f"{up}{_CLEAR_BELOW}{text}".encode("utf-8", "replace"))

    def _picture(self, columns: int, *, final: bool) -> list[str]:
        steps = self.steps
        if not steps.all:
            if not steps.sent_bytes or final or self.text:
                return []
            return [f"[+] Sending the context, {human_size(steps.sent_bytes, 4)}"]
        elapsed = time.monotonic() - steps.began
        state = " FINISHED" if final and not steps.failed else ""
        lines = [f"[+] Building {elapsed:.1f}s ({steps.done}/{len(steps.all)}){state}"]
        for step in steps.all.values():
            if step.began:
                lines.append(_line(step, columns))
                if step.is_running and not final:
                    lines.extend(_tail(step, columns))
        return lines


def calm(text: str) -> str:
    """A text without the colours and movements that a program writes for a terminal; the rest is spelled out."""
    plain, *pieces = text.split("\x1b[")
    for piece in pieces:
        end = next((at for at, letter in enumerate(piece) if "@" <= letter <= "~"), len(piece))
        plain += piece[end + 1 :]
    return printable(plain)


def _for(descriptor: int, text: str) -> bytes:
    return (calm(text) if os.isatty(descriptor) else text).encode("utf-8", "replace")


def _line(step: Step, columns: int) -> str:
    mark, colour = (" => ERROR ", _RED) if step.error else (" => CACHED ", _BLUE) if step.cached else (" => ", _BLUE)
    seconds = f"{step.seconds:.1f}s"
    room = max(columns - len(mark) - len(seconds) - 1, 10)
    title = ellipsis(calm(step.title), room)
    text = f"{mark}{title}{' ' * (room - len(title))} {seconds}"
    return f"{colour}{text}{_END}" if step.ended else text


def _tail(step: Step, columns: int) -> list[str]:
    lines = [line for _, line in step.lines[-_TAIL_LINES:]]
    if step.note:
        lines.append(step.note)
    return [f"{_DIM}{ellipsis(calm(f' => => # {line}'.expandtabs()), columns)}{_END}" for line in lines]


def failure_log(steps: Steps) -> str:
    """The end of the log of the step that failed."""
    step = steps.failed
    if step is None:
        return ""
    lines = "".join(f"{seconds:.3f} {line}\n" for seconds, line in step.lines[-_FAILED_LINES:])
    return f"------\n > {step.title}:\n{lines}------\n"
