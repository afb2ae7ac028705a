"""`--squash`: the layers that a build has added, as one.

Each layer is laid over those before it as overlayfs would, but nothing is forgotten that hides something of the base:
what was removed stays removed. Files are linked, since a layer is never written to.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cais.build import trees
from cais.build.state import State
from cais.distribution.oci import History
from cais.engine.models import timestamp
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from cais.storage.layers import Layer
from cais.storage.overlay import OPAQUE, is_opaque, is_whiteout
from cais.storage.trees import remove_tree

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
_STRICT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_OVERLAY: Final = "trusted."


def merge(layers: Sequence[str], base: int, target: Path, check: Callable[[], None]) -> None:
    """Lay layers, the lowest first, over each other in an empty folder. base: the merged layers below all of them.

    check: raises when it is to be given up. Blocks. Raises: OSError.
    """
    root = os.open(target, _FOLDER | os.O_CLOEXEC)
    try:
        for layer in layers:
            top = os.open(layer, _FOLDER | os.O_CLOEXEC)
            try:
                _Merging(root, target, base).lay(top, check)
            finally:
                os.close(top)
    finally:
        os.close(root)


class _Merging:
    def __init__(self, root: int, path: Path, base: int) -> None:
        self._root = root
        self._path = path
        self._base = base

    def lay(self, top: int, check: Callable[[], None]) -> None:
        folders: list[tuple[str, os.stat_result]] = []
        for path, source, entries in trees.folders(top):
            check()
            target = openat2(self._root, path or ".", _FOLDER, resolve=_STRICT)
            try:
                for name, info in entries:
                    whole = f"{path}/{name}" if path else name
                    if stat.S_ISDIR(info.st_mode):
                        self._folder(source, target, name, whole)
                        folders.append((whole, info))
                    elif is_whiteout(info):
                        self._hide(target, name, whole)
                    else:
                        self._clear(target, name, whole)
                        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
            finally:
                os.close(target)
        for path, info in reversed(folders):
            folder = openat2(self._root, path, _FOLDER, resolve=_STRICT)
            try:
                os.utime(folder, ns=(info.st_mtime_ns, info.st_mtime_ns))
            finally:
                os.close(folder)

    def _hide(self, target: int, name: str, whole: str) -> None:
        self._clear(target, name, whole)
        if trees.exists(self._base, whole):
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=target)

    def _folder(self, source: int, target: int, name: str, whole: str) -> None:
        """Make a folder, or give one that is there the look of the newer one."""
        above = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        try:
            before = _lstat(target, name)
            hides = is_opaque(above)
            if before is None or not stat.S_ISDIR(before.st_mode) or hides:
                # What stood there hid a folder of the base too, if there is one.
                hides = hides or before is not None
                self._clear(target, name, whole)
                os.mkdir(name, 0o700, dir_fd=target)
            made = os.open(name, _FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
            try:
                _dress(above, made)
                if hides and trees.is_folder(self._base, whole):
                    os.setxattr(made, OPAQUE, b"y")
            finally:
                os.close(made)
        finally:
            os.close(above)

    def _clear(self, target: int, name: str, whole: str) -> None:
        """Take away what is at a name."""
        before = _lstat(target, name)
        if before is None:
            return
        if stat.S_ISDIR(before.st_mode):
            remove_tree(self._path / whole)
        else:
            os.unlink(name, dir_fd=target)


def _lstat(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _dress(source: int, target: int) -> None:
    """Owner, mode and attributes of a folder."""
    info = os.fstat(source)
    os.fchown(target, info.st_uid, info.st_gid)
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(_OVERLAY):
            os.setxattr(target, name, os.getxattr(source, name))


def squashed(state: State, below: State, layer: Layer | None) -> State:
    """The state with one layer in place of those that were added; the history says what was done all the same."""
    added = [_without_layer(step) for step in state.history[len(below.history) :]]
    merged = History(
        created=timestamp(state.created_ns),
        comment=f"merge {state.image_id} to {below.image_id if below.diff_ids else 'scratch'}",
        empty_layer=layer is None,
    )
    diff_ids = below.diff_ids if layer is None else (*below.diff_ids, layer.diff_id)
    return replace(state, diff_ids=diff_ids, history=(*below.history, *added, merged), base=None)


def _without_layer(step: History) -> History:
    """A step that has brought no layer of its own."""
    return History(
        created=step.created, created_by=step.created_by, author=step.author, comment=step.comment, empty_layer=True
    )
