"""The names of what an engine has, for the completion of command lines."""

from __future__ import annotations

from cais.client import containers as container_calls
from cais.client import images as image_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cais.client.engine import Engine

_NO_NAME = "<none>"


def containers(engine: Engine, states: Iterable[str] = ()) -> list[str]:
    """Of all containers, or of those in one of the states."""
    filters = {"status": list(states)} if states else {}
    found = container_calls.summaries(engine, everything=True, limit=0, size=False, filters=filters)
    return [name[1:] for container in found for name in container.get("Names") or [] if "/" not in name[1:]]


def images(engine: Engine) -> list[str]:
    found = image_calls.summaries(engine, everything=False, filters={})
    return [name for image in found for name in image.get("RepoTags") or [] if _NO_NAME not in name]


def networks(engine: Engine) -> list[str]:
    return [network["Name"] for network in engine.fetch("GET", "/networks")]


def volumes(engine: Engine) -> list[str]:
    return [volume["Name"] for volume in engine.fetch("GET", "/volumes").get("Volumes") or []]
