"""Removing folders whose content came from somebody else."""

import errno
import os
import threading
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def remove_tree(path: Path | str, stopped: threading.Event | None = None) -> None:
    """Remove the folder `path` and all that is in it; nothing happens when it is not there.

    No link is followed, and nesting of any depth costs neither stack nor descriptors: a folder that is not
    empty is first moved to the top. Goes on after a failure, and raises the first one at the end.
    When `stopped` is set, it returns soon, whatever is left.
    """
    try:
        top_fd = os.open(path, _FOLDER)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(path)
        return
    try:
        first_error = _Removal(top_fd, stopped or threading.Event()).run()
    finally:
        os.close(top_fd)
    if stopped is not None and stopped.is_set():
        return
    try:
        os.rmdir(path)
    except OSError as error:
        raise first_error or error from None


class _Removal:
    def __init__(self, top_fd: int, stopped: threading.Event) -> None:
        self._top_fd = top_fd
        self._stopped = stopped
        self._waiting = ["."]
        self._moved = 0

    def run(self) -> OSError | None:
        first_error: OSError | None = None
        while self._waiting and not self._stopped.is_set():
            name = self._waiting.pop()
            try:
                self._empty(name)
                if name != "." and not self._stopped.is_set():
                    os.rmdir(name, dir_fd=self._top_fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                first_error = first_error or error
        return first_error

    def _empty(self, name: str) -> None:
        fd = os.open(name, _FOLDER, dir_fd=self._top_fd)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if self._stopped.is_set():
                        return
                    if entry.is_dir(follow_symlinks=False):
                        self._remove_folder(fd, entry.name, at_top=name == ".")
                    else:
                        os.unlink(entry.name, dir_fd=fd)
        finally:
            os.close(fd)

    def _remove_folder(self, parent_fd: int, name: str, at_top: bool) -> None:
        try:
            os.rmdir(name, dir_fd=parent_fd)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            self._waiting.append(name if at_top else self._move_to_top(parent_fd, name))

    def _move_to_top(self, parent_fd: int, name: str) -> str:
        while True:
            self._moved += 1
            moved = f".removed-{self._moved}"
            try:
                os.rename(name, moved, src_dir_fd=parent_fd, dst_dir_fd=self._top_fd)
            except OSError as error:
                if error.errno not in _OCCUPIED:
                    raise
            else:
                return moved
