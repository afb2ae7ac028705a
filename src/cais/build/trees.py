"""What COPY, ADD and `RUN --mount` find in a tree of files: a build's context, or what a stage has come to.

Whoever made the tree may have put any link into it: every path is opened with openat2(2) as if the tree were the root
(RESOLVE_IN_ROOT), and what lies inside a folder is never followed. CVE-2024-23652 and its like.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from posixpath import normpath
from typing import Final

from cais.engine.gopath import pattern as pattern_of
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_in_root, openat2

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_STRICT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_PIECE_BYTES: Final = 1 << 20
DEEP: Final = "**"
_WILD: Final = re.compile(r"[*?\[\\]")

Skip = Callable[[str, bool], bool]
"""Whether a path below the source is left out; the second argument tells a folder."""


def inside(path: str) -> str:
    """A path as it is meant inside a tree: below the root, without "." and "..". The root itself is ""."""
    return normpath("/" + path).lstrip("/")


def expand(root: int, pattern: str, *, deep: bool = False) -> list[str]:
    """The paths that a pattern of Go's filepath.Match means, sorted; a path without wildcards stands for itself.

    deep: "**" stands for any number of folders. Raises: InvalidArgument for a pattern that makes no sense.
    """
    parts = inside(pattern).split("/")
    found = [""]
    for number, part in enumerate(parts):
        if not _WILD.search(part):
            found = [f"{parent}/{part}".lstrip("/") for parent in found]
            continue
        if deep and part == DEEP:
            found = list(dict.fromkeys(below for parent in found for below in _folders_below(root, parent)))
            continue
        regex = pattern_of(part)
        found = [
            f"{parent}/{name}".lstrip("/")
            for parent in found
            for name in _names(root, parent)
            if regex.fullmatch(name) and (number == len(parts) - 1 or is_folder(root, f"{parent}/{name}"))
        ]
    if any(_WILD.search(part) for part in parts):
        found = [path for path in found if exists(root, path)]
    return found


def leading_parts(pattern: str, path: str) -> int:
    """With how many of its parts at least a path is what a pattern means, where "**" is deep; all where it never is."""
    names = path.split("/")
    counts = {0}
    for part in inside(pattern).split("/"):
        if part == DEEP:
            counts = set(range(min(counts, default=len(names) + 1), len(names) + 1))
        else:
            regex = pattern_of(part)
            counts = {count + 1 for count in counts if count < len(names) and regex.fullmatch(names[count])}
    return min(counts, default=len(names))


def _folders_below(root: int, folder: str) -> Iterator[str]:
    """A folder and all below it. Links are no folders."""
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        yield folder
        try:
            descriptor = open_in_root(root, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            with os.scandir(descriptor) as entries:
                names = sorted((entry.name for entry in entries if entry.is_dir(follow_symlinks=False)), reverse=True)
        finally:
            os.close(descriptor)
        waiting += [f"{folder}/{name}".lstrip("/") for name in names]


def has_wildcards(pattern: str) -> bool:
    """Whether a pattern may mean several paths."""
    return bool(_WILD.search(pattern))


def _names(root: int, folder: str) -> list[str]:
    try:
        descriptor = open_in_root(root, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return sorted(os.listdir(descriptor))
    finally:
        os.close(descriptor)


def is_folder(root: int, path: str) -> bool:
    """Whether a path leads to a folder."""
    try:
        os.close(open_in_root(root, path or ".", os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    return True


def is_folder_info(info: os.stat_result) -> bool:
    """Whether this is a folder."""
    return stat.S_ISDIR(info.st_mode)


def leads_somewhere(root: int, path: str) -> bool:
    """Whether a path leads to something, following links inside the tree."""
    try:
        os.close(open_in_root(root, path or ".", os.O_PATH))
    except OSError:
        return False
    return True


def exists(root: int, path: str) -> bool:
    """Whether there is something at a path, a link that leads nowhere included."""
    parent, _, name = path.rpartition("/")
    try:
        folder = open_in_root(root, parent or ".", os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        os.stat(name or ".", dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


@contextmanager
def opened(root: int, path: str) -> Iterator[int]:
    """An O_PATH descriptor of what a path leads to; links are followed inside the tree. Raises: OSError."""
    descriptor = open_in_root(root, path or ".", os.O_PATH)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


Entries = list[tuple[str, os.stat_result]]


def folders(top: int) -> Iterator[tuple[str, int, Entries]]:
    """A folder and all below it, a folder before those in it: its path from the top ("" or "a/b"), a descriptor that
    is closed behind it, and what is in it, sorted by name. Nothing is followed, whatever is there.

    Raises: OSError.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        descriptor = openat2(top, path or ".", _FOLDER, resolve=_STRICT)
        try:
            names = sorted(os.listdir(descriptor))
            entries = [(name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)) for name in names]
            below = [f"{path}/{name}" if path else name for name, info in entries if stat.S_ISDIR(info.st_mode)]
            waiting += reversed(below)
            yield path, descriptor, entries
        finally:
            os.close(descriptor)


