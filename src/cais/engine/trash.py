"""Deleting folders without making anyone wait: they are renamed into one folder, and deleted there in a thread.

What a crash leaves there is deleted at the next start.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final

from cais.storage.trees import remove_tree

CLOSE_SECONDS: Final = 5.0
"""How long a closing engine goes on deleting."""

_log = logging.getLogger("cais.engine.trash")
_PREFIX: Final = "removed-"
_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.1
_ROOM_BYTES: Final = 256 << 20
_ROOM_FILES: Final = 10_000


class Trash:
    """`folder` must be on the file system of what is thrown away, or the deletion is done in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: deque[Path] = deque()  # the first one is being deleted
        self._failures: dict[Path, int] = {}
        self._wake = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Starts the work, with everything in the folder: an earlier engine has left it behind.

        Nobody else may use the folder before this returns. Raises OSError.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in list(self._folder.iterdir()):
            if left.name.startswith(_PREFIX):
                self._waiting.append(left)
            else:
                self.throw(left)
        self._loop = asyncio.get_running_loop()
        self._wake.set()
        self._worker = self._loop.create_task(self._work(), name="trash")

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Goes on for some seconds, and then ends the work; what is left waits for the next start."""
        if self._worker is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.empty()
        self._stopped.set()
        self._wake.set()
        await self._worker
        self._worker = None

    async def empty(self) -> None:
        """Waits until all that was thrown away is deleted, or was given up."""
        while self._waiting:
            self._is_empty.clear()
            await self._is_empty.wait()

    def throw(self, path: Path) -> None:
        """Takes a folder away; when this returns nothing has its old name. A missing folder is fine.

        From any thread.
        """
        target = self._folder / f"{_PREFIX}{path.name[:64]}-{secrets.token_hex(4)}"
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return
        self.delete_later(target)

    def delete_later(self, path: Path) -> None:
        """Has a folder deleted where it is, on whatever file system that may be. From any thread."""
        self._waiting.append(path)
        if self._loop is not None and not self._stopped.is_set():
            self._loop.call_soon_threadsafe(self._wake.set)

    def make_room(self) -> None:
        """Where the disk is nearly full, waits for what is being deleted. Blocks: for a thread."""
        while self._waiting and not self._stopped.is_set() and _nearly_full(self._folder):
            time.sleep(_PAUSE_SECONDS)

    async def _work(self) -> None:
        while not self._stopped.is_set():
            await self._wake.wait()
            self._wake.clear()
            while self._waiting and not self._stopped.is_set():
                path = self._waiting[0]
                error = await asyncio.to_thread(_delete, path, self._stopped)
                self._waiting.popleft()
                if error is not None:
                    await self._again(path, error)
            self._failures.clear()
            self._is_empty.set()

    async def _again(self, path: Path, error: OSError) -> None:
        """Somebody may just be writing there: it is tried a few times more, after the others."""
        failures = self._failures.get(path, 0) + 1
        self._failures[path] = failures
        if failures == _ATTEMPTS:
            _log.error("cannot delete %s: %s", path, error)
            return
        self._waiting.append(path)
        await asyncio.sleep(_PAUSE_SECONDS)


def _nearly_full(folder: Path) -> bool:
    status = os.statvfs(folder)
    few_files = 0 < status.f_files and status.f_favail < _ROOM_FILES  # some file systems count none
    return status.f_bavail * status.f_frsize < _ROOM_BYTES or few_files


def _delete(path: Path, stopped: threading.Event) -> OSError | None:
    """Deletes what may have been filled by a container: however deep, and never through a link."""
    try:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path, stopped)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return error
    return None
