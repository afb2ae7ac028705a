"""`up` in the foreground: the output of all containers, until they have ended or the user wants them to."""

from __future__ import annotations

import threading
import time

from cais.client import system
from cais.client.engine import json_lines
from cais.client.errors import CannotConnect, ConnectionLost, EngineError
from cais.compose import labels
from cais.compose.following import Stream
from cais.compose.times import seconds_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cais.cli.compose.printing import Printer, Source
    from cais.client.model import Event
    from cais.compose.engines import Engines
    from cais.compose.observed import Container

_LOST = (EngineError, CannotConnect, ConnectionLost, OSError)


class Attached:
    """Follows the containers of a project. `watch` before they are started, `finish` when they are."""

    def __init__(
        self, engines: Engines, project: str, printer: Printer, attached: Iterable[str], *, timestamps: bool
    ) -> None:
        """`attached` are the services whose output is shown."""
        self.awaited: set[str] = set()  # the services that `finish` waits for; none: all
        self.announced: set[str] = set()  # the services of which it is told that they have ended
        self.ended: list[tuple[Container, int]] = []  # in the order in which they did
        self._engines = engines
        self._project = project
        self._printer = printer
        self._services = set(attached)
        self._timestamps = timestamps
        self._changed = threading.Condition()
        self._living: dict[str, Container] = {}
        self._known: dict[str, Container] = {}
        self._streams: list[Stream] = []
        self._hooks: dict[str, Source] = {}
        self._followed: set[str] = set()  # the ids of containers whose present run is shown
        self._last_ends: dict[str, float] = {}  # when containers ended that were started before
        self._heard: dict[str, float] = {}  # when there was output last
        self._lost = False

    def hear(self, container: str, stream: int, data: bytes) -> None:
        """Show what a hook writes in a container."""
        name = f"{container.removeprefix(f'{self._project}-')} ->"
        with self._changed:
            source = self._hooks.setdefault(name, self._printer.source(name))
        source.take(stream, data)

    def watch(self, containers: Iterable[Container]) -> None:
        """Listen to what becomes of the project's containers, and to the output of these."""
        filters = {"type": ["container"], "label": [f"{labels.PROJECT}={self._project}"]}
        answer = system.begin_events(self._engines.main, filters).response()
        threading.Thread(target=self._listen, args=(answer,), daemon=True).start()
        for container in containers:
            self._attach(container)

    def _attach(self, container: Container) -> None:
        if container.is_one_off:
            return
        with self._changed:
            self._known[container.identity] = container
            self._living[container.identity] = container
        # With times, the log is followed, and that of what has not been started ends at once.
        if container.service not in self._services:
            return
        if container.state == "running" or not self._timestamps:
            self._follow(container, since=None)
            self._followed.add(container.identity)
        else:
            self._last_ends[container.identity] = self._last_end(container.identity)

    def _follow(self, container: Container, since: float | None) -> None:
        stream = Stream(self._engines, container.identity, since=since, timestamps=self._timestamps)
        self._streams.append(stream)
        source = self._printer.source(container.name_in(self._project))

        def take(number: int, data: bytes) -> None:
            if data:
                self._heard[container.identity] = time.time()
            source.take(number, data)

        stream.begin(take)

    def _listen(self, answer: object) -> None:
        try:
            for event in json_lines(answer):  # type: ignore[arg-type]
                self._take(event)
        except _LOST:
            pass
        with self._changed:
            self._lost = True
            self._changed.notify()

    def _take(self, event: Event) -> None:
        identity = (event.get("Actor") or {}).get("ID", "")
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        action = event.get("Action", "")
        container = self._known.get(identity)
        if container is None:
            return
        if action == "die":
            code = int(attributes.get("exitCode") or 0)
            self._last_ends[identity] = event.get("timeNano", 0) / 10**9
            again = self._comes_back(identity)
            self._settle(container)
            if container.service in self.announced:
                self._printer.ended(container.name_in(self._project), code, again=again)
            with self._changed:
                self._followed.discard(identity)
                if not again:
                    self._living.pop(identity, None)
                    self.ended.append((container, code))
                self._changed.notify()
        elif action == "start":
            with self._changed:
                self._living[identity] = container
                shown = container.service in self._services and identity not in self._followed
                shown = shown and not any(one.goes_on for one in self._streams if one.container == identity)
                self._followed.add(identity)
            if shown:
                # There may be output from before the start is told, and the last of the run before comes late.
                ended, started = self._last_ends.get(identity, 0.0), event.get("timeNano", 0) / 10**9
                heard = self._heard.get(identity, 0.0)  # after the start: the log went on, and this is of it
                self._follow(container, since=heard if heard > started else (ended + started) / 2)

    def _last_end(self, identity: str) -> float:
        """When a container ended, in seconds; 0 where it never did."""
        state = self._engines.get(f"/containers/{identity}/json")["State"]
        return max(seconds_of(state.get("FinishedAt") or ""), 0.0)

    def _comes_back(self, identity: str) -> bool:
        """Whether the engine will start a container again that has just ended."""
        try:
            state = self._engines.get(f"/containers/{identity}/json")["State"]
        except _LOST:
            return False
        return bool(state.get("Restarting") or state.get("Running"))

    def _settle(self, container: Container) -> None:
        """Let the output of a container that has ended come first."""
        for stream in self._streams:
            if stream.container == container.identity:
                stream.join(1.0)

    def finish(self, *, until_first: bool = False, until_failure: bool = False) -> None:
        """Wait until all have ended; or the first has, or the first that failed. A KeyboardInterrupt passes."""
        with self._changed:
            while self._waits() and not self._lost:
                if until_first and any(self._is_awaited(one) for one, _ in self.ended):
                    return
                if until_failure and any(code and self._is_awaited(one) for one, code in self.ended):
                    return
                # With a time limit, for otherwise the wait would not see a signal.
                self._changed.wait(0.5)

    def _waits(self) -> bool:
        return any(self._is_awaited(one) for one in self._living.values())

    def _is_awaited(self, container: Container) -> bool:
        return not self.awaited or container.service in self.awaited

    def code_of(self, service: str) -> int | None:
        """The exit status of the first container of a service that has ended."""
        return next((code for container, code in self.ended if container.service == service), None)
