"""What a build has told so far, step by step: what every view of it draws from.

Cais tells its steps beside the text that Docker's clients show, in messages of the form {"build": EVENT}:

    {"planned": [{"text": INSTRUCTION, "stage": NAME}, …]}      steps are counted from 1
    {"started": STEP}
    {"output": STEP, "source": "stdout" | "stderr" | "note", "data": TEXT}
    {"finished": STEP, "cached": BOOL, "error": TEXT}
    {"cache": [ID, …]}                                          images that have the cache of this build
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KEPT_LINES = 200
_ONLY_STAGE = "stage-0"  # how a first stage without a name is called


class Step:
    """One step. `lines` are the last ones of its log, each with the seconds since the step began."""

    __slots__ = ("began", "cached", "ended", "error", "lines", "note", "number", "partial", "text", "title")

    def __init__(self, number: int, text: str, title: str) -> None:
        self.number = number
        self.text = text
        self.title = title  # "[stage 2/5] RUN …"
        self.began = 0.0
        self.ended = 0.0
        self.cached = False
        self.error = ""
        self.note = ""  # what is going on in it, where no line is written about it
        self.lines: list[tuple[float, str]] = []
        self.partial = ""

    @property
    def seconds(self) -> float:
        """How long it has taken, or takes so far."""
        return (self.ended or time.monotonic()) - self.began if self.began else 0.0

    @property
    def is_running(self) -> bool:
        return bool(self.began) and not self.ended

    def take(self, data: str) -> list[tuple[float, str]]:
        """Take output; the lines that have become whole are returned."""
        *whole, self.partial = (self.partial + data).replace("\r\n", "\n").split("\n")
        return self._keep(whole)

    def finish(self) -> list[tuple[float, str]]:
        """The last line, where it has no end."""
        rest, self.partial = self.partial, ""
        self.ended = time.monotonic()
        return self._keep([rest] if rest else [])

    def _keep(self, lines: list[str]) -> list[tuple[float, str]]:
        # What a line overwrote of itself with carriage returns is not shown again.
        stamped = [(self.seconds, line.rstrip("\r").rpartition("\r")[2]) for line in lines]
        self.lines = (self.lines + stamped)[-_KEPT_LINES:]
        return stamped


class Steps:
    """All steps of a build."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.all: dict[int, Step] = {}
        self.sent_bytes = 0

    @property
    def done(self) -> int:
        return sum(bool(step.ended) for step in self.all.values())

    @property
    def running(self) -> list[Step]:
        return [step for step in self.all.values() if step.is_running]

    @property
    def failed(self) -> Step | None:
        return next((step for step in self.all.values() if step.error), None)

    def plan(self, planned: list[dict[str, Any]]) -> None:
        stages = [str(step.get("stage", "")) for step in planned]
        several = set(stages) - {"", _ONLY_STAGE}
        for number, (step, stage) in enumerate(zip(planned, stages, strict=True), 1):
            place = f"{stages[:number].count(stage)}/{stages.count(stage)}"
            text = " ".join(str(step.get("text", "")).split())
            where = f"{stage} {place}" if stage and several else place
            self.all[number] = Step(number, text, f"[{where}] {text}")

    def get(self, number: int) -> Step:
        """A step, also one that was not planned."""
        return self.all.setdefault(number, Step(number, "", f"[{number}]"))
