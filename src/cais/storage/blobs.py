"""Blobs: small files named by their digest, immutable.

    ROOT/HEX    the content whose SHA-256 is HEX

A blob is written under a temporary name, synced and renamed, so that it is there whole or not at all; what
is read is verified, so that a flipped bit is found before it is used.
"""

import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cais.errors import Internal, InvalidArgument, NotFound, Unavailable

MAX_BYTES: Final = 64 << 20

_HEX: Final = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Blobs in one folder. `temporary` is a folder of the same file system that is swept at start."""

    def __init__(self, root: Path, temporary: Path) -> None:
        self._root = root
        self._temporary = temporary

    def open(self, keep: Collection[str]) -> None:
        """Make the folder when missing, and remove every file but the blobs whose digests are in `keep`."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {hex_of(digest) for digest in keep}
        for entry in os.scandir(self._root):
            if entry.name not in names:
                os.unlink(entry.path)

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their digest "sha256:HEX". They are on the disk when this returns.

        Raises: Unavailable when the disk is full.
        """
        name = hashlib.sha256(data).hexdigest()
        path = self._root / name
        temporary = self._temporary / f"blob-{name}-{os.urandom(6).hex()}"
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # also over an existing one, which may be damaged
            sync_folder(self._root)
        except OSError as error:
            raise Unavailable(f"store blob sha256:{name}: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return "sha256:" + name

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

    def remove(self, digest: str) -> None:
        """Remove a blob, if it is there."""
        (self._root / hex_of(digest)).unlink(missing_ok=True)


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
