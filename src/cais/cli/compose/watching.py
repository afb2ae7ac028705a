"""`cais compose events`, `stats` and `top`."""

from __future__ import annotations

from cais.cli.command import Command
from cais.cli.compose.call import for_compose
from cais.cli.flags import TABLE_FORMAT, Flag, switch
from cais.cli.output import out
from cais.cli.stats import STATS as STATS_OF_CONTAINERS
from cais.cli.times import timestamp
from cais.client import system
from cais.client.codec import dumps_readable
from cais.client.http import quote
from cais.compose import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.client.model import Event

_LEAST_WIDTH = 4
_HIDDEN = "com.docker.compose."


def _events(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    since, until = (timestamp(given.text(flag)) for flag in ("since", "until"))
    filters = {"label": [f"{labels.PROJECT}={name}"], "type": ["container"]}
    for event in system.events(call.engine, since, until, filters):
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        service = attributes.get(labels.SERVICE, "")
        if attributes.get(labels.ONE_OFF) == "True" or (call.arguments and service not in call.arguments):
            continue
        out(_json(event, service) if given.on("json") else f"{_text(event)}\n")
    return 0


def _shown(event: Event) -> dict[str, str]:
    attributes = (event.get("Actor") or {}).get("Attributes") or {}
    return {name: value for name, value in sorted(attributes.items()) if not name.startswith(_HIDDEN)}


def _moment(event: Event, form: str) -> str:
    import time  # noqa: PLC0415

    nanoseconds = event.get("timeNano", 0)
    seconds, rest = divmod(nanoseconds, 10**9)
    return time.strftime(form, time.localtime(seconds)) + f".{rest // 1000:06d}"


def _text(event: Event) -> str:
    attributes = ", ".join(f"{name}={value}" for name, value in _shown(event).items())
    identity = (event.get("Actor") or {}).get("ID", "")
    moment = _moment(event, "%Y-%m-%d %H:%M:%S")
    return f"{moment} container {event.get('Action', '')} {identity} ({attributes})"


def _json(event: Event, service: str) -> str:
    return dumps_readable(
        {
            "action": event.get("Action", ""),
            "attributes": _shown(event),
            "id": (event.get("Actor") or {}).get("ID", ""),
            "service": service,
            "time": _moment(event, "%Y-%m-%dT%H:%M:%S"),
            "type": "container",
        }
    )


def _stats(call: Call) -> int:
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    found = call.containers(name, call.arguments, stopped=call.flags.on("all"))
    if not found:
        return 0
    return STATS_OF_CONTAINERS.run(call.about([one.identity[:12] for one in found]))


def _top(call: Call) -> int:
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    rows: list[list[str]] = []
    for container in call.containers(name, call.arguments, stopped=False):
        found = call.engines.get(f"/containers/{quote(container.identity)}/top")
        if not rows:
            rows.append(["SERVICE", "#", *found["Titles"]])
        rows += [[container.service, str(container.number), *process] for process in found["Processes"] or ()]
    if rows:
        out(_aligned(rows))
    return 0


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(max(map(len, column)) + 2, _LEAST_WIDTH) for column in zip(*rows, strict=False)]
    lines = ["".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return "\n".join(lines)


EVENTS = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("json", "Output events as a stream of json objects"),
        Flag("since", "Show all events created since timestamp"),
        Flag("until", "Stream events until this timestamp"),
    ),
    for_compose(_events),
)
STATS = Command(
    "[OPTIONS] [SERVICE]",
    "",
    (
        switch("all", "Show all containers (default shows just running)", "a"),
        TABLE_FORMAT,
        switch("no-stream", "Disable streaming stats and only pull the first result"),
        switch("no-trunc", "Do not truncate output"),
    ),
    for_compose(_stats),
)
TOP = Command("[SERVICES...]", "", (), for_compose(_top))
