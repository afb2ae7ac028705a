"""The paths in a Compose file, made absolute."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cais.compose.document import Tree

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/", "docker-image://", "oci-layout://")
_REFERENCES = ("service:", "target:")


def absolute(base: str, path: str) -> str:
    """As Go's filepath.Join does it; ~ is the user's home."""
    if path == "~" or path.startswith("~/"):
        path = os.path.expanduser(path)
    return os.path.normpath(os.path.join(base, path)) if path else base


def is_remote(context: str) -> bool:
    return context.startswith(_REMOTE) or "://" in context


def _context(base: str, context: str) -> str:
    if is_remote(context) or context.startswith(_REFERENCES):
        return context
    return absolute(base, context)


def resolve(data: Tree, base: str) -> None:
    """Make the paths of a tree in the long form absolute, in place; they are relative to `base`."""
    for service in (data.get("services") or {}).values():
        resolve_service(service, base)
    for kind in ("configs", "secrets"):
        for entry in (data.get(kind) or {}).values():
            _change(entry, "file", lambda path: absolute(base, path))
    for volume in (data.get("volumes") or {}).values():
        options = volume.get("driver_opts") or {}
        if volume.get("driver", "local") == "local" and options.get("o") == "bind":
            _change(options, "device", lambda path: absolute(base, path))


def resolve_service(service: Tree, base: str) -> None:
    if isinstance(build := service.get("build"), dict):
        build.setdefault("context", ".")
        _change(build, "context", lambda path: _context(base, path))
        contexts = build.get("additional_contexts")
        if isinstance(contexts, dict):
            build["additional_contexts"] = {name: _context(base, context) for name, context in contexts.items()}
    for entry in service.get("env_file") or ():
        _change(entry, "path", lambda path: absolute(base, path))
    if files := service.get("label_file"):
        service["label_file"] = [absolute(base, path) for path in files]
    for watch in (service.get("develop") or {}).get("watch") or ():
        _change(watch, "path", lambda path: absolute(base, path))
    for mount in service.get("volumes") or ():
        if isinstance(mount, dict) and mount.get("type") == "bind":
            _change(mount, "source", lambda path: absolute(base, path))


def _change(entry: Any, key: str, change: Callable[[str], str]) -> None:
    if entry.get(key):
        entry[key] = change(entry[key])
