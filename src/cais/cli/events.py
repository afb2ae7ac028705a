"""`cais events`: what happens in the engine, as it happens."""

from __future__ import annotations

from cais.cli.command import Command, Invocation
from cais.cli.flags import EVENT_FORMAT, Flag, filter_flag
from cais.cli.formats import wants_json
from cais.cli.output import out
from cais.cli.times import local_rfc3339, timestamp
from cais.client import system
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import Event

_NANOSECONDS = 10**9


def _events(call: Invocation) -> int:
    given = call.flags
    as_json = wants_json(given.text("format"))
    since, until = (timestamp(name, given.text(name)) for name in ("since", "until"))
    for event in system.events(call.engine, since, until, given.filters()):
        out(dumps_readable(event) if as_json else _text(event))
    return 0


def _text(event: Event) -> str:
    actor = event.get("Actor", {})
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    moment = local_rfc3339(event.get("timeNano") or event.get("time", 0) * _NANOSECONDS)
    what = f"{moment} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{what} ({attributes})" if attributes else what


EVENTS = Command(
    "[OPTIONS]",
    "system events, events",
    (
        filter_flag(),
        EVENT_FORMAT,
        Flag("since", "Show all events created since timestamp"),
        Flag("until", "Stream events until this timestamp"),
    ),
    _events,
    0,
    0,
)
