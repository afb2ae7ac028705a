"""What a client that does not read has still to get, kept on disk."""

import os

from cais.linux.fs import punch_hole

_LIMIT_BYTES = 1024 * 1024 * 1024
_PUNCH_BYTES = 16 * 1024 * 1024


class Spill:
    """A queue of bytes in a file without a name. What was taken gives its space back."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd = -1
        self._punched_to = self._read_at = self._write_at = 0

    @property
    def size(self) -> int:
        """The bytes that wait."""
        return self._write_at - self._read_at

    def append(self, data: bytes) -> bool:
        """Whether there was room for `data`."""
        if self.size + len(data) > _LIMIT_BYTES:
            return False
        try:
            if self._fd < 0:
                self._fd = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            written = os.pwrite(self._fd, data, self._write_at)
        except OSError:
            return False
        self._write_at += written
        return written == len(data)

    def take(self, count: int) -> bytes:
        """The next bytes, b"" when none wait. Raises: OSError."""
        if not self.size:
            return b""
        data = os.pread(self._fd, min(count, self.size), self._read_at)
        self._read_at += len(data)
        if not self.size:
            os.ftruncate(self._fd, 0)
            self._punched_to = self._read_at = self._write_at = 0
        elif self._read_at - self._punched_to >= _PUNCH_BYTES:
            punch_hole(self._fd, self._punched_to, self._read_at - self._punched_to)
            self._punched_to = self._read_at
        return data

    def close(self) -> None:
        """Give everything back; what waits is lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._punched_to = self._read_at = self._write_at = 0
