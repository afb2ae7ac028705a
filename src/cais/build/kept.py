"""Contexts that are kept between builds, so that a client sends only what has changed.

    buildcontexts/KEY/GENERATION/tree       the files
                                 manifest   what the client said of them (kept_files.py)
                                 digests    digests of files that were needed so far, by inode
                                 boot       since when the machine runs

A client that builds from one folder again and again has one key for it, and offers a manifest. What the newest
generation of the key has exactly so is not asked for: the next generation gets it as a hard link. Generations never
change, and one goes when a newer one is there and no build uses it any more.
"""

import asyncio
import contextlib
import os
import re
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cais.build import context as contexts
from cais.build.kept_files import Files, all_there, boot_id, complete, is_file, parse_manifest
from cais.engine.text import reason
from cais.engine.work import to_the_end
from cais.errors import InvalidArgument, NotFound, Unavailable
from cais.storage.trees import remove_tree

LIMIT_BYTES: Final = 20 << 30
"""How much all contexts may take before those that were used least recently go."""

_MANIFEST: Final = "manifest"
_KEY: Final = re.compile(r"[0-9a-f]{64}")
_RECORD: Final = struct.Struct("<Q32s")
_MOST_OFFERS: Final = 32
_OFFER_SECONDS: Final = 600.0


@dataclass(slots=True)
class Generation:
    """One state of a folder. manifest: the digest of what the client said of it.

    digests: those of its files' contents, by inode; builds add to them.
    """

    key: str
    id: str
    path: Path
    manifest: bytes
    digests: dict[int, bytes]
    size_bytes: int
    made_ns: int
    used_ns: int
    users: int = 0
    uses: int = 1
    saved_digests: int = 0

    @property
    def tree(self) -> Path:
        return self.path / "tree"

    def files(self) -> Files:
        """What the manifest says. Blocks. Raises: InvalidArgument, OSError."""
        return parse_manifest((self.path / _MANIFEST).read_bytes())


@dataclass(frozen=True, slots=True)
class Offer:
    """A manifest that was offered. `missing`: the numbers of the files to send; None: nothing has changed."""

    id: str
    missing: list[int] | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    key: str
    manifest: bytes
    files: Files
    missing: frozenset[str]
    base: Generation | None
    made_at: float


