"""`cais events`: what happens in the engine, as it happens."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import EVENT_FORMAT, Flag, filter_flag
from cais.cli.formats import BAD_TEMPLATE, apply_typed, parsed_template
from cais.cli.output import out
from cais.cli.times import local_rfc3339, timestamp
from cais.client import system
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.client.model import Event

_NANOSECONDS = 10**9


def _events(call: Invocation) -> int:
    given = call.flags
    template = given.text("format")
    show = _shower(template)
    since, until = (timestamp(given.text(name)) for name in ("since", "until"))
    for event in system.events(call.engine, since, until, given.filters()):
        out(show(event), template=template)
    return 0


def _shower(template: str) -> Callable[[Event], str]:
    """What makes a line of an event. Raises CommandError for a template that is not well formed."""
    if not template:
        return _text
    if template == "json":
        return dumps_readable
    from cais.cli.gotemplate import TemplateError  # noqa: PLC0415 -- only for templates

    words = "Error parsing format"
    parsed = parsed_template(template, words=words)

    def show(event: Event) -> str:
        try:
            return apply_typed(parsed, event, "*events.Message")
        except TemplateError as error:
            raise CommandError(f"{words}: {error}", BAD_TEMPLATE) from None

    return show


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
