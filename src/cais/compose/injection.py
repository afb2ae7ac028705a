"""Secrets and configs that are no files of this machine: their content is put into the container before it starts."""

from __future__ import annotations

import time

from cais.client.http import quote
from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project

_BLOCK = 512


def inject(engines: Engines, project: Project, service: Tree, identity: str) -> None:
    """Raises ComposeError for a variable that is not set, and EngineError."""
    for kind in ("secrets", "configs"):
        entries: dict[str, Tree] = getattr(project, kind)
        for use in service.get(kind) or ():
            entry = entries[use["source"]]
            if entry.get("file") or entry.get("external"):
                continue
            from cais.compose.spec_mounts import file_target  # noqa: PLC0415 -- few services have any

            data = _content(project, kind, entry).encode("utf-8", "surrogateescape")
            archive = _archive(file_target(kind, use), data, use)
            if engines.rehearses:
                continue
            with engines.one() as engine:
                query = {"path": "/", "copyUIDGID": "1"}
                path = f"/containers/{quote(identity)}/archive"
                engine.send_blocks("PUT", path, query, [archive], "application/x-tar").read()


def _content(project: Project, kind: str, entry: Tree) -> str:
    if entry.get("content") is not None:
        content: str = entry["content"]
        return content
    variable = entry.get("environment", "")
    if variable not in project.environment:
        raise ComposeError(f'environment variable "{variable}" required by {kind[:-1]} "{entry["name"]}" is not set')
    return project.environment[variable]


def _archive(target: str, data: bytes, use: Tree) -> bytes:
    """A tar archive of one file."""
    header = bytearray(_BLOCK)
    name = target.lstrip("/").encode()
    if len(name) > 100:
        raise ComposeError(f"the target is too long: {target}")
    mode = int(use.get("mode") or "0444", 8)
    owner, group = int(use.get("uid") or 0), int(use.get("gid") or 0)
    fields = (
        (0, name),
        (100, b"%07o" % mode),
        (108, b"%07o" % owner),
        (116, b"%07o" % group),
        (124, b"%011o" % len(data)),
        (136, b"%011o" % int(time.time())),
        (148, b" " * 8),
        (156, b"0"),
        (257, b"ustar\x0000"),
    )
    for offset, content in fields:
        header[offset : offset + len(content)] = content
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % _BLOCK) + bytes(2 * _BLOCK)
