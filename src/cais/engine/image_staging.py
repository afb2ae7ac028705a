"""Receiving an archive of images: its members go to files, and layers are unpacked while they still arrive.

The latter is done where the archive says soon enough what its layers are for, as those do which `save` writes. Nothing
depends on it: what was unpacked ahead is found when all of the archive is here and understood, and what went wrong is
met again.
"""

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from cais.distribution.archive import Contents, Member, expected_layers
from cais.distribution.compression import decompressed
from cais.engine.work import Pipe
from cais.errors import CaisError, InvalidArgument, Unavailable
from cais.storage.layers import chain_id_of
from cais.storage.tarstream import Entry, Kind, Source, TarReader
from cais.storage.unpack import write_content

_BLOB_NAME: Final = re.compile(r"(?:\./)?blobs/sha256/([0-9a-f]{64})")
_LOOKS: Final = 64  # how often it is looked whether the archive says what its layers are

_log: Final = logging.getLogger("cais.engine.images")

UnpackLayer = Callable[[Source, Member, str | None, str], None]
"""Unpacks a layer from a source, which is the member's content, on the layer of that chainID, checking its diffID."""


def stage(pipe: Pipe, folder: Path, ahead: "Ahead") -> Contents:
    """Write the members of an archive to files with names of our own. Blocks.

    Raises: InvalidArgument for what is no archive or contradicts itself; Unavailable when the disk is full.
    """
    contents = Contents()
    reader = TarReader(decompressed(pipe))
    for number, entry in enumerate(reader):
        name = os.fsdecode(entry.name)
        match entry.kind:
            case Kind.FILE:
                named = _BLOB_NAME.fullmatch(name)
                member = Member(folder / str(number), entry.size, f"sha256:{named[1]}" if named else "")
                with Arriving(member) as arriving:
                    if named:
                        ahead.begin(contents, arriving)
                    _keep(arriving, name, entry, reader)
                contents.add_file(name, member)
            case Kind.SYMLINK | Kind.HARDLINK:
                contents.add_link(name, os.fsdecode(entry.link), hard=entry.kind is Kind.HARDLINK)
            case _:
                continue
    reader.drain()
    return contents


def _keep(arriving: "Arriving", name: str, entry: Entry, reader: TarReader) -> None:
    """Write one member. Raises: InvalidArgument when its name is a digest that its content does not have."""
    digest = arriving.member.digest
    hashed = hashlib.sha256() if digest else None
    try:
        write_content(arriving.fd, entry.size, arriving.told(reader.chunks()), hashed)
    except OSError as error:
        raise Unavailable(f"keep the archive: {error.strerror}") from error
    if hashed and hashed.hexdigest() != digest.removeprefix("sha256:"):
        raise InvalidArgument(f"invalid archive: the content of {name!r} has another digest")


class Arriving:
    """A member that is being written, by one thread; others may read it. Use as a context manager.

    Leaving it without an error says that the member is whole and verified.
    """

    def __init__(self, member: Member) -> None:
        self.member = member
        self.fd = os.open(member.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._written_bytes = 0
        self._whole = self._broken = False
        self._changed = threading.Condition()

    def __enter__(self) -> "Arriving":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self.fd)
        with self._changed:
            self._whole = kind is None
            self._broken = kind is not None
            self._changed.notify_all()

    def told(self, chunks: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """The chunks; each counts as written when the next one is asked for."""
        for chunk in chunks:
            yield chunk
            with self._changed:
                self._written_bytes += len(chunk)
                self._changed.notify_all()

    def written_behind(self, position: int) -> int:
        """How many bytes there are behind `position`; waits for one, and is 0 at the end of the whole member.

        Raises: Unavailable when the member does not become whole.
        """
        with self._changed:
            while self._written_bytes <= position and not self._whole and not self._broken:
                self._changed.wait()
            if self._broken:
                raise Unavailable("the archive did not arrive whole")
            return max(0, self._written_bytes - position)


class _Following:
    """Reads a member while it arrives."""

    def __init__(self, arriving: Arriving) -> None:
        self._arriving = arriving
        self._fd = os.open(arriving.member.path, os.O_RDONLY | os.O_CLOEXEC)
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, waiting for them; nothing at the end, when the member is whole and verified."""
        there = min(size, self._arriving.written_behind(self._position))
        data = os.pread(self._fd, there, self._position) if there else b""
        data = data or bytes(there)  # a hole at the end of the file
        self._position += len(data)
        return data

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


class Ahead:
    """Unpacks layers in a thread while they arrive, those below first, until `finish`.

    stopped: when it is set, nothing more is begun, and `unpack` raises soon.
    """

    def __init__(self, unpack: UnpackLayer, stopped: threading.Event) -> None:
        self._unpack = unpack
        self._stopped = stopped
        self._looks = _LOOKS
        self._chains: dict[str, list[tuple[str | None, str]]] = {}
        self._begun: set[str | None] = {None}
        self._queue: SimpleQueue[tuple[_Following, Arriving, str | None, str] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def finish(self) -> None:
        """Wait until what has begun is unpacked, or has failed. Blocks; nothing may begin any more."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def begin(self, contents: Contents, arriving: Arriving) -> None:
        """A member begins to arrive: it is unpacked, if it is a layer of which all those below have begun already."""
        if not self._chains and self._looks:
            self._looks -= 1
            self._chains = _chains(contents)
        for parent, diff_id in self._chains.get(arriving.member.digest, ()):
            chain_id = chain_id_of(parent, diff_id)
            if parent in self._begun and chain_id not in self._begun:
                self._begun.add(chain_id)
                self._queue.put((_Following(arriving), arriving, parent, diff_id))
        if self._thread is None and not self._queue.empty():
            self._thread = threading.Thread(target=self._run, name="unpack-ahead", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failed = False
        while (item := self._queue.get()) is not None:
            following, arriving, parent, diff_id = item
            try:
                if not failed and not self._stopped.is_set():
                    self._unpack(following, arriving.member, parent, diff_id)
            except Exception as error:  # noqa: BLE001  it is met again, by who has all of the archive
                failed = True
                _log.debug("unpack a layer ahead: %s", error)
            finally:
                following.close()


def _chains(contents: Contents) -> dict[str, list[tuple[str | None, str]]]:
    """The parents and diffIDs of layers, by the digests of their archives, as far as it is known by now."""
    try:
        images = expected_layers(contents)
    except CaisError:
        return {}
    chains: dict[str, list[tuple[str | None, str]]] = {}
    for layers in images:
        parent: str | None = None
        for name, diff_id in layers:
            if named := _BLOB_NAME.fullmatch(name):
                chains.setdefault(f"sha256:{named[1]}", []).append((parent, diff_id))
            parent = chain_id_of(parent, diff_id)
    return chains
