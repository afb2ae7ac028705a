"""Blobs: files named by their digest, immutable.

    ROOT/HEX    the content whose SHA-256 is HEX: configurations and manifests of images, archives of layers

A blob is written under a temporary name, synced and renamed, so that it is there whole or not at all; what
is read is verified, so that a flipped bit is found before it is used.

Who needs a blob is counted. When the last one lets go, the blob goes too, or stays *unused* where that was
asked for: what an interrupted pull has received whole is there for the next one.
"""

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from cais.errors import Internal, InvalidArgument, NotFound, Unavailable
from cais.storage.blobfiles import BlobReader, BlobWriter

MAX_BYTES: Final = 64 << 20
"""The largest blob that is read as a whole."""

_HEX: Final = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Blobs in one folder, for any thread. `temporary` is a folder of the same file system that is swept at start."""

    def __init__(self, root: Path, temporary: Path, *, make_room: Callable[[], None] | None = None) -> None:
        """make_room: is called before bytes are written, and may wait for some room on the disk."""
        self._make_room = make_room
        self._root = root
        self._temporary = temporary
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}
        self._users: Counter[str] = Counter()
        self._partial: dict[str, BlobWriter] = {}

    def open(self, keep: Collection[str]) -> None:
        """Make the folder when missing, and remove every file but the blobs whose digests are in `keep`."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {hex_of(digest) for digest in keep}
        for entry in os.scandir(self._root):
            if entry.name in names and entry.is_file(follow_symlinks=False):
                self._sizes["sha256:" + entry.name] = entry.stat(follow_symlinks=False).st_size
            else:
                os.unlink(entry.path)

    # -- questions

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return digest in self._sizes

    def size(self, digest: str) -> int:
        """Its bytes. Raises: NotFound."""
        try:
            return self._sizes[digest]
        except KeyError:
            raise NotFound(f"blob {digest} not found") from None

    def total_bytes(self) -> int:
        """The bytes of all blobs."""
        with self._lock:
            return sum(self._sizes.values())

    def unused(self) -> list[str]:
        """The blobs that nobody needs."""
        with self._lock:
            return [digest for digest in self._sizes if not self._users[digest]]

    # -- reading

    def read(self, digest: str) -> bytes:
        """The bytes of a blob. Raises: NotFound; Internal when they are no longer those of the digest."""
        name = hex_of(digest)
        try:
            with open(self._root / name, "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None
        if hashlib.sha256(data).hexdigest() != name:
            raise Internal(f"blob {digest} is damaged: its content has another digest")
        return data

    def reader(self, digest: str) -> BlobReader:
        """The blob as a stream that is verified while it is read, also when it is removed meanwhile.

        Raises: NotFound.
        """
        try:
            fd = os.open(self._root / hex_of(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None
        return BlobReader(fd, digest, self.discard)

    # -- writing

    def put(self, data: bytes, *, retain: bool = False) -> str:
        """Keep the bytes and return their digest "sha256:HEX". They are on the disk when this returns.

        retain: count one user of it.
        Raises: Unavailable when the disk is full.
        """
        with self.writer(None) as writer:
            writer.write(data)
            return writer.commit(retain=retain)  # over an existing one too, which may be damaged

    def writer(self, expected: str | None) -> BlobWriter:
        """A writer of a new blob; its `commit` refuses content of another digest than the expected one.

        Where a writer of the same digest was closed before its end, the new one goes on from there: see its
        `offset`. Of several writers of one digest at the same time, one does; all may commit.
        Raises: InvalidArgument for a malformed digest; Unavailable when the disk is full.
        """
        name = "new" if expected is None else hex_of(expected)[:12]
        path = self._temporary / f"blob-{name}-{os.urandom(8).hex()}"
        with self._lock:
            earlier = None if expected is None else self._partial.pop(expected, None)
        try:
            return BlobWriter(path, expected, self._publish, self._keep_partial, earlier, make_room=self._make_room)
        except OSError as error:
            raise Unavailable(f"store a blob: {error.strerror}") from error

    def adopt(self, path: Path, digest: str, *, retain: bool = False) -> None:
        """Make a file a blob; it keeps its name too, and must not be changed any more.

        Whoever calls has seen that its content has the digest. retain: count one user of it.
        Raises: Unavailable when it cannot be brought to the disk.
        """
        linked = self._temporary / f"blob-{hex_of(digest)[:12]}-{os.urandom(8).hex()}"
        try:
            os.link(path, linked)
            fd = os.open(linked, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fchmod(fd, 0o600)
                os.fsync(fd)
                size_bytes = os.fstat(fd).st_size
            finally:
                os.close(fd)
            self._publish(linked, digest, size_bytes, retain)
        except OSError as error:
            linked.unlink(missing_ok=True)
            raise Unavailable(f"store blob {digest}: {error.strerror}") from error

    def partial(self, digest: str) -> int:
        """The bytes that an interrupted writer of the blob has left, until caisd ends or `forget_partial`."""
        with self._lock:
            writer = self._partial.get(digest)
            return writer.offset if writer else 0

    def forget_partial(self) -> int:
        """Throw away what interrupted writers have left; returns how many bytes that were."""
        with self._lock:
            left, self._partial = list(self._partial.values()), {}
        for writer in left:
            writer.path.unlink(missing_ok=True)
        return sum(writer.offset for writer in left)

    # -- who needs what

    def retain(self, digest: str) -> bool:
        """Count one more user of a blob; False when it is not there."""
        with self._lock:
            if digest not in self._sizes:
                return False
            self._users[digest] += 1
            return True

    def release(self, digest: str, *, spare: bool = False) -> bool:
        """Count one user less; with the last one the blob goes, unless it is to be spared. Whether it went."""
        with self._lock:
            self._users[digest] -= 1
            if self._users[digest] > 0:
                return False
            del self._users[digest]
            return not spare and self._remove(digest)

    def remove_unused(self, digest: str) -> int:
        """Remove a blob that nobody needs; returns the bytes that this frees, 0 when somebody needs it now."""
        with self._lock:
            if self._users[digest]:
                return 0
            size_bytes = self._sizes.get(digest, 0)
            self._remove(digest)
            return size_bytes

    def discard(self, digest: str) -> None:
        """Remove a damaged blob, whoever needs it: bringing it here again repairs it."""
        with self._lock:
            self._remove(digest)

    def _remove(self, digest: str) -> bool:
        (self._root / hex_of(digest)).unlink(missing_ok=True)
        return self._sizes.pop(digest, None) is not None

    def _publish(self, path: Path, digest: str, size_bytes: int, retain: bool) -> None:
        with self._lock:
            os.replace(path, self._root / hex_of(digest))
            self._sizes[digest] = size_bytes
            if retain:
                self._users[digest] += 1
        sync_folder(self._root)

    def _keep_partial(self, writer: BlobWriter) -> None:
        assert writer.expected is not None  # noqa: S101  only such writers are kept
        with self._lock:
            other = self._partial.get(writer.expected)
            longest = writer if other is None or other.offset < writer.offset else other
            self._partial[writer.expected] = longest
        for left in (writer, other):
            if left is not None and left is not longest:
                left.path.unlink(missing_ok=True)


def hex_of(digest: str) -> str:
    """HEX of "sha256:HEX", safe as a file name. Raises: InvalidArgument."""
    algorithm, _, encoded = digest.partition(":")
    if algorithm != "sha256" or not _HEX.fullmatch(encoded):
        raise InvalidArgument(f"invalid digest {digest[:200]!r}")
    return encoded


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk. fsync(2)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
