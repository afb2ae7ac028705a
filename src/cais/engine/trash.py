"""Deleting folders without making anyone wait: they are renamed into one folder, and deleted there in a thread.

What a crash leaves there is deleted at the next start.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections import deque
from pathlib import Path
from typing import Final

from cais.storage.trees import remove_tree

_log = logging.getLogger("cais.engine.trash")
_PREFIX: Final = "removed-"
_ATTEMPTS: Final = 20
_PAUSE_SECONDS: Final = 0.1


class Trash:
    """`folder` must be on the file system of what is thrown away, or the deletion is done in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: deque[Path] = deque()
        self._failures: dict[Path, int] = {}
        self._wake = asyncio.Event()
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
        self._wake.set()
        self._worker = asyncio.get_running_loop().create_task(self._work(), name="trash")

    async def close(self) -> None:
        """Ends the work; what is left waits for the next start."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
            self._worker = None

    def throw(self, path: Path) -> None:
        """Takes a folder away; when this returns nothing has its old name. A missing folder is fine."""
        target = self._folder / f"{_PREFIX}{path.name[:64]}-{secrets.token_hex(4)}"
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return
        self._waiting.append(target)
        self._wake.set()

    def delete_later(self, path: Path) -> None:
        """Has a folder deleted where it is, on whatever file system that may be."""
        self._waiting.append(path)
        self._wake.set()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                path = self._waiting[0]
                error = await asyncio.to_thread(_delete, path)
                self._waiting.popleft()
                if error is not None:
                    await self._again(path, error)
            self._failures.clear()

    async def _again(self, path: Path, error: OSError) -> None:
        """Somebody may just be writing there: it is tried a few times more, after the others."""
        failures = self._failures.get(path, 0) + 1
        self._failures[path] = failures
        if failures == _ATTEMPTS:
            _log.error("cannot delete %s: %s", path, error)
            return
        self._waiting.append(path)
        await asyncio.sleep(_PAUSE_SECONDS)


def _delete(path: Path) -> OSError | None:
    """Deletes what may have been filled by a container: however deep, and never through a link."""
    try:
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return error
    return None
