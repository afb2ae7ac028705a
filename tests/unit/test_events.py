import asyncio
import time

import msgspec

from cais.engine.events import HISTORY, Event, EventBus, matches
from cais.engine.filters import Filters


async def _collect(bus: EventBus, since_ns: int | None = None, filters: Filters | None = None) -> list[str]:
    return [event.Action async for event in bus.subscribe(since_ns, time.time_ns(), filters)]


async def test_the_past_is_told_in_order() -> None:
    bus = EventBus()
    for action in ("create", "start", "die"):
        bus.emit("container", action, "c1", {"name": "web"})
    assert await _collect(bus) == ["create", "start", "die"]


async def test_only_what_came_since_is_told() -> None:
    bus = EventBus()
    bus.emit("container", "create", "c1", {})
    await asyncio.sleep(0.002)
    since_ns = time.time_ns()
    bus.emit("container", "start", "c1", {})
    assert await _collect(bus, since_ns) == ["start"]


async def test_the_history_is_bounded() -> None:
    bus = EventBus()
    for number in range(HISTORY + 10):
        bus.emit("image", f"tag{number}", "i", {})
    told = await _collect(bus, 0)
    assert len(told) == HISTORY
    assert told[-1] == f"tag{HISTORY + 9}"


async def test_a_subscriber_gets_what_comes_and_is_gone_when_it_ends() -> None:
    bus = EventBus()
    stream = bus.subscribe()
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert bus.listeners == 1
    bus.emit("container", "start", "c1", {})
    assert (await waiting).Action == "start"
    await stream.aclose()
    assert bus.listeners == 0


async def test_a_subscriber_that_does_not_keep_up_is_ended() -> None:
    bus = EventBus()
    stream = bus.subscribe()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    for _ in range(10_002):
        bus.emit("container", "start", "c1", {})
    await first
    told = [event async for event in stream]
    assert len(told) == 9_999


async def test_times_never_repeat() -> None:
    bus = EventBus()
    for _ in range(50):
        bus.emit("container", "start", "c1", {})
    times = [event.time_nano async for event in bus.subscribe(0, time.time_ns() + 1000)]
    assert len(set(times)) == 50


def _event(**changes: object) -> Event:
    bus = EventBus()
    values = {"type": "container", "action": "exec_start: sh -c x", "actor_id": "abcdef", "attributes": {}} | changes
    bus.emit(**values)  # type: ignore[arg-type]
    return bus._history[0]


def test_filters_of_events() -> None:
    event = _event(attributes={"name": "web", "image": "busybox:latest", "tier": "front"})
    good: list[dict[str, list[str]]] = [
        {}, {"type": ["container"]}, {"event": ["exec_start"]}, {"event": ["exec_start: sh -c x"]},
        {"container": ["web"]}, {"container": ["abc"]}, {"image": ["busybox"]}, {"image": ["busybox:latest"]},
        {"label": ["tier=front"]}, {"type": ["image", "container"], "container": ["web"]},
    ]  # fmt: skip
    bad: list[dict[str, list[str]]] = [
        {"type": ["image"]}, {"event": ["start"]}, {"container": ["db"]}, {"image": ["alpine"]}, {"label": ["x"]},
        {"volume": ["web"]}, {"scope": ["swarm"]},
    ]  # fmt: skip
    assert all(matches(Filters(item), event) for item in good)
    assert not any(matches(Filters(item), event) for item in bad)


def test_an_event_as_the_api_shows_it() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(_event(attributes={"image": "busybox", "name": "web"})))
    assert shown["Type"] == "container"
    assert shown["Actor"] == {"ID": "abcdef", "Attributes": {"image": "busybox", "name": "web"}}
    assert shown["scope"] == "local"
    assert (shown["status"], shown["id"], shown["from"]) == ("exec_start: sh -c x", "abcdef", "busybox")
    assert shown["timeNano"] // 1_000_000_000 == shown["time"]
