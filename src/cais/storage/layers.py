"""Layers, unpacked once and shared by every image and container that has them.

    ROOT/HEX/diff    the layer whose chainID is sha256:HEX, as overlayfs takes it for a lower folder

A chainID names a layer together with all below it (OCI image specification, config.md, "Layer ChainID"):
the same archive on another base is another layer. A layer is unpacked in a temporary folder, synced and
renamed. What it needs to live on is a row in the database; until its image is written there, and while an
operation works with it, a `Lease` keeps it. What nobody keeps is removed.

A layer that came as an archive keeps the blobs that reproduce it, compressed or plain: its files alone would not give
an archive of the same digest again. They live as long as any layer with that diffID. A layer that was made here, by a
build, has none until it is saved or pushed: packed again, it gives the archive that it got its diffID from.
"""

import hashlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cais.errors import InvalidArgument, NotFound, Unavailable
from cais.linux.sync import syncfs
from cais.storage.blobfiles import BlobWriter
from cais.storage.blobs import BlobStore, hex_of, sync_folder
from cais.storage.flushing import Flushing
from cais.storage.readahead import ReadAhead
from cais.storage.sources import Aside
from cais.storage.tarstream import Source, TarReader
from cais.storage.trees import remove_tree
from cais.storage.unpack import unpack

_log: Final = logging.getLogger("cais.storage")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer on disk."""

    chain_id: str
    diff_id: str
    parent: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """A blob that is a layer's archive, of that media type."""

    digest: str
    media_type: str
    size_bytes: int


class Lease:
    """What one operation keeps from being removed, from any thread, until `close`.

    spare_blobs: the blobs that nobody needs at the end stay, unused, for the next operation of the kind.
    """

    def __init__(self, store: "LayerStore", *, spare_blobs: bool = False) -> None:
        self._store = store
        self._spare_blobs = spare_blobs
        self._kept: list[str] = []
        self._blobs: list[str] = []

    def close(self) -> None:
        """Let go of everything. Blocks where layers go that nobody else keeps: for a thread."""
        kept, self._kept = self._kept, []
        self._store.release(kept)
        blobs, self._blobs = self._blobs, []
        for digest in blobs:
            self._store.blobs.release(digest, spare=self._spare_blobs)

    @property
    def blobs(self) -> BlobStore:
        """Where this lease's blobs are."""
        return self._store.blobs

    def keep_blob(self, digest: str) -> bool:
        """Keep a blob until the lease ends; False when it is not there."""
        kept = self._store.blobs.retain(digest)
        if kept:
            self._blobs.append(digest)
        return kept

    def commit(self, writer: BlobWriter) -> str:
        """Commit a blob, and keep it until the lease ends; returns its digest. Raises as `BlobWriter.commit`."""
        digest = writer.commit(retain=True)
        self._blobs.append(digest)
        return digest

    def archives(self, layer: Layer) -> list[LayerBlob]:
        """The blobs of a layer. See `LayerStore.archives`."""
        return self._store.archives(layer.diff_id)

    def adopt(self, path: Path, digest: str) -> None:
        """Make a file a blob, and keep it until the lease ends. See `BlobStore.adopt`."""
        self._store.blobs.adopt(path, digest, retain=True)
        self._blobs.append(digest)

    def attach(self, layer: Layer, blob: LayerBlob) -> None:
        """Say that a blob, which this lease keeps, is the archive of a layer, which it keeps too.

        Whoever calls has seen that the blob, decompressed, has the digest `layer.diff_id`. Raises: NotFound.
        """
        self._store.attach(layer.diff_id, blob)

    def keep(self, chain_id: str) -> Layer | None:
        """The layer, kept until the lease ends; None when it is not there."""
        layer = self._store.retain(chain_id)
        if layer is not None:
            self._kept.append(chain_id)
        return layer

    def unpack(
        self,
        source: Source,
        parent: str | None,
        expected_diff_id: str | None = None,
        interrupt: Callable[[], None] | None = None,
    ) -> Layer:
        """Unpack the plain archive of a layer on top of the layer `parent`, which this lease keeps.

        The layer is kept until the lease ends; one that is there already is used instead of the new copy.
        interrupt: ends a read of the source that waits, for when unpacking fails; the source is read ahead in
            another thread.
        Blocks: for a thread.
        Raises: InvalidArgument for a hostile archive, or one whose digest is not the expected one; Unavailable
            when the disk is full.
        """
        layer = self._store.add(source, parent, expected_diff_id, interrupt)
        self._kept.append(layer.chain_id)
        return layer

    def adopt_layer(self, folder: Path, diff_id: str, parent: str | None, size_bytes: int) -> Layer:
        """Take a read-write layer of overlayfs over, which nobody writes to any more, on top of the layer `parent`.

        folder: on the file system of the store; it is moved away, or left to the caller when there is such a layer
        already. diff_id: the digest of its archive, as `tartree.pack` gives it. It is not synced before `settle`.
        The layer is kept until the lease ends. Raises: Unavailable.
        """
        layer = self._store.adopt(Layer(chain_id_of(parent, diff_id), diff_id, parent, size_bytes), folder)
        self._kept.append(layer.chain_id)
        return layer


