"""The file systems of a build: what a stage has come to, merged from its layers, and the layer that a step adds.

    STEP/diff     what the step writes: the read-write layer of an overlay, and afterwards the layer itself
    STEP/work     overlayfs's own

Overlays are mounted detached: no path leads to them, and they are gone with their descriptors, whoever dies.
"""

import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cais.engine.work import Stopped
from cais.linux import mount
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from cais.runtime.merged import overlay
from cais.storage import tartree
from cais.storage.layers import Layer, Lease
from cais.storage.measure import disk_bytes

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_SAFE: Final = mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NODEV | mount.MOUNT_ATTR_NOEXEC
# the read-write layer says by itself what has changed, whatever the module's parameters
_PLAIN: Final = (("index", "off"), ("redirect_dir", "off"), ("metacopy", "off"))
EMPTY_LAYER: Final = "sha256:" + hashlib.sha256(tartree.EMPTY).hexdigest()


@dataclass(frozen=True, slots=True)
class StepFolder:
    """Where one step writes. `path` is on the file system of the layers."""

    path: Path

    @property
    def diff(self) -> Path:
        """The read-write layer."""
        return self.path / "diff"

    @property
    def work(self) -> Path:
        """The folder that overlayfs wants beside it."""
        return self.path / "work"

    @property
    def empty(self) -> Path:
        """A folder without anything, for what has no layer below it."""
        return self.path / "empty"

    def new_work(self) -> Path:
        """Another folder for overlayfs: one that a volatile mount has had is not taken again."""
        return Path(tempfile.mkdtemp(prefix="work-", dir=self.path))

    def make(self) -> None:
        """Make the folders. Raises: OSError."""
        self.path.mkdir(mode=0o700)
        for folder, mode in ((self.diff, 0o755), (self.work, 0o700), (self.empty, 0o755)):
            folder.mkdir(mode=mode)
            folder.chmod(mode)


@contextmanager
def writable(lower: Sequence[str], step: StepFolder) -> Iterator[int]:
    """The layers, topmost first, with the step's own on top: a descriptor of a folder that can be written to.

    Raises: OSError.
    """
    below = list(lower) or [str(step.empty)]
    work = step.new_work()
    options: list[tuple[str, str | None]] = [("upperdir", str(step.diff)), ("workdir", str(work)), *_PLAIN]
    with _mounted(below, [*options, ("volatile", None)], _SAFE) as root:
        yield root


@contextmanager
def merged(layers: Sequence[str], empty: Path) -> Iterator[int]:
    """The layers, topmost first, as one folder that cannot be written to. `empty` stands for no layer at all."""
    if len(layers) > 1:
        with _mounted(layers, [("index", "off")], _SAFE | mount.MOUNT_ATTR_RDONLY) as root:
            yield root
        return
    root = os.open(layers[0] if layers else empty, _FOLDER)
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def _mounted(layers: Sequence[str], options: Sequence[tuple[str, str | None]], attributes: int) -> Iterator[int]:
    detached = overlay(layers, options, attributes)
    try:
        root = os.open(".", _FOLDER, dir_fd=detached)
    finally:
        os.close(detached)
    try:
        yield root
    finally:
        os.close(root)


def take_layer(
    lease: Lease, step: StepFolder, parent: str | None, stopped: threading.Event, newest_seconds: int | None = None
) -> Layer | None:
    """Make a layer of what a step has written; None when it has written nothing. Nobody writes there any more.

    newest_seconds: later times of modification become this one. Blocks: for a thread.
    Raises: Stopped, OSError; Unavailable when the layer cannot be kept.
    """
    root = os.open(step.diff, _FOLDER)
    try:
        if newest_seconds is not None:
            _clamp_times(root, newest_seconds)
        hashed = hashlib.sha256()
        for piece in tartree.pack(root, layer=True):
            hashed.update(piece)
            if stopped.is_set():
                raise Stopped
    finally:
        os.close(root)
    diff_id = "sha256:" + hashed.hexdigest()
    if diff_id == EMPTY_LAYER:
        return None
    return lease.adopt_layer(step.diff, diff_id, parent, disk_bytes(step.diff))


def _clamp_times(root: int, newest_seconds: int) -> None:
    """Set what was modified after a time to that time, links included; folders after what is in them."""
    newest_ns = newest_seconds * 1_000_000_000
    waiting = ["."]
    while waiting:
        name = waiting.pop()
        folder = openat2(root, name, _FOLDER, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
        try:
            for child in os.listdir(folder):
                info = os.stat(child, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    waiting.append(f"{name}/{child}")
                if info.st_mtime_ns > newest_ns:
                    os.utime(child, ns=(newest_ns, newest_ns), dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(folder)
