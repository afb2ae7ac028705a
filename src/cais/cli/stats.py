"""`cais stats`: what containers use, once or as a table that is drawn anew twice a second."""

from __future__ import annotations

import select
import time

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import TABLE_FORMAT, switch
from cais.cli.output import STDOUT, out, printable, write_all
from cais.cli.stats_rows import COLUMNS, fields
from cais.client import containers, system
from cais.client.codec import loads
from cais.client.errors import EngineError
from cais.client.streams import LineStream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cais.client.engine import Engine
    from cais.client.model import Event, Stats

_PERIOD_SECONDS = 0.5
_SILENCE_SECONDS = 2.0  # after which what a container last said is no longer shown
_AT_ONCE = 100  # connections for single readings
_SHORT_ID = 12
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def _stats(call: Invocation) -> int:
    given = call.flags
    template = given.text("format") or call.settings.text("statsFormat")
    COLUMNS.check(template)
    watch = _Watch(call.engine, call.arguments, everything=given.on("all"))
    whole = given.on("no-trunc")
    if given.on("no-stream"):
        rows = [fields(name, stats, whole=whole) for name, stats in watch.once()]
        out(COLUMNS.render(template, rows), end="", template=template)
        return 0
    for watched in watch.forever():
        rows = [fields(one.name, one.stats, whole=whole, is_old=one.is_silent) for one in watched]
        write_all(STDOUT, _screen(printable(COLUMNS.render(template, rows))).encode("utf-8", "replace"))
    return 0


def _screen(text: str) -> str:
    """Written over what stands there."""
    lines = "".join(f"{line} {_CLEAR_LINE}\n" for line in text.removesuffix("\n").split("\n"))
    return f"{_HOME}{lines}{_CLEAR_BELOW}"


class _Watched:
    """One container and the last that was heard of it."""

    __slots__ = ("heard_at", "name", "stats", "stream")

    def __init__(self, name: str, stream: LineStream) -> None:
        self.name = name
        self.stream = stream
        self.stats: Stats | None = None
        self.heard_at = time.monotonic()
        self.read()  # what came with the head of the answer: no poll tells of that

    def read(self) -> None:
        lines = self.stream.read()
        if lines:
            self.stats = loads(lines[-1])
            self.heard_at = time.monotonic()

    @property
    def is_silent(self) -> bool:
        return time.monotonic() - self.heard_at >= _SILENCE_SECONDS


class _Watch:
    """The containers that are named, or all that run (`everything`: all there are)."""

    def __init__(self, engine: Engine, names: list[str], *, everything: bool) -> None:
        self._engine = engine
        self._names = list(dict.fromkeys(names))
        self._everything = everything
        self._watched: dict[str, _Watched] = {}

    def _listed(self) -> list[str]:
        found = containers.summaries(self._engine, everything=self._everything, limit=0, size=False, filters={})
        return [container["Id"][:_SHORT_ID] for container in found]

    def once(self) -> Iterator[tuple[str, Stats | None]]:
        """One reading of each. Raises CommandError with all that went wrong, when containers were named."""
        failures = []
        readings: list[tuple[str, Stats | None]] = []
        names = self._names or self._listed()
        for start in range(0, len(names), _AT_ONCE):
            batch = names[start : start + _AT_ONCE]
            asked = [(name, containers.begin_stats(self._engine, name, stream=False)) for name in batch]
            for name, pending in asked:
                try:
                    answer = pending.response()
                    readings.append((name, loads(answer.read())))
                    answer.connection.close()
                except EngineError as error:
                    failures.append(str(error))
                    readings.append((name, None))
        if failures and self._names:
            raise CommandError("\n".join(failures))
        return iter(readings)

    def forever(self) -> Iterator[list[_Watched]]:
        """What is known now, again and again. Raises CommandError when a container that was named is not there."""
        _allow_descriptors()
        events = None if self._names else self._events()
        failures = self._begin(self._names or self._listed())
        if failures and self._names:
            raise CommandError("\n".join(failures))
        if events is not None:
            self._take(events)
        self._await_first()
        while True:
            yield list(self._watched.values())
            if events is not None and events.ended:
                return
            self._read_for(_PERIOD_SECONDS, events)

    def _events(self) -> LineStream:
        """What becomes of containers. Asked for before they are listed, so that none is missed."""
        return LineStream(system.begin_events(self._engine, {"type": ["container"]}).response())

    def _begin(self, names: Iterable[str]) -> list[str]:
        """Watch more containers; the errors of those that cannot be."""
        failures = []
        asked = [(name, containers.begin_stats(self._engine, name, stream=True)) for name in names]
        for name, pending in asked:
            try:
                self._watched[name] = _Watched(name, LineStream(pending.response()))
            except EngineError as error:
                failures.append(str(error))
        return failures

    def _await_first(self) -> None:
        """Until each has said something, for as long as it may be silent."""
        deadline = time.monotonic() + _SILENCE_SECONDS
        while time.monotonic() < deadline and any(one.stats is None for one in self._watched.values()):
            self._read_ready(deadline - time.monotonic(), None)

    def _read_for(self, seconds: float, events: LineStream | None) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read_ready(left, events)

    def _read_ready(self, seconds: float, events: LineStream | None) -> None:
        poll = select.poll()
        by_descriptor = {one.stream.fileno(): one for one in self._watched.values() if not one.stream.ended}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        if events is not None and not events.ended:
            poll.register(events.fileno(), select.POLLIN)
        for descriptor, _ in poll.poll(max(seconds, 0) * 1000):
            if descriptor in by_descriptor:
                by_descriptor[descriptor].read()
            elif events is not None:
                self._take(events)

    def _take(self, events: LineStream) -> None:
        for line in events.read():
            self._follow(loads(line))

    def _follow(self, event: Event) -> None:
        name, action = event.get("Actor", {}).get("ID", "")[:_SHORT_ID], event.get("Action", "")
        if action == "start" or (action == "create" and self._everything):
            known = self._watched.get(name)
            if known is None or known.stream.ended:
                self._begin([name])
        elif name in self._watched and (action == "destroy" or (action == "die" and not self._everything)):
            self._watched.pop(name).stream.close()


def _allow_descriptors() -> None:
    """A stream of each container is open at once."""
    import resource  # noqa: PLC0415 -- only here

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


STATS = Command(
    "[OPTIONS] [CONTAINER...]",
    "container stats, stats",
    (
        switch("all", "Show all containers (default shows just running)", "a"),
        TABLE_FORMAT,
        switch("no-stream", "Disable streaming stats and only pull the first result"),
        switch("no-trunc", "Do not truncate output"),
    ),
    _stats,
    completes="running",
)
