"""Building an image of a service: its context is packed and sent to the engine's build."""

from __future__ import annotations

import os

from cais.client.codec import dumps
from cais.client.engine import json_lines
from cais.compose.context import pack
from cais.compose.errors import ComposeError
from cais.compose.paths import is_remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project

_UNSUPPORTED = ("ssh", "secrets", "additional_contexts", "cache_to", "provenance", "sbom", "entitlements")
_SAID = "is not supported by the engine's build API yet"


def build_image(
    engines: Engines,
    project: Project,
    service: str,
    tags: Sequence[str],
    output: int | None,
    *,
    query: Mapping[str, str],
    arguments: Sequence[str],
) -> None:
    """Build and tag. What the build says goes to the descriptor `output`. Raises ComposeError and EngineError."""
    build: Tree = project.services[service]["build"]
    for key in _UNSUPPORTED:
        if build.get(key):
            raise ComposeError(f"services.{service}.build.{key} {_SAID}")
    asked: dict[str, Any] = {**_query(project, service, build, arguments), **query, "t": list(tags)}
    context = build["context"]
    blocks: Iterator[bytes] = iter(())
    if is_remote(context):
        asked["remote"] = context
    else:
        if not os.path.isdir(context):
            raise ComposeError(f"unable to prepare context: path {context!r} not found")
        dockerfile, blocks = pack(context, build.get("dockerfile") or "", build.get("dockerfile_inline"))
        asked["dockerfile"] = dockerfile
    with engines.one() as engine:
        answer = engine.send_blocks("POST", "/build", asked, blocks, "application/x-tar")
        for message in json_lines(answer):
            _take(message, output)


def _take(message: Tree, output: int | None) -> None:
    if failure := (message.get("errorDetail") or {}).get("message") or message.get("error"):
        raise ComposeError(str(failure))
    if output is not None and message.get("stream"):
        os.write(output, message["stream"].encode())


def _query(project: Project, service: str, build: Tree, arguments: Sequence[str]) -> dict[str, Any]:
    args = {name: value for name, value in (build.get("args") or {}).items() if value is not None}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        args[name] = value if separator else project.environment.get(name, "")
    labels = {
        **(build.get("labels") or {}),
        "com.docker.compose.project": project.name,
        "com.docker.compose.service": service,
        "com.docker.compose.version": "5.6.1",
    }
    found: dict[str, Any] = {
        "buildargs": dumps(args).decode() if args else "",
        "labels": dumps(labels).decode(),
        "target": build.get("target", ""),
        "networkmode": build.get("network", ""),
        "shmsize": str(build.get("shm_size") or ""),
        "extrahosts": [host.replace("=", ":", 1) for host in build.get("extra_hosts") or ()],
        "cachefrom": dumps(build["cache_from"]).decode() if build.get("cache_from") else "",
        "nocache": "1" if build.get("no_cache") else "",
        "pull": "1" if build.get("pull") else "",
        "platform": (build.get("platforms") or [project.services[service].get("platform", "")])[0],
        "isolation": build.get("isolation", ""),
        "rm": "1",
    }
    if ulimits := build.get("ulimits"):
        found["ulimits"] = dumps(_ulimits(ulimits)).decode()
    return {key: value for key, value in found.items() if value}


def _ulimits(given: Tree) -> list[Tree]:
    found = []
    for name, value in given.items():
        soft, hard = (value["soft"], value["hard"]) if isinstance(value, dict) else (value, value)
        found.append({"Name": name, "Soft": soft, "Hard": hard})
    return found
