"""The files of a kept context: what a client says of them, and how a new generation is made of an older one.

A manifest has seven texts for each file, each of which ends with NUL: mode (octal), size, time of modification and of
change, inode, path, target of a link. It is compared, and nothing in it is trusted: paths are opened strictly below the
trees, and nothing is followed.
"""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cais.errors import InvalidArgument
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

FIELDS: Final = 7
_STRICT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
_LATEST_SECONDS: Final = 1 << 33
_MODE: Final = re.compile(r"[0-7]{1,7}")
_NUMBERS: Final = re.compile(r"(?:[0-9]{1,20}\0){4}")

Files = dict[str, tuple[str, ...]]
"""By path: mode, size, time of modification, time of change, inode, target."""


def parse_manifest(manifest: bytes) -> Files:
    """What a manifest says, in its order. Raises: InvalidArgument."""
    fields = manifest.decode("utf-8", "surrogateescape").split("\0")
    if fields.pop() != "" or len(fields) % FIELDS:
        raise InvalidArgument("invalid manifest of a context")
    files: Files = {}
    for at in range(0, len(fields), FIELDS):
        mode, size, modified, changed, inode, path, target = fields[at : at + FIELDS]
        if not _MODE.fullmatch(mode) or not _NUMBERS.fullmatch(f"{size}\0{modified}\0{changed}\0{inode}\0"):
            raise InvalidArgument("invalid manifest of a context")
        files[path] = (mode, size, modified, changed, inode, target)
    return files


def is_file(fields: tuple[str, ...]) -> bool:
    """Whether this is said of a file with bytes of its own."""
    return stat.S_ISREG(int(fields[0], 8))


def boot_id() -> str:
    """What tells one run of this machine from another."""
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def all_there(tree: Path, files: Files) -> bool:
    """Whether a tree that was complete once still has all files, with their sizes. Blocks."""
    return all(os.lstat(tree / path).st_size == int(fields[1]) for path, fields in files.items() if is_file(fields))


def complete(tree: Path, files: Files, missing: frozenset[str], old: Path | None) -> set[int]:
    """Link into a tree the files that are not missing from it, as an older tree has them, and see that all is there.

    Returns the inodes of what was linked. Blocks. Raises: InvalidArgument where something is not as the manifest says.
    """
    linked: set[int] = set()
    top = os.open(tree, _FOLDER | os.O_CLOEXEC)
    try:
        below = os.open(old, _FOLDER | os.O_CLOEXEC) if old is not None else -1
        try:
            for folder, names in _by_folder(files).items():
                _complete_folder(top, below, folder, names, files, missing, linked)
        finally:
            if below >= 0:
                os.close(below)
    finally:
        os.close(top)
    return linked


def _complete_folder(  # noqa: PLR0917 -- what one call of the above has in hand
    top: int, old: int, folder: str, names: Iterable[str], files: Files, missing: frozenset[str], linked: set[int]
) -> None:
    opened: list[int] = []
    try:
        here = openat2(top, folder or ".", _FOLDER, resolve=_STRICT)
        opened.append(here)
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if path not in missing:
                if len(opened) == 1:
                    opened.append(openat2(old, folder or ".", _FOLDER, resolve=_STRICT))
                os.link(name, name, src_dir_fd=opened[1], dst_dir_fd=here, follow_symlinks=False)
            info = os.stat(name, dir_fd=here, follow_symlinks=False)
            if not stat.S_ISREG(info.st_mode) or info.st_size != int(files[path][1]):
                raise InvalidArgument(f"the context lacks the file {path[:200]!r}")
            if path not in missing:
                linked.add(info.st_ino)
        if folder in files:  # whose time has changed with what was linked into it
            seconds = min(int(files[folder][2]) // 10**9, _LATEST_SECONDS)
            os.utime(here, (seconds, seconds))
    except OSError as error:
        raise InvalidArgument(f"the context lacks something in the folder {folder[:200]!r}") from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _by_folder(files: Files) -> dict[str, list[str]]:
    """The names of the files in each folder. Raises: InvalidArgument."""
    found: dict[str, list[str]] = {}
    for path, fields in files.items():
        if is_file(fields):
            folder, _, name = path.rpartition("/")
            if name in ("", ".", ".."):
                raise InvalidArgument(f"invalid path in a context: {path[:200]!r}")
            found.setdefault(folder, []).append(name)
    return found
