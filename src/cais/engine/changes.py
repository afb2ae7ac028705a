"""What a container has changed in its file system, against its image: `docker diff`.

The read-write layer is walked, and each of its entries looked for in the layers below. Both were written by
somebody else: every folder is opened by openat2(2) beneath its layer, without following a link.

An entry of a layer hides those of the layers below it: a whiteout (a character device 0:0) says that a name is gone,
an opaque folder (an extended attribute) that nothing of the folder below is left.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2
from cais.storage.overlay import is_opaque, is_whiteout

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
INSIDE: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


class Kind(IntEnum):
    """What happened to a path, by the API's numbers."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One changed path."""

    path: str
    kind: Kind


def changes(upper: Path, lower: Sequence[str]) -> list[Change]:
    """The changes of the layer `upper` against `lower`, topmost first; sorted by path. Blocks; for a thread.

    Raises OSError when the layer itself cannot be read.
    """
    with opened((str(upper), *lower)) as layers:
        return sorted(_Walk(layers[0]).run(layers[1:]))


@contextmanager
def opened(folders: Iterable[str]) -> Iterator[list[int]]:
    """The folders of layers, open for the time of the block. Raises OSError."""
    with ExitStack() as stack:
        layers = []
        for folder in folders:
            layers.append(os.open(folder, FOLDER | os.O_CLOEXEC))
            stack.callback(os.close, layers[-1])
        yield layers


class _Walk:
    """A walk over the read-write layer, beside what is visible of the layers below it."""

    def __init__(self, upper: int) -> None:
        self._upper = upper
        self._found: dict[str, Kind] = {}
        self._waiting: list[tuple[str, list[int]]] = []

    def run(self, lower: list[int]) -> Iterator[Change]:
        """The changes, in no order."""
        self._waiting.append((".", lower))
        while self._waiting:
            path, below = self._waiting.pop()
            self._folder(path, below)
        for path, kind in self._found.items():
            yield Change(f"/{os.fsdecode(path)}", kind)

    def _folder(self, path: str, below: list[int]) -> None:
        try:
            descriptor = openat2(self._upper, path, FOLDER, resolve=INSIDE)
        except OSError:
            return
        try:
            names = set()
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    names.add(entry.name)
                    self._entry(path, entry, below)
            if path != "." and is_opaque(descriptor):
                for name in visible_names(path, below) - names:
                    self._record(f"{path}/{name}", Kind.DELETED)
        finally:
            os.close(descriptor)

    def _entry(self, folder: str, entry: "os.DirEntry[str]", below: list[int]) -> None:
        path = entry.name if folder == "." else f"{folder}/{entry.name}"
        info = entry.stat(follow_symlinks=False)
        layers, known = visible_below(path, below)
        if is_whiteout(info):
            if known is not None:
                self._record(path, Kind.DELETED)
            return
        if known is None:
            self._record(path, Kind.ADDED)
        elif not stat.S_ISDIR(info.st_mode) or not stat.S_ISDIR(known.st_mode) or _differ(info, known):
            self._record(path, Kind.MODIFIED)
        if stat.S_ISDIR(info.st_mode):
            self._waiting.append((path, layers))

    def _record(self, path: str, kind: Kind) -> None:
        """Records a change, and that the folders above it have changed with it."""
        self._found[path] = kind
        parent = path.rpartition("/")[0]
        while parent and parent not in self._found:
            self._found[parent] = Kind.MODIFIED
            parent = parent.rpartition("/")[0]


def visible_below(path: str, layers: list[int]) -> tuple[list[int], os.stat_result | None]:
    """The layers in which a folder of this path is visible, and what the topmost has there, None for nothing."""
    visible: list[int] = []
    topmost: os.stat_result | None = None
    for layer in layers:
        try:
            descriptor = openat2(layer, path, os.O_PATH | os.O_NOFOLLOW, resolve=INSIDE)
        except OSError:
            continue
        try:
            info = os.fstat(descriptor)
            if is_whiteout(info):
                break
            if topmost is None:
                topmost = info
            if not stat.S_ISDIR(info.st_mode) or not stat.S_ISDIR(topmost.st_mode):
                break
            visible.append(layer)
            if is_opaque(descriptor):
                break
        finally:
            os.close(descriptor)
    return visible, topmost


def visible_names(path: str, layers: list[int]) -> set[str]:
    """What a folder had before an opaque one took its place; `layers` are those in which it is visible."""
    names: set[str] = set()
    hidden: set[str] = set()
    for layer in layers:
        try:
            descriptor = openat2(layer, path, FOLDER, resolve=INSIDE)
        except OSError:
            continue
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    gone = is_whiteout(entry.stat(follow_symlinks=False))
                    (hidden if gone and entry.name not in names else names).add(entry.name)
        finally:
            os.close(descriptor)
    return names - hidden


def _differ(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether a folder was changed itself, and not only copied up for what is in it."""
    return (one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns) != (
        other.st_mode, other.st_uid, other.st_gid, other.st_mtime_ns,
    )  # fmt: skip
