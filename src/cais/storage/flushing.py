"""Bringing what is being written to the disk meanwhile, so that little is left for the sync at the end."""

import os
import threading
from pathlib import Path
from typing import Final

from cais.linux.sync import syncfs

_PIECE_BYTES: Final = 32 << 20


class Flushing:
    """Syncs the file system of a folder in a thread, each time that some more has been written. A context manager.

    It is made before anything is written: an error in between is told to descriptors that were open then.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._written_bytes = 0
        self._enough = threading.Event()
        self._ended = False
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Flushing":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        os.close(self._fd)

    def add(self, count: int) -> None:
        """So many bytes more are being written. By one thread."""
        self._written_bytes += count
        if self._written_bytes >= _PIECE_BYTES:
            self._written_bytes = 0
            self._enough.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Return when everything is on the disk. Raises: OSError."""
        self._end()
        if self._error is not None:
            raise self._error
        syncfs(self._fd)

    def _end(self) -> None:
        self._ended = True
        self._enough.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended:
            try:
                syncfs(self._fd)
            except OSError as error:
                self._error = error
                return
            self._enough.clear()
            if not self._ended:
                self._enough.wait()
