"""Files that a layer has in common with the context that they were copied from: linked, not copied.

Making a file costs ten times what naming it once more costs. What a copy would have exactly so (owner, mode, time)
may share the file itself, since neither a layer nor a context is ever written to. It is linked into the read-write
layer directly, when its overlay is gone, for nothing can be linked across mounts.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

MOST_LINKS: Final = 60_000  # ext4 has 65,000
_STRICT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY

Copy = Callable[[int, str, int], None]
"""Copies a file of an open folder into another one, where it could not be linked."""


@dataclass(frozen=True, slots=True)
class LinkedFolder:
    """Files of one folder of a tree, for one folder of a layer. Both paths begin below the root."""

    source: str
    target: str
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Links:
    """What is to be linked, and the times that folders have afterwards."""

    folders: list[LinkedFolder] = field(default_factory=list)
    times: list[tuple[str, tuple[int, int]]] = field(default_factory=list)

    def carry_out(self, tree: int, diff: Path, copy: Copy, check: Callable[[], None]) -> None:
        """Link into the read-write layer `diff`, whose overlay is mounted no more. Blocks. Raises: OSError."""
        root = os.open(diff, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for item in self.folders:
                check()
                source = openat2(tree, item.source or ".", _FOLDER, resolve=_STRICT)
                try:
                    target = openat2(root, item.target or ".", _FOLDER, resolve=_STRICT)
                    try:
                        for name in item.names:
                            _link(source, name, target, copy)
                    finally:
                        os.close(target)
                finally:
                    os.close(source)
            for path, times in reversed(self.times):
                folder = openat2(root, path or ".", os.O_RDONLY | os.O_DIRECTORY, resolve=_STRICT)
                try:
                    os.utime(folder, ns=times)
                finally:
                    os.close(folder)
        finally:
            os.close(root)


def _link(source: int, name: str, target: int, copy: Copy) -> None:
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        os.unlink(name, dir_fd=target)
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError:  # too many links, or another file system
        copy(source, name, target)
