"""Unpacking an archive into a folder of a container, which may be changing it meanwhile: `docker cp`.

As when a layer is unpacked, nothing is reached by a path that anybody could swap: parent folders are opened inside the
container's root (RESOLVE_IN_ROOT), and what is made is made by descriptor. Unlike there, links that the container has
in its folders are followed, inside its root, and names of whiteouts mean nothing.
"""

import errno
import os
import stat
from dataclasses import dataclass
from posixpath import normpath
from typing import Final

from cais.errors import InvalidArgument
from cais.linux.fs import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    make_directories,
    openat2,
)
from cais.storage.tarstream import Entry, Kind, TarReader
from cais.storage.unpack import Unpacker, translate

_CONTAINED: Final = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_SAME_MOUNT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_MOST_LEVELS: Final = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Where an archive goes.

    root: a descriptor of the container's root. path: the folder, seen from there, absolute, and `folder`, a descriptor
    of it. owner: who gets everything, user and group; None: whom the archive says. replaces_kinds: a folder may take
    the place of a file, and the other way round. sets_folder: the folder gets the owner and mode that the archive says.
    """

    root: int
    path: str
    folder: int
    owner: tuple[int, int] | None = None
    replaces_kinds: bool = True
    sets_folder: bool = False


def unpack_live(reader: TarReader, target: Target, scratch: str) -> None:
    """Unpack every entry of the archive. scratch: a folder of ours for a temporary file without a name.

    Raises: InvalidArgument, Unavailable when the disk is full.
    """
    with _LiveUnpacker(target, scratch) as unpacker:
        for entry in reader:
            try:
                unpacker.add(unpacker.owned(entry), reader)
            except OSError as error:
                raise translate(error, entry) from error
        unpacker.finish()


class _LiveUnpacker(Unpacker):
    def __init__(self, target: Target, scratch: str) -> None:
        super().__init__(f"/proc/self/fd/{target.folder}/.", (), scratch)
        self._target = target

    def owned(self, entry: Entry) -> Entry:
        """The entry as it is to be made."""
        if self._target.owner is None:
            return entry
        uid, gid = self._target.owner
        values = {name: getattr(entry, name) for name in entry.__struct_fields__}
        return Entry(**{**values, "uid": uid, "gid": gid})

    def add(self, entry: Entry, reader: TarReader) -> None:
        if entry.kind is Kind.FOLDER and entry.name.strip(b"/") in {b"", b"."} and not self._target.sets_folder:
            return
        super().add(entry, reader)

    def _add_whiteout(self, parent: bytes, name: bytes) -> bool:
        return False

    def _remove(self, parent_fd: int, name: bytes) -> None:
        _remove(parent_fd, name, 0)

    def _check_kind(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        if self._target.replaces_kinds:
            return
        try:
            found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        is_folder = stat.S_ISDIR(found.st_mode)
        if is_folder == (entry.kind is Kind.FOLDER):
            return
        path = normpath(f"{self._target.path}/{os.fsdecode(entry.name)}")
        kinds = ("directory", "non-directory") if is_folder else ("non-directory", "directory")
        raise InvalidArgument(f'cannot overwrite {kinds[0]} "{path}" with {kinds[1]} "{self._target.path}"')

    def _make_parents(self, path: bytes) -> int:
        inside = f"{self._target.path}/{os.fsdecode(path)}"
        try:
            reached = make_directories(self._target.root, inside)
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror, path) from error
        os.close(reached)
        return openat2(self._target.root, inside, os.O_RDONLY | os.O_DIRECTORY, resolve=_CONTAINED)


def _remove(parent_fd: int, name: bytes | str, level: int) -> None:
    """Remove what is there, a folder with all that is in it, but nothing that a mount is on.

    The kernel would let us: it knows no mounts of the container's here, and undoes those that are in the way.
    """
    if level > _MOST_LEVELS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
    try:
        entry = openat2(parent_fd, name, os.O_PATH | os.O_NOFOLLOW, resolve=_SAME_MOUNT)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name) from error
    try:
        if not stat.S_ISDIR(os.fstat(entry).st_mode):
            os.unlink(name, dir_fd=parent_fd)
            return
        folder = openat2(entry, ".", os.O_RDONLY | os.O_DIRECTORY, resolve=_SAME_MOUNT)
    finally:
        os.close(entry)
    try:
        for child in os.listdir(folder):
            _remove(folder, child, level + 1)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent_fd)
