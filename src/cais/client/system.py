"""The calls of the Engine API about the engine itself."""

from __future__ import annotations

from cais.client.engine import filters_text, json_lines
from cais.client.http import quote
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cais.client.engine import Engine, Pending
    from cais.client.model import DiskUsage, Event, Info, Pruned, Version


def version(engine: Engine) -> Version:
    found: Version = engine.fetch("GET", "/version")
    return found


def disk_usage(engine: Engine) -> DiskUsage:
    found: DiskUsage = engine.fetch("GET", "/system/df")
    return found


def prune(engine: Engine, kind: str, filters: Mapping[str, Iterable[str]], **options: str) -> Pruned:
    """Remove what is not used of a kind: containers, networks, volumes, images, build."""
    query = dict(options)
    if filters:
        query["filters"] = filters_text(filters)
    found: Pruned | None = engine.fetch("POST", f"/{kind}/prune", query)
    return found or {}


def info(engine: Engine) -> Info:
    found: Info = engine.fetch("GET", "/info")
    return found


def events(engine: Engine, since: str, until: str, filters: Mapping[str, Iterable[str]]) -> Iterator[Event]:
    """What happens in the engine, as it happens; ends at `until` when that is given."""
    query = {name: value for name, value in (("since", since), ("until", until)) if value}
    if filters:
        query["filters"] = filters_text(filters)
    return json_lines(engine.call("GET", "/events", query))


def begin_events(engine: Engine, filters: Mapping[str, Iterable[str]]) -> Pending:
    """Ask for what happens from now on."""
    return engine.separately("GET", "/events", {"filters": filters_text(filters)})


def raw_object(
    engine: Engine, kind: str, name: str, *, size: bool = False, query: Mapping[str, str] | None = None
) -> bytes:
    """The JSON that describes an object of the named kind, as the engine wrote it. Raises InvalidArgument."""
    if kind == "container" and not name.strip():
        raise InvalidArgument("invalid container name or ID: value is empty")
    path = {
        "container": f"/containers/{quote(name)}/json",
        "image": f"/images/{quote(name)}/json",
        "network": f"/networks/{quote(name)}",
        "volume": f"/volumes/{quote(name)}",
        "plugin": f"/plugins/{quote(name)}/json",
        "node": f"/nodes/{quote(name)}",
        "service": f"/services/{quote(name)}",
        "task": f"/tasks/{quote(name)}",
        "secret": f"/secrets/{quote(name)}",
        "config": f"/configs/{quote(name)}",
    }[kind]
    return engine.call("GET", path, {"size": "1"} if size and kind == "container" else query).read()