def open_file(parent: int, name: str) -> int:
    """A regular file of a folder; neither a link nor a FIFO is opened. Raises: OSError."""
    descriptor = os.open(name, _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return descriptor


def reopen(descriptor: int, flags: int) -> int:
    """What an O_PATH descriptor stands for, opened for real. Raises: OSError."""
    return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_CLOEXEC)


def digest(
    root: int,
    path: str,
    skip: Skip | None = None,
    *,
    owners: bool = True,
    contents: dict[int, bytes] | None = None,
) -> str:
    """A digest of all that a copy of a path would bring: names, kinds, modes, owners, contents; not times.

    owners: leave these out where the copy gets others. contents: digests of files that are known already, by inode;
    they are added to. Links below the path are taken as they are. Blocks.
    Raises: OSError, FileNotFoundError where there is nothing.
    """
    hashed = hashlib.sha256()
    with opened(root, path) as top:
        info = os.fstat(top)
        if stat.S_ISDIR(info.st_mode):
            folder = reopen(top, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _add_folder(hashed, folder, skip, owners, contents)
            finally:
                os.close(folder)
        elif stat.S_ISREG(info.st_mode):
            _add_header(hashed, "", info, owners)
            hashed.update(_content(info, lambda: reopen(top, os.O_RDONLY | os.O_NONBLOCK), contents))
        else:
            _add_header(hashed, "", info, owners)
    return hashed.hexdigest()


def _add_folder(
    hashed: "hashlib._Hash", top: int, skip: Skip | None, owners: bool, known: dict[int, bytes] | None
) -> None:
    for folder, descriptor, entries in folders(top):
        for name, info in entries:
            path = f"{folder}/{name}" if folder else name
            if skip is not None and skip(path, stat.S_ISDIR(info.st_mode)):
                continue
            _add_header(hashed, path, info, owners)
            if stat.S_ISREG(info.st_mode):
                hashed.update(_content(info, lambda: open_file(descriptor, name), known))  # noqa: B023 -- called at once
            elif stat.S_ISLNK(info.st_mode):
                hashed.update(os.fsencode(os.readlink(name, dir_fd=descriptor)) + b"\0")


def _add_header(hashed: "hashlib._Hash", path: str, info: os.stat_result, owners: bool) -> None:
    owner = f"{info.st_uid}:{info.st_gid}" if owners else ""
    size = info.st_size if stat.S_ISREG(info.st_mode) else 0
    hashed.update(os.fsencode(f"{path}\0{info.st_mode:o} {owner} {info.st_rdev} {size}\0"))


def _content(info: os.stat_result, opener: Callable[[], int], known: dict[int, bytes] | None) -> bytes:
    """The digest of a file's bytes and its capabilities."""
    if known is not None and (found := known.get(info.st_ino)) is not None:
        return found
    file = opener()
    try:
        made = _content_digest(file)
    finally:
        os.close(file)
    if known is not None:
        known[info.st_ino] = made
    return made


def _content_digest(file: int) -> bytes:
    hashed = hashlib.sha256()
    while piece := os.read(file, _PIECE_BYTES):
        hashed.update(piece)
    try:
        hashed.update(b"security.capability\0" + os.getxattr(file, "security.capability"))
    except OSError:
        pass
    return hashed.digest()
