"""What happened in the engine, told to whoever listens.

`EventBus.emit` records an event and hands it to every subscriber without waiting. A bounded history answers
questions about the recent past; a subscriber that does not keep up is cut off rather than allowed to
hold memory. Times are nanoseconds since 1970.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec

from cais.engine.filters import Filters

HISTORY: Final = 1000
_BACKLOG: Final = 10_000

FILTERS: Final = frozenset(
    {
        "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope",
        "secret", "service", "type", "volume",
    }
)  # fmt: skip


class Actor(msgspec.Struct, frozen=True):
    """What an event happened to: its id, and attributes such as its name and labels."""

    ID: str
    Attributes: dict[str, str]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the API's own form; `status`, `id` and `from` repeat it for old clients."""

    Type: str
    Action: str
    Actor: Actor
    time: int
    time_nano: int = msgspec.field(name="timeNano")
    scope: str
    status: str = ""
    id: str = ""
    source: str = msgspec.field(default="", name="from")


class _Subscriber:
    """A queue that its reader waits on; `overrun` is set when the reader was too slow."""

    __slots__ = ("overrun", "queue", "wake")

    def __init__(self) -> None:
        self.queue: deque[Event] = deque()
        self.wake = asyncio.Event()
        self.overrun = False

    def put(self, event: Event) -> None:
        if len(self.queue) >= _BACKLOG:
            self.overrun = True
        else:
            self.queue.append(event)
        self.wake.set()


class EventBus:
    """The events of one engine, newest last."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._subscribers: set[_Subscriber] = set()
        self._last_ns = 0

    @property
    def listeners(self) -> int:
        """How many subscribers there are now."""
        return len(self._subscribers)

    def emit(self, type: str, action: str, actor_id: str, attributes: dict[str, str]) -> None:
        """Records that `action` happened to the object `actor_id` of the given type ("container", "image" …)."""
        now = max(time.time_ns(), self._last_ns + 1)
        self._last_ns = now
        event = Event(
            Type=type,
            Action=action,
            Actor=Actor(actor_id, attributes),
            time=now // 1_000_000_000,
            time_nano=now,
            scope="local",
            status=action if type in {"container", "image"} else "",
            id=actor_id if type in {"container", "image"} else "",
            source=attributes.get("image", "") if type == "container" else "",
        )
        self._history.append(event)
        for subscriber in self._subscribers:
            subscriber.put(event)

    async def subscribe(
        self, since_ns: int | None = None, until_ns: int | None = None, filters: Filters | None = None
    ) -> AsyncGenerator[Event, None]:
        """Events in order: those of the history from `since_ns` on, then new ones, until `until_ns`.

        Without `until_ns` it goes on for ever; without `since_ns` (and with `until_ns`, from the start) only
        new events are told. A subscriber that falls 10,000 events behind is ended.
        """
        filters = filters or Filters()
        subscriber = _Subscriber()
        if since_ns is not None or until_ns is not None:
            subscriber.queue.extend(event for event in self._history if event.time_nano >= (since_ns or 0))
        self._subscribers.add(subscriber)
        try:
            while True:
                while subscriber.queue:
                    event = subscriber.queue.popleft()
                    if until_ns is not None and event.time_nano > until_ns:
                        return
                    if matches(filters, event):
                        yield event
                if subscriber.overrun or not await _more(subscriber, until_ns):
                    return
        finally:
            self._subscribers.discard(subscriber)


async def _more(subscriber: _Subscriber, until_ns: int | None) -> bool:
    """Waits for the next event; False when the end of the time asked for came first."""
    subscriber.wake.clear()
    if until_ns is None:
        await subscriber.wake.wait()
        return True
    left_seconds = (until_ns - time.time_ns()) / 1e9
    if left_seconds <= 0:
        return False
    try:
        async with asyncio.timeout(left_seconds):
            await subscriber.wake.wait()
    except TimeoutError:
        return False
    return True


def matches(filters: Filters, event: Event) -> bool:
    """True when an event passes the filters of the events endpoint."""
    if not filters:
        return True
    attributes = event.Actor.Attributes
    name = attributes.get("name", "")
    return (
        (filters.exact("event", event.Action) or filters.exact("event", event.Action.partition(":")[0]))
        and filters.exact("type", event.Type)
        and filters.exact("scope", event.scope)
        and filters.labels("label", attributes)
        and _of_image(filters, event)
        and all(
            _of_type(filters, kind, event, name)
            for kind in ("container", "plugin", "volume", "network", "daemon", "service", "node", "secret", "config")
        )
    )


def _of_type(filters: Filters, kind: str, event: Event, name: str) -> bool:
    """A filter named after a type lets only events of that type through, by name, id or start of the id."""
    if kind not in filters or not filters.get(kind):
        return True
    return event.Type == kind and (filters.exact(kind, name) or filters.prefix(kind, event.Actor.ID))


def _of_image(filters: Filters, event: Event) -> bool:
    """Events of an image, or of a container made from it; a name without its tag matches every tag."""
    if not filters.get("image"):
        return True
    attributes: Mapping[str, str] = event.Actor.Attributes
    name = attributes.get("name" if event.Type == "image" else "image", "")
    return filters.exact("image", event.Actor.ID, name, _without_tag(name), _without_tag(event.Actor.ID))


def _without_tag(reference: str) -> str:
    head, colon, tail = reference.rpartition(":")
    return head if colon and "/" not in tail else reference
