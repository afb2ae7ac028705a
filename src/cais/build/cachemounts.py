"""The folders of `RUN --mount=type=cache`: what package managers keep from one build to the next.

    ROOT/HEX/data        one folder, by the digest of its id; HEX-1 and so on while `private` ones are in use
    ROOT/HEX/meta.json   its id, and when it was made

A command has a whole folder mounted, never a path inside of one, so that what another command does in it meanwhile
leads nowhere (CVE-2024-23651).
"""

import asyncio
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cais.storage.measure import disk_bytes
from cais.storage.trees import remove_tree


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """A cache that is kept. Times in nanoseconds since 1970."""

    key: str
    id: str
    size_bytes: int
    created_ns: int
    last_used_ns: int
    in_use: bool


class CacheMounts:
    """All of them, in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._users: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def use(
        self, identity: str, sharing: str, mode: int, owner: tuple[int, int]
    ) -> AsyncIterator[tuple[Path, bool]]:
        """The folder of a cache for the time of the block, and whether it is new.

        sharing: `shared`, `locked` (one user at a time) or `private` (another one for each at the same time).
        Raises: OSError.
        """
        key = hashlib.sha256(identity.encode()).hexdigest()[:32]
        if sharing == "locked":
            lock = self._locks.setdefault(key, asyncio.Lock())
            async with lock, self._held(key, identity, mode, owner) as found:
                yield found
            return
        if sharing == "private":
            number, base = 0, key
            while self._users[key]:
                number += 1
                key = f"{base}-{number}"
        async with self._held(key, identity, mode, owner) as found:
            yield found

    @asynccontextmanager
    async def _held(
        self, key: str, identity: str, mode: int, owner: tuple[int, int]
    ) -> AsyncIterator[tuple[Path, bool]]:
        self._users[key] += 1
        try:
            yield await asyncio.to_thread(self._open, key, identity, mode, owner)
        finally:
            self._users[key] -= 1

    def _open(self, key: str, identity: str, mode: int, owner: tuple[int, int]) -> tuple[Path, bool]:
        folder = self._root / key
        data, meta = folder / "data", folder / "meta.json"
        if meta.exists():
            os.utime(meta)
            return data, False
        self._root.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        data.mkdir(exist_ok=True)
        os.chown(data, *owner)
        data.chmod(mode)
        meta.write_text(json.dumps({"id": identity, "created_ns": time.time_ns()}))
        return data, True

    def all(self) -> list[CacheFolder]:
        """Every cache, with what it takes on the disk. Blocks."""
        found = []
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            try:
                meta = json.loads((folder / "meta.json").read_text())
                used_ns = (folder / "meta.json").stat().st_mtime_ns
            except (OSError, ValueError):
                continue
            size_bytes = disk_bytes(folder / "data")
            in_use = self._users[folder.name] > 0
            found.append(CacheFolder(folder.name, meta["id"], size_bytes, meta["created_ns"], used_ns, in_use))
        return found

    def remove(self, key: str) -> bool:
        """Remove a cache; False while it is used. Blocks. Raises: OSError."""
        if self._users[key]:
            return False
        remove_tree(self._root / key)
        return True
