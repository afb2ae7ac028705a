"""What COPY and ADD put into a stage: files and folders of a tree, by descriptor from end to end.

The destination is found as a process of the stage would find it, links included, and never outside of the stage; what
is made below it replaces a link and follows none.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from cais.build import trees
from cais.build.linking import MOST_LINKS, LinkedFolder, Links
from cais.build.modes import Mode
from cais.errors import InvalidArgument
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, make_directories, open_in_root, openat2

_PIECE_BYTES: Final = 1 << 20
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STRICT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_HOLE_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Look:
    """What copies have instead of what their sources have: owner, mode, times.

    owner: None keeps it. mode: None keeps it. time_ns: None keeps it. archive_owner: that of what is unpacked.
    """

    owner: tuple[int, int] | None = (0, 0)
    archive_owner: tuple[int, int] | None = None
    mode: Mode | None = None
    time_ns: int | None = None

    def ids(self, info: os.stat_result) -> tuple[int, int]:
        """User and group of a copy."""
        return (info.st_uid, info.st_gid) if self.owner is None else self.owner

    def is_kept(self, info: os.stat_result) -> bool:
        """Whether a copy of a file would have all that the file has."""
        return (
            stat.S_ISREG(info.st_mode)
            and self.ids(info) == (info.st_uid, info.st_gid)
            and self.mode_of(info) == stat.S_IMODE(info.st_mode)
            and self.time_ns in {None, info.st_mtime_ns}
            and info.st_nlink < MOST_LINKS
        )

    def mode_of(self, info: os.stat_result) -> int:
        """The permissions of a copy."""
        mode = stat.S_IMODE(info.st_mode)
        return mode if self.mode is None else self.mode.applied(mode, is_folder=stat.S_ISDIR(info.st_mode))

    def times(self, info: os.stat_result) -> tuple[int, int]:
        """Access and modification of a copy."""
        mtime_ns = info.st_mtime_ns if self.time_ns is None else self.time_ns
        return mtime_ns, mtime_ns


class Copying:
    """Copies into one stage's root, an open folder. Everything blocks, and raises OSError or InvalidArgument."""

    def __init__(self, root: int, look: Look, check: Callable[[], None] = lambda: None) -> None:
        """check: is called now and then; what it raises ends a copy."""
        self._root = root
        self.look = look
        self._check = check
        self.links = Links()
        """What is still to be linked, when the root is mounted no more."""

    def is_folder(self, path: str) -> bool:
        """Whether a path of the stage leads to a folder."""
        try:
            os.close(open_in_root(self._root, path or ".", os.O_PATH | os.O_DIRECTORY))
        except OSError:
            return False
        return True

    def copy(
        self, tree: int, source: str, destination: str, skip: trees.Skip | None = None, *, links: bool = False
    ) -> None:
        """Copy what a path of the tree leads to. A folder gives what is in it; a file becomes the destination, or goes
        into it where that ends with a slash or is a folder.

        links: files may be shared with the tree, which is no mount of its own; those are left to `self.links`.
        """
        with trees.opened(tree, source) as found:
            info = os.fstat(found)
            if stat.S_ISDIR(info.st_mode):
                base = _path_below(tree, found) if links else None
                self._copy_folder(found, destination, skip, base)
                return
            name = PurePosixPath(source).name
            if skip is not None and skip(name, False):
                return
            if destination.endswith("/") or self.is_folder(destination):
                destination = f"{destination.rstrip('/')}/{name}"
            folder, name = self._parent(destination)
            try:
                self._copy_file(found, info, folder, name)
            finally:
                os.close(folder)

    def write(self, content: bytes, destination: str, mode: int = 0o644) -> None:
        """Make a file of that content."""
        folder, name = self._parent(destination)
        try:
            self._make_room(folder, name)
            file = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
            try:
                _write_all(file, content)
                os.fchown(file, *(self.look.owner or (0, 0)))
                os.fchmod(file, mode if self.look.mode is None else self.look.mode.applied(mode, is_folder=False))
                if self.look.time_ns is not None:
                    os.utime(file, ns=(self.look.time_ns, self.look.time_ns))
            finally:
                os.close(file)
        finally:
            os.close(folder)

    def folder(self, path: str) -> int:
        """A folder of the stage, made with those above it where it is missing, owned as the copies are."""
        return self._make_folders(path)

    def _parent(self, destination: str) -> tuple[int, str]:
        path = PurePosixPath("/" + trees.inside(destination))
        if not path.name:
            raise InvalidArgument(f"cannot copy a file to {destination}")
        return self._make_folders(str(path.parent)), path.name

    def _make_folders(self, path: str) -> int:
        """Open a folder; what is missing of its path belongs to the owner of the copies."""
        missing = []
        known = PurePosixPath("/" + trees.inside(path))
        while str(known) != "/" and not self.is_folder(str(known)):
            missing.append(known)
            known = known.parent
        folder = make_directories(self._root, path or "/")
        owner = self.look.owner
        for made in missing:
            if owner not in (None, (0, 0)):
                descriptor = open_in_root(self._root, str(made), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fchown(descriptor, *(owner or (0, 0)))
                finally:
                    os.close(descriptor)
        return folder

    def _copy_folder(self, found: int, destination: str, skip: trees.Skip | None, base: str | None) -> None:
        """base: the path of the folder in its tree, where its files may be linked."""
        target = self._make_folders(destination)
        source = trees.reopen(found, os.O_RDONLY | os.O_DIRECTORY)
        made: list[tuple[str, os.stat_result]] = []
        fresh: set[str] = set()
        try:
            for path, descriptor, entries in trees.folders(source):
                self._check()
                chosen = [
                    (name, info)
                    for name, info in entries
                    if skip is None or not skip(f"{path}/{name}" if path else name, stat.S_ISDIR(info.st_mode))
                ]
                if not chosen:
                    continue
                below = self._open_below(target, path)
                try:
                    linked = None if base is None else f"{base}/{path}".strip("/")
                    self._copy_entries(descriptor, chosen, below, linked, is_fresh=path in fresh)
                    for name, info in chosen:
                        if stat.S_ISDIR(info.st_mode):
                            whole = f"{path}/{name}" if path else name
                            if self._make_folder(below, name, info):
                                fresh.add(whole)
                            made.append((whole, info))
                finally:
                    os.close(below)
            self._set_times(target, made)
        finally:
            os.close(source)
            os.close(target)

    def _copy_entries(
        self, folder: int, entries: trees.Entries, target: int, linked: str | None, *, is_fresh: bool
    ) -> None:
        """What is in a folder but for its folders: linked, where that is the same, or copied."""
        links: LinkedFolder | None = None
        for name, info in entries:
            if stat.S_ISDIR(info.st_mode):
                continue
            if linked is None or not self.look.is_kept(info):
                self._copy_entry(folder, name, info, target)
                continue
            if not is_fresh:
                self._make_room(target, name)
            if links is None:
                links = LinkedFolder(linked, os.readlink(f"/proc/self/fd/{target}").strip("/"))
                self.links.folders.append(links)
                _copy_up(target)
            links.names.append(name)

    def _set_times(self, target: int, made: list[tuple[str, os.stat_result]]) -> None:
        """A folder's time is that of the last thing made in it; it gets the one of its source."""
        if self.links.folders:
            base = os.readlink(f"/proc/self/fd/{target}").strip("/")
            self.links.times += [(f"{base}/{path}".strip("/"), self.look.times(info)) for path, info in made]
        for path, info in reversed(made):
            descriptor = openat2(target, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_STRICT)
            try:
                os.utime(descriptor, ns=self.look.times(info))
            finally:
                os.close(descriptor)

    def _open_below(self, target: int, path: str) -> int:
        """A folder below the destination. One that was left out itself is made when something in it was not."""
        try:
            return openat2(target, path or ".", os.O_PATH | os.O_DIRECTORY, resolve=_STRICT)
        except FileNotFoundError:
            return make_directories(target, path)

    def _make_folder(self, parent: int, name: str, info: os.stat_result) -> bool:
        """Whether it is new."""
        is_new = True
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            is_new = False
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise InvalidArgument(f"cannot copy to non-directory: {name}") from None
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.fchown(folder, *self.look.ids(info))
            os.fchmod(folder, self.look.mode_of(info))
        finally:
            os.close(folder)
        return is_new

    def copy_entry(self, folder: int, name: str, target: int) -> None:
        """Copy one file of an open folder into another one."""
        self._copy_entry(folder, name, os.stat(name, dir_fd=folder, follow_symlinks=False), target)

    def _copy_entry(self, folder: int, name: str, info: os.stat_result, target: int) -> None:
        """A file, link or device of a folder. Sockets, which no layer can hold, are left out."""
        if stat.S_ISREG(info.st_mode):
            file = trees.open_file(folder, name)
            try:
                self._write_copy(file, info, target, name)
            finally:
                os.close(file)
        elif not stat.S_ISSOCK(info.st_mode):
            self._make_room(target, name)
            if stat.S_ISLNK(info.st_mode):
                os.symlink(os.readlink(name, dir_fd=folder), name, dir_fd=target)
            else:
                os.mknod(name, stat.S_IFMT(info.st_mode) | 0o600, info.st_rdev, dir_fd=target)
            self._dress(target, name, info)

    def _copy_file(self, found: int, info: os.stat_result, folder: int, name: str) -> None:
        """What an O_PATH descriptor stands for: a file, or a FIFO or device."""
        if stat.S_ISREG(info.st_mode):
            file = trees.reopen(found, os.O_RDONLY | os.O_NONBLOCK)
            try:
                self._write_copy(file, info, folder, name)
            finally:
                os.close(file)
            return
        self._make_room(folder, name)
        os.mknod(name, stat.S_IFMT(info.st_mode) | 0o600, info.st_rdev, dir_fd=folder)
        self._dress(folder, name, info)

    def _write_copy(self, file: int, info: os.stat_result, folder: int, name: str) -> None:
        try:
            copy = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._make_room(folder, name)
            copy = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
        try:
            _copy_content(file, copy)
            os.fchown(copy, *self.look.ids(info))
            os.fchmod(copy, self.look.mode_of(info))
            _copy_capability(file, copy)
            os.utime(copy, ns=self.look.times(info))
        finally:
            os.close(copy)

    def _make_room(self, folder: int, name: str) -> None:
        """Take away what is at a name. Raises: InvalidArgument for a folder."""
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            raise InvalidArgument(f"cannot copy a file over the folder {name}") from None

    def _dress(self, folder: int, name: str, info: os.stat_result) -> None:
        """Owner, mode and time of what cannot be opened."""
        os.chown(name, *self.look.ids(info), dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            os.chmod(name, self.look.mode_of(info), dir_fd=folder)
        os.utime(name, ns=self.look.times(info), dir_fd=folder, follow_symlinks=False)


def _path_below(tree: int, found: int) -> str | None:
    """The path below an open tree that an open folder has really; None where it has none."""
    top, path = (os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in (tree, found))
    return path.removeprefix(top).strip("/") if f"{path}/".startswith(f"{top}/") else None


def _copy_up(folder: int) -> None:
    """Have overlayfs make a folder in the read-write layer, if it is not there yet, by changing nothing about it."""
    info = os.stat(".", dir_fd=folder)
    os.utime(".", ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=folder)


def _copy_content(source: int, copy: int) -> None:
    """Copy the content of a file. Where a whole piece is zeros the copy gets a hole."""
    position = 0
    while piece := os.read(source, _PIECE_BYTES):
        if len(piece) < _HOLE_BYTES or piece.count(0) != len(piece):
            _write_all(copy, piece, position)
        position += len(piece)
    if position >= _HOLE_BYTES:
        os.ftruncate(copy, position)


def _write_all(file: int, data: bytes, position: int = 0) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(file, data[written:], position + written)


def _copy_capability(source: int, copy: int) -> None:
    try:
        value = os.getxattr(source, "security.capability")
    except OSError:
        return
    os.setxattr(copy, "security.capability", value)
