"""Texts that were worked out once, kept in the user's cache folder by the hash of all that they depend on.

    $XDG_CACHE_HOME/cais/compose/KEY        or ~/.cache/cais/compose/KEY
        the SHA-256 of the rest in hexadecimal, and the texts, a line each

Nothing is ever told from the time of a file. An entry is written beside its place and renamed, so it is whole or not
there; one that is damaged, too long, or not the user's own and only his to write is as if it were not there. So is a
folder that cannot be written: nothing here raises OSError.
"""

from __future__ import annotations

import os
import stat

from cais.compose.digests import sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_ENTRIES = 64
MOST_BYTES = 1 << 20
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def folder_of(environment: Mapping[str, str]) -> str:
    """The folder for a user with this environment, "" for one who has none."""
    base = environment.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        home = environment.get("HOME", "")
        if not home.startswith("/"):
            return ""
        base = f"{home}/.cache"
    return f"{base}/cais/compose"


class Kept:
    """The texts in a folder, which need not exist."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def get(self, key: str) -> list[str] | None:
        """The texts that were put under a key, whole, or None."""
        try:
            folder = os.open(self._folder, _FOLDER_FLAGS)
        except OSError:
            return None
        try:
            return _texts_of(_read(folder, key)) if _is_own(os.fstat(folder)) else None
        except OSError:
            return None
        finally:
            os.close(folder)

    def put(self, key: str, texts: Sequence[str]) -> None:
        """Keep texts, none of which has a line end, where that is possible; old ones make way."""
        body = "\n".join(texts).encode()
        if len(body) > MOST_BYTES:
            return
        try:
            self._make_folder()
            folder = os.open(self._folder, _FOLDER_FLAGS)
        except OSError:
            return
        try:
            if _is_own(os.fstat(folder)):
                _write(folder, key, f"{sha256_hex(body)}\n".encode() + body)
                _make_way(folder)
        except OSError:
            return
        finally:
            os.close(folder)

    def _make_folder(self) -> None:
        """Nothing is made in a home that is another user's, which it is in many a `sudo`."""
        if os.path.isdir(self._folder):
            return
        above = self._folder
        while not os.path.exists(above):
            above = os.path.dirname(above)
        if os.stat(above).st_uid == os.geteuid():
            os.makedirs(self._folder, 0o700, exist_ok=True)


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _read(folder: int, key: str) -> bytes:
    file = os.open(key, _READ_FLAGS, dir_fd=folder)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or not _is_own(found) or found.st_size > 2 * MOST_BYTES:
            return b""
        return os.read(file, found.st_size)
    finally:
        os.close(file)


def _texts_of(data: bytes) -> list[str] | None:
    digest, _, body = data.partition(b"\n")
    if digest.decode("ascii", "replace") != sha256_hex(body):
        return None
    return body.decode().split("\n")


def _write(folder: int, key: str, data: bytes) -> None:
    name = f".{key}.{os.urandom(8).hex()}"
    file = os.open(name, _WRITE_FLAGS, 0o600, dir_fd=folder)
    try:
        try:
            while data:
                data = data[os.write(file, data) :]
        finally:
            os.close(file)
        os.rename(name, key, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise


def _make_way(folder: int) -> None:
    """Remove what is too much, beginning with what was written first; what a killed writer left goes likewise."""
    names = os.listdir(folder)
    if len(names) <= MOST_ENTRIES:
        return
    ages: list[tuple[int, str]] = []
    for name in names:
        try:
            ages.append((os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:
            continue
    for _, name in sorted(ages)[: len(ages) - MOST_ENTRIES]:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            continue
