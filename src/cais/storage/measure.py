"""How much a tree of files takes.

What is counted was written by a container, which may go on writing: folders are opened by openat2(2) without following
any link, so that nothing outside the tree is ever looked at.
"""

import os
from pathlib import Path
from typing import Final

from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

_BLOCK_BYTES: Final = 512  # stat(2): the unit of st_blocks
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_INSIDE: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


def disk_bytes(folder: Path, *, allocated: bool = False) -> int:
    """The bytes of all files below a folder; a file with several names counts once. What cannot be read counts 0.

    allocated: of a sparse file only what it has on the disk.
    """
    try:
        root = os.open(folder, _FOLDER | os.O_CLOEXEC)
    except OSError:
        return 0
    seen: set[int] = set()
    total = 0
    waiting = ["."]
    try:
        while waiting:
            total += _count(root, waiting.pop(), waiting, seen, allocated)
    finally:
        os.close(root)
    return total


def _count(root: int, name: str, waiting: list[str], seen: set[int], allocated: bool) -> int:
    """The bytes of the files of one folder; the folders in it are added to those that wait."""
    total = 0
    try:
        descriptor = openat2(root, name, _FOLDER, resolve=_INSIDE)
    except OSError:
        return 0
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/{entry.name}")
                    continue
                info = entry.stat(follow_symlinks=False)
                if info.st_nlink == 1 or info.st_ino not in seen:
                    total += min(info.st_size, info.st_blocks * _BLOCK_BYTES) if allocated else info.st_size
                    seen.add(info.st_ino)
    except OSError:
        return total
    finally:
        os.close(descriptor)
    return total
