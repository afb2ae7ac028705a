"""Blobs as streams: written while they arrive, followed while they are written, verified while they are read.

arriving bytes ──write──▶ BlobWriter ──▶ file under a temporary name ──commit──▶ ROOT/HEX
                                           └──▶ Following, read by who unpacks what has arrived so far
"""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cais.errors import Internal, InvalidArgument, Unavailable

if TYPE_CHECKING:
    from hashlib import _Hash


class BlobWriter:
    """A blob that is being written, by one thread at a time; others may follow it. See `BlobStore.writer`.

    It ends with `commit`, `abort`, or `close`, which keeps what there is, so that the next writer of the same
    digest goes on from there. All blocks: for a thread.
    """

    def __init__(
        self,
        path: Path,
        expected: str | None,
        publish: Callable[[Path, str, int, bool], None],
        keep: "Callable[[BlobWriter], None]",
        earlier: "BlobWriter | None" = None,
        *,
        make_room: Callable[[], None] | None = None,
    ) -> None:
        self.path: Path = earlier.path if earlier else path
        self.expected = expected
        self.offset: int = earlier.offset if earlier else 0
        """The bytes written so far, from the beginning of the blob: where a download goes on."""
        self._publish = publish
        self._keep = keep
        self._make_room = make_room
        self._hash: _Hash = earlier._hash if earlier else hashlib.sha256()
        self._changed = threading.Condition()
        self._written: int = self.offset
        create = 0 if earlier else os.O_CREAT | os.O_EXCL
        self._fd = os.open(self.path, os.O_RDWR | create | os.O_CLOEXEC, 0o600)
        self._error: Exception | None = None
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip  # noqa: E501
        self.close()

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes at `offset`. Raises: Unavailable when the disk is full."""
        view = memoryview(data)
        self._hash.update(view)
        if self._make_room is not None:
            self._make_room()
        while view:
            try:
                count = os.pwrite(self._fd, view, self.offset)
            except OSError as error:
                raise Unavailable(f"store a blob: {error.strerror}") from error
            view = view[count:]
            with self._changed:
                self.offset += count
                self._written = max(self._written, self.offset)
                self._changed.notify_all()

    def restart(self) -> None:
        """Write from the beginning again; who follows waits until what it has read is there once more."""
        self._hash = hashlib.sha256()
        self.offset = 0

    def commit(self, *, retain: bool = False) -> str:
        """Verify the digest, bring the bytes to the disk, and make it a blob; returns its digest.

        retain: count one user of it, see `BlobStore.retain`.
        Raises: InvalidArgument when the digest is not the expected one: nothing is kept then; Unavailable.
        """
        digest = "sha256:" + self._hash.hexdigest()
        try:
            if self.expected not in (None, digest):
                raise InvalidArgument(f"unexpected digest of a blob: expected {self.expected}, got {digest}")
            try:
                os.ftruncate(self._fd, self.offset)
                os.fsync(self._fd)
                self._publish(self.path, digest, self.offset, retain)
            except OSError as error:
                raise Unavailable(f"store blob {digest}: {error.strerror}") from error
        except BaseException as error:
            self.abort(error if isinstance(error, InvalidArgument | Unavailable) else None)
            raise
        self._finish(None)
        return digest

    def abort(self, error: Exception | None = None) -> None:
        """Throw away what was written; who follows gets `error`. Harmless after the end."""
        if self._fd >= 0:
            self.path.unlink(missing_ok=True)
            self._finish(error or Unavailable("the blob was not received whole"))

    def close(self, error: Exception | None = None) -> None:
        """Stop, and keep what was written for the next writer of the digest. Harmless after the end."""
        if self._fd >= 0 and self.expected is not None and self.offset:
            self._keep(self)
            self._finish(error or Unavailable("the blob was not received whole"))
        else:
            self.abort(error)

    def follow(self) -> "Following":
        """A reader of the blob that begins at its start and waits for what is still to come.

        Its end is told only when the blob is committed.
        """
        return Following(self, os.dup(self._fd))

    def written_behind(self, position: int, stopped: threading.Event) -> int:
        """How many bytes there are behind `position`; waits for one, and is 0 at the blob's end.

        Raises: what the writer ended with; Unavailable when `stopped` is set (and `wake` called).
        """
        with self._changed:
            while self._written <= position and not self._whole and self._error is None and not stopped.is_set():
                self._changed.wait()
            if self._error is not None:
                raise self._error
            if stopped.is_set():
                raise Unavailable("reading a blob was stopped")
            return max(0, self._written - position)

    def wake(self) -> None:
        """Wake who waits in `written_behind`."""
        with self._changed:
            self._changed.notify_all()

    def _finish(self, error: Exception | None) -> None:
        with self._changed:
            fd, self._fd = self._fd, -1
            self._error = error
            self._whole = error is None
            self._changed.notify_all()
        os.close(fd)


class Following:
    """Reads a blob while it is written. Use as a context manager, or call `close`."""

    def __init__(self, writer: BlobWriter, fd: int) -> None:
        self._writer = writer
        self._fd = fd
        self._position = 0
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip  # noqa: E501
        self.close()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, waiting for them; nothing at the end, when the blob is whole and verified.

        Raises: what the writer ended with; Unavailable after `interrupt`.
        """
        there = self._writer.written_behind(self._position, self._stopped)
        data = os.pread(self._fd, min(size, there), self._position) if there else b""
        self._position += len(data)
        return data

    def interrupt(self) -> None:
        """End a `read` that waits, and every later one. From any thread."""
        self._stopped.set()
        self._writer.wake()

    def close(self) -> None:
        """Let go of the file; nobody may be reading."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class BlobReader:
    """A blob as a stream that is verified while it is read. Use as a context manager. See `BlobStore.reader`."""

    def __init__(self, fd: int, digest: str, damaged: Callable[[str], None]) -> None:
        self.size_bytes = os.fstat(fd).st_size
        self._fd = fd
        self._digest = digest
        self._damaged = damaged
        self._hash: _Hash = hashlib.sha256()
        self._left = self.size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip  # noqa: E501
        self.close()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; nothing at the end. The last bytes are given only when the whole is verified.

        Raises: Internal when the content has another digest than the blob's name: it is a blob no longer then.
        """
        data = os.read(self._fd, min(size, self._left))
        self._left -= len(data)
        self._hash.update(data)
        ended = not self._left or not data
        if ended and (self._left or "sha256:" + self._hash.hexdigest() != self._digest):
            self._damaged(self._digest)
            raise Internal(f"blob {self._digest} is damaged: its content has another digest")
        return data

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