def _nothing() -> None:
    pass


def _remove_now(path: Path) -> None:
    try:
        remove_tree(path)
    except OSError as error:  # out of the way it is; the next start tries again
        _log.warning("remove layer files at %s: %s", path, error)


class LayerStore:
    """The layers in one folder. `temporary` is a folder of the same file system that is swept at start.

    blobs: where their archives are; opened before this is.
    discard: has a folder deleted that is out of the way, from any thread; without it that is done at once.
    make_room: waits, where the disk is nearly full, until what was discarded is deleted.
    """

    def __init__(
        self,
        root: Path,
        temporary: Path,
        blobs: BlobStore,
        *,
        discard: Callable[[Path], None] | None = None,
        make_room: Callable[[], None] = _nothing,
    ) -> None:
        self.blobs = blobs
        self._discard = discard or _remove_now
        self._make_room = make_room
        self._root = root
        self._temporary = temporary
        self._lock = threading.Lock()
        self._layers: dict[str, Layer] = {}
        self._users: Counter[str] = Counter()
        self._archives: dict[str, dict[str, LayerBlob]] = {}
        self._same_archive: Counter[str] = Counter()
        self._unsynced: set[str] = set()

    def open(self, layers: Iterable[Layer], archives: Iterable[tuple[str, LayerBlob]] = ()) -> list[Layer]:
        """Make the folder when missing and sweep it: `layers` are those that the database lists.

        archives: the blobs of layers by their diffID; those that are gone are passed over.

        Every other folder is moved to the temporary folder, for whoever sweeps that.
        Returns: listed layers that are not on disk, or whose parents are not.
        """
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        listed = {layer.chain_id: layer for layer in layers}
        present = {entry.name for entry in os.scandir(self._root)}
        complete = {chain_id for chain_id in listed if hex_of(chain_id) in present and self.path(chain_id).is_dir()}
        self._layers = {c: listed[c] for c in complete if all(p.chain_id in complete for p in _chain(listed, c))}
        for layer in self._layers.values():
            self._same_archive[layer.diff_id] += 1
            if layer.parent is not None:
                self._users[layer.parent] += 1
        for diff_id, blob in archives:
            if diff_id in self._same_archive and self.blobs.has(blob.digest):
                self.attach(diff_id, blob)
        for name in present - {hex_of(chain_id) for chain_id in self._layers}:
            os.rename(self._root / name, self._temporary / f"layer-{name}-{os.urandom(6).hex()}")
        return [layer for chain_id, layer in listed.items() if chain_id not in self._layers]

    def path(self, chain_id: str) -> Path:
        """The folder with a layer's files."""
        return Path(self.folder(chain_id))

    def folder(self, chain_id: str) -> str:
        """The same as text, which takes a tenth of the time to make."""
        return f"{self._root}/{hex_of(chain_id)}/diff"

    def get(self, chain_id: str) -> Layer:
        """A layer. Raises: NotFound."""
        try:
            return self._layers[chain_id]
        except KeyError:
            raise NotFound(f"layer {chain_id} not found") from None

    def layers(self) -> list[Layer]:
        """All layers, in no order."""
        with self._lock:
            return list(self._layers.values())

    def chain(self, top: str | None) -> list[Layer]:
        """A layer and all below it, topmost first. Raises: NotFound."""
        found = []
        while top is not None:
            layer = self.get(top)
            found.append(layer)
            top = layer.parent
        return found

    def unused(self) -> list[str]:
        """Layers that nobody uses, and below which others may be that only they use."""
        return [chain_id for chain_id in self._layers if not self._users[chain_id]]

    def archives(self, diff_id: str) -> list[LayerBlob]:
        """The blobs that are the archive of the layers with that diffID, the first one first; none for old layers."""
        return [blob for blob in self._archives.get(diff_id, {}).values() if self.blobs.has(blob.digest)]

    def attach(self, diff_id: str, blob: LayerBlob) -> None:
        """Keep a blob as long as a layer with that diffID. Raises: NotFound when the blob is not there."""
        with self._lock:
            known = self._archives.setdefault(diff_id, {})
            if blob.digest not in known:
                if not self.blobs.retain(blob.digest):
                    raise NotFound(f"blob {blob.digest} not found")
                known[blob.digest] = blob

    def lease(self, *, spare_blobs: bool = False) -> Lease:
        """A new lease, which keeps nothing yet."""
        return Lease(self, spare_blobs=spare_blobs)

    def retain(self, chain_id: str) -> Layer | None:
        """Count one more user of a layer; None when it is not there."""
        with self._lock:
            layer = self._layers.get(chain_id)
            if layer is not None:
                self._users[chain_id] += 1
            return layer

    def release(self, chain_ids: Iterable[str]) -> list[str]:
        """Count one user less for each; layers that nobody uses any more go, and those below that only they used.

        They are out of the way when this returns; their files are discarded. Blocks: for a thread.
        Returns: the layers that went, topmost first.
        """
        gone: list[str] = []
        moved: list[Path] = []
        with self._lock:
            waiting = list(chain_ids)
            while waiting:
                chain_id = waiting.pop(0)
                self._users[chain_id] -= 1
                if self._users[chain_id] > 0:
                    continue
                del self._users[chain_id]
                layer = self._layers.pop(chain_id)
                self._unsynced.discard(chain_id)
                gone.append(chain_id)
                moved += self._move_away(chain_id)
                self._let_go_of_archives(layer.diff_id)
                if layer.parent is not None:
                    waiting.insert(0, layer.parent)
        for path in moved:
            self._discard(path)
        return gone

    def add(
        self,
        source: Source,
        parent: str | None,
        expected_diff_id: str | None,
        interrupt: Callable[[], None] | None = None,
    ) -> Layer:
        """Unpack a layer and count one user of it. See `Lease.unpack`."""
        staging = self._temporary / f"layer-{os.urandom(12).hex()}"
        try:
            staging.mkdir(mode=0o700)
            (staging / "diff").mkdir(mode=0o755)
            os.chmod(staging / "diff", 0o755)  # noqa: S103  whatever the umask
            lower = [str(self.path(layer.chain_id)) for layer in self.chain(parent)]
            hashed = hashlib.sha256()
            # three threads: bytes are received and decompressed in one, hashed in another, and unpacked here
            with (
                Flushing(staging) as flushing,
                Aside(source, self._hashing(hashed, flushing)) as hashing,
                ReadAhead(hashing, interrupt) as ahead,
            ):
                reader = TarReader(ahead)
                size_bytes = unpack(reader, str(staging / "diff"), lower, str(staging))
                reader.drain()
                hashing.finish()
                flushing.finish()
            diff_id = "sha256:" + hashed.hexdigest()
            if expected_diff_id not in (None, diff_id):
                raise InvalidArgument(f"invalid diffID for layer: expected {expected_diff_id}, got {diff_id}")
            layer = Layer(chain_id_of(parent, diff_id), diff_id, parent, size_bytes)
            return self._publish(layer, staging)
        except OSError as error:
            raise Unavailable(f"store a layer: {error.strerror}") from error
        finally:
            remove_tree(staging)

    def adopt(self, layer: Layer, folder: Path) -> Layer:
        """Move a layer's files here and count one user of it. See `Lease.adopt_layer`."""
        staging = self._temporary / f"layer-{os.urandom(12).hex()}"
        try:
            staging.mkdir(mode=0o700)
            os.rename(folder, staging / "diff")
            return self._publish(layer, staging, synced=False)
        except OSError as error:
            raise Unavailable(f"store a layer: {error.strerror}") from error
        finally:
            remove_tree(staging)

    def settle(self, chain_ids: Iterable[str]) -> None:
        """See to it that layers are on the disk, whatever happens to the machine. Blocks. Raises: Unavailable."""
        waiting = self._unsynced.intersection(chain_ids)
        if not waiting:
            return
        try:
            everything = set(self._unsynced)
            _sync(self._root)
        except OSError as error:
            raise Unavailable(f"store a layer: {error.strerror}") from error
        self._unsynced -= everything

    def _hashing(self, hashed: "hashlib._Hash", flushing: Flushing) -> Callable[[bytes], None]:
        def take(piece: bytes) -> None:
            self._make_room()
            hashed.update(piece)
            flushing.add(len(piece))

        return take

    def _publish(self, layer: Layer, staging: Path, *, synced: bool = True) -> Layer:
        with self._lock:
            known = self._layers.get(layer.chain_id)
            if known is None:
                os.rename(staging, self._root / hex_of(layer.chain_id))
                self._layers[layer.chain_id] = known = layer
                self._same_archive[layer.diff_id] += 1
                if layer.parent is not None:
                    self._users[layer.parent] += 1
                if not synced:
                    self._unsynced.add(layer.chain_id)
            self._users[layer.chain_id] += 1
        if synced:
            sync_folder(self._root)
        return known

    def _let_go_of_archives(self, diff_id: str) -> None:
        self._same_archive[diff_id] -= 1
        if not self._same_archive[diff_id]:
            del self._same_archive[diff_id]
            for digest in self._archives.pop(diff_id, {}):
                self.blobs.release(digest)

    def _move_away(self, chain_id: str) -> list[Path]:
        name = hex_of(chain_id)
        path = self._temporary / f"layer-{name}-{os.urandom(6).hex()}"
        try:
            os.rename(self._root / name, path)
        except OSError as error:  # the next start sweeps it, since the database does not list it
            _log.warning("remove layer %s: %s", chain_id, error)
            return []
        return [path]


def chain_id_of(parent: str | None, diff_id: str) -> str:
    """The chainID of a layer on top of the layer `parent`."""
    if parent is None:
        return diff_id
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode("ascii")).hexdigest()


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """The chainIDs of an image's layers, bottom first."""
    made: list[str] = []
    for diff_id in diff_ids:
        made.append(chain_id_of(made[-1] if made else None, diff_id))
    return made


def _chain(layers: dict[str, Layer], chain_id: str) -> list[Layer]:
    """A layer and those below it that are listed; a parent that is not listed stands for itself."""
    found = []
    current: str | None = chain_id
    while current is not None:
        layer = layers.get(current) or Layer(current, "", None, 0)
        found.append(layer)
        current = layer.parent
    return found


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
