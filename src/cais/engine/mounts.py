"""Bind mounts and tmpfs as users write them: `/host:/path[:options]`, `/path` with mount options."""

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cais.engine.models import MountPoint
from cais.engine.text import printable
from cais.errors import InvalidArgument, Unsupported

_ACCESS: Final = frozenset({"ro", "rw"})
_LABELS: Final = frozenset({"z", "Z"})
_PROPAGATIONS: Final = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_CONSISTENCIES: Final = frozenset({"consistent", "cached", "delegated", "default"})
_GROUPS: Final = (_ACCESS, _LABELS, _PROPAGATIONS, _CONSISTENCIES, frozenset({"nocopy"}))

DEFAULT_PROPAGATION: Final = "rprivate"


def parse_binds(binds: Iterable[str]) -> list[MountPoint]:
    """The mounts of `HostConfig.Binds`, in the order given.

    Raises InvalidArgument in Docker's words; Unsupported for a named volume.
    """
    mounts = [parse_bind(bind) for bind in binds]
    seen: set[str] = set()
    for mount in mounts:
        if mount.Destination in seen:
            raise InvalidArgument(f"Duplicate mount point: {mount.Destination}")
        seen.add(mount.Destination)
    return mounts


def parse_bind(bind: str) -> MountPoint:
    """One bind mount. Raises InvalidArgument, or Unsupported for a named or anonymous volume."""
    if "\0" in bind:
        raise InvalidArgument(f"invalid volume specification: '{printable(bind)}'")
    parts = bind.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts[:2]):
        raise InvalidArgument(f"invalid volume specification: '{printable(bind)}'")
    if len(parts) == 1:
        raise Unsupported(f"anonymous volumes are not supported yet: '{printable(bind)}'")
    source, destination = parts[:2]
    mode = parts[2] if len(parts) == 3 else ""
    options = _options(mode)
    kind = "bind" if source.startswith("/") else "volume"
    _check_destination(bind, kind, destination)
    if kind == "volume":
        raise Unsupported(f"named volumes are not supported yet: '{printable(bind)}'")
    if "nocopy" in options:
        raise InvalidArgument(f"invalid mode: {printable(mode)}")
    propagation = next(iter(options & _PROPAGATIONS), DEFAULT_PROPAGATION)
    return MountPoint(
        Type="bind",
        Source=clean(source),
        Destination=clean(destination),
        Mode=mode,
        RW="ro" not in options,
        Propagation=propagation,
    )


def _options(mode: str) -> set[str]:
    """The options of a bind, at most one of each kind."""
    options = mode.split(",") if mode else []
    for option in options:
        if not any(option in group for group in _GROUPS):
            raise InvalidArgument(f"invalid mode: {printable(mode)}")
    if any(sum(option in group for option in options) > 1 for group in _GROUPS):
        raise InvalidArgument(f"invalid mode: {printable(mode)}")
    return set(options)


def _check_destination(bind: str, kind: str, destination: str) -> None:
    prefix = f"invalid volume specification: '{printable(bind)}': "
    mount = f'invalid mount config for type "{kind}": '
    if not destination.startswith("/"):
        raise InvalidArgument(
            f"{prefix}{mount}invalid mount path: '{printable(destination)}' mount path must be absolute"
        )
    if clean(destination) == "/":
        raise InvalidArgument(f"{prefix}{mount}invalid specification: destination can't be '/'")


def check_tmpfs(tmpfs: dict[str, str]) -> None:
    """Raises InvalidArgument for a target that is no path, or the root itself."""
    for destination in tmpfs:
        if not destination.startswith("/") or "\0" in destination:
            raise InvalidArgument(f"invalid mount path: '{printable(destination)}' mount path must be absolute")
        if clean(destination) == "/":
            raise InvalidArgument("invalid mount: destination can't be '/'")


def clean(path: str) -> str:
    """An absolute path without `.`, `..`, doubled or trailing slashes."""
    return "/" + posixpath.normpath(path).lstrip("/")


def missing_sources(mounts: Iterable[MountPoint]) -> list[MountPoint]:
    """The binds whose source is not there."""
    return [mount for mount in mounts if mount.Type == "bind" and not os.path.lexists(mount.Source)]


def make_missing_sources(mounts: Iterable[MountPoint]) -> None:
    """Makes a folder for every bind whose source is missing, as Docker does. Raises InvalidArgument."""
    for mount in missing_sources(mounts):
        try:
            Path(mount.Source).mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                f"error while creating mount source path '{mount.Source}': mkdir {mount.Source}: {error.strerror}"
            ) from error