class KeptContexts:
    """All of them, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._newest: dict[str, Generation] = {}
        self._by_id: dict[str, Generation] = {}
        self._pending: dict[str, _Pending] = {}
        self._loaded: asyncio.Task[None] | None = None
        self._removals: set[asyncio.Task[None]] = set()

    async def offer(self, key: str, manifest: bytes) -> Offer:
        """Say which files of a manifest are missing. Raises: InvalidArgument."""
        if not _KEY.fullmatch(key):
            raise InvalidArgument(f"invalid key of a context: {key[:80]}")
        await self._load()
        newest = self._newest.get(key)
        if newest is not None and newest.manifest == sha256(manifest).digest():
            return Offer(newest.id)
        self._drop_offers()
        if newest is not None:
            newest.users += 1  # until the offer is filled, or forgotten
        try:
            files, missing = await asyncio.to_thread(_compare, manifest, newest)
        except BaseException:
            self._release(newest)
            raise
        offered = os.urandom(16).hex()
        wanted = frozenset(path for _, path in missing)
        self._pending[offered] = _Pending(key, manifest, files, wanted, newest, time.monotonic())
        return Offer(offered, [number for number, _ in missing])

    async def fill(self, offered: str, body: AsyncIterator[bytes]) -> str:
        """Take the archive of what was missing, and of everything that is no file; the id of the context.

        Raises: NotFound for an offer that nobody remembers; InvalidArgument for an archive that does not fit;
        Unavailable.
        """
        pending = self._pending.pop(offered, None)
        if pending is None:
            raise NotFound(f"no such offer of a context: {offered[:80]}")
        path = self._folder / pending.key / offered
        try:
            await asyncio.to_thread(path.mkdir, 0o700, parents=True)
            await contexts.receive(body, path / "tree")
            digests = await to_the_end(asyncio.to_thread(_completed, pending, path))
        except BaseException as error:
            await to_the_end(asyncio.to_thread(_discard, path))
            if isinstance(error, OSError):
                raise Unavailable(f"keep the context: {reason(error)}") from error
            raise
        finally:
            self._release(pending.base)
        now = time.time_ns()
        digest = sha256(pending.manifest).digest()
        made = Generation(pending.key, offered, path, digest, digests, _size(pending.files), now, now)
        replaced = self._newest.get(pending.key)
        self._newest[pending.key] = self._by_id[offered] = made
        self._release(replaced, used=False)
        self._keep_within_limit(made)
        return offered

    @asynccontextmanager
    async def use(self, context_id: str) -> AsyncIterator[Generation]:
        """A context that stays while the block lasts. Raises: NotFound."""
        await self._load()
        found = self._by_id.get(context_id)
        if found is None:
            raise NotFound(f"no such context: {context_id[:80]}")
        found.users += 1
        found.uses += 1
        found.used_ns = time.time_ns()
        try:
            yield found
        finally:
            if len(found.digests) != found.saved_digests:
                await to_the_end(asyncio.to_thread(_save_digests, found))
            self._release(found)

    async def close(self) -> None:
        """Wait until what was being removed is gone."""
        await asyncio.gather(*self._removals, return_exceptions=True)

    async def all(self) -> list[Generation]:
        """The newest of each context."""
        await self._load()
        self._drop_offers()
        return list(self._newest.values())

    async def remove(self, key: str) -> bool:
        """Forget a context; False when a build uses it."""
        await self._load()
        generation = self._newest.get(key)
        if generation is None or generation.users:
            return False
        del self._newest[key]
        self._by_id.pop(generation.id, None)
        await asyncio.to_thread(_discard, generation.path)
        return True

    def _release(self, generation: Generation | None, *, used: bool = True) -> None:
        """Somebody needs it no longer; it goes when it is not the newest one, and nobody else does."""
        if generation is None:
            return
        generation.users -= used
        if generation.users == 0 and self._newest.get(generation.key) is not generation:
            self._by_id.pop(generation.id, None)
            self._remove_later(generation.path)

    def _remove_later(self, path: Path) -> None:
        task = asyncio.create_task(asyncio.to_thread(_discard, path), name="old context")
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    def _drop_offers(self) -> None:
        """Forget the offers that nobody seems to fill."""
        oldest = time.monotonic() - _OFFER_SECONDS
        for offered, pending in list(self._pending.items()):
            if pending.made_at < oldest or len(self._pending) >= _MOST_OFFERS:
                del self._pending[offered]
                self._release(pending.base)

    def _keep_within_limit(self, made: Generation) -> None:
        total = 0
        for generation in sorted(self._newest.values(), key=lambda one: one.used_ns, reverse=True):
            total += generation.size_bytes
            if total > LIMIT_BYTES and generation is not made and not generation.users:
                del self._newest[generation.key]
                self._release(generation, used=False)

    async def _load(self) -> None:
        """Find what earlier processes have kept, once."""
        if self._loaded is None:
            self._loaded = asyncio.create_task(self._read(), name="kept contexts")
        await asyncio.shield(self._loaded)

    async def _read(self) -> None:
        found, useless = await asyncio.to_thread(_found, self._folder)
        for generation in found:
            self._newest[generation.key] = self._by_id[generation.id] = generation
        for path in useless:
            self._remove_later(path)


def _compare(manifest: bytes, newest: Generation | None) -> tuple[Files, list[tuple[int, str]]]:
    """The files of a manifest, and those that the newest generation has not so, with their numbers. Blocks."""
    files = parse_manifest(manifest)
    known: Files = {}
    if newest is not None:
        with contextlib.suppress(OSError, InvalidArgument):  # then all of it is sent
            known = newest.files()
    missing = [
        (number, path)
        for number, (path, fields) in enumerate(files.items())
        if is_file(fields) and known.get(path) != fields
    ]
    return files, missing


def _discard(path: Path) -> None:
    """Remove a generation, and the folder of its key when no other is in it. Blocks."""
    remove_tree(path)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _size(files: Files) -> int:
    return sum(int(fields[1]) for fields in files.values())


def _completed(pending: _Pending, path: Path) -> dict[int, bytes]:
    """Add what was not sent. Blocks. Returns the digests that are known of it."""
    base = pending.base
    linked = complete(path / "tree", pending.files, pending.missing, base.tree if base is not None else None)
    (path / "boot").write_text(boot_id())
    (path / _MANIFEST).write_bytes(pending.manifest)
    known = base.digests if base is not None else {}
    return {inode: known[inode] for inode in linked if inode in known}


def _found(folder: Path) -> tuple[list[Generation], list[Path]]:
    """The whole generations that are on disk, and the folders of what is none. Blocks."""
    generations: list[Generation] = []
    useless: list[Path] = []
    for key in folder.iterdir() if folder.is_dir() else ():
        try:
            paths = sorted(key.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        except OSError:
            continue
        newest = next((path for path in reversed(paths) if (path / _MANIFEST).is_file()), None)
        generation = _read_whole(newest) if newest is not None else None
        if generation is not None:
            generations.append(generation)
        useless += [path for path in paths if generation is None or path != generation.path]
    return generations, useless


def _read_whole(path: Path) -> Generation | None:
    """A generation as it is on disk; None where a power cut may have damaged it, since it was never synced. Blocks."""
    try:
        if (path / "boot").read_text() == boot_id():
            generation = _read(path)
            if all_there(generation.tree, generation.files()):
                return generation
    except (OSError, ValueError, InvalidArgument):
        pass
    return None


def _read(path: Path) -> Generation:
    digests = _read_digests(path)
    manifest = (path / _MANIFEST).read_bytes()
    made_ns = (path / _MANIFEST).stat().st_mtime_ns
    size_bytes = _size(parse_manifest(manifest))
    return Generation(
        path.parent.name,
        path.name,
        path,
        sha256(manifest).digest(),
        digests,
        size_bytes,
        made_ns,
        made_ns,
        saved_digests=len(digests),
    )


def _save_digests(generation: Generation) -> None:
    """Keep the digests for later processes; without them they are only made again. Blocks."""
    known = list(generation.digests.items())
    generation.saved_digests = len(known)
    place = generation.path / "digests"
    try:
        new = place.with_suffix(".new")
        new.write_bytes(b"".join(_RECORD.pack(inode, digest) for inode, digest in known))
        new.rename(place)
    except OSError:
        return


def _read_digests(path: Path) -> dict[int, bytes]:
    try:
        data = (path / "digests").read_bytes()
    except OSError:
        return {}
    return dict(_RECORD.iter_unpack(data[: len(data) - len(data) % _RECORD.size]))
