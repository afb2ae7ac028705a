"""What the database has about images, and how it is read and written. The tables: `cais.storage.database`.

Every function is given to `Database.run`, or called by one that is: it is part of a transaction.
"""

import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from cais.distribution.oci import ImageConfig, digest_of
from cais.distribution.reference import Reference
from cais.storage.layers import Layer, LayerBlob


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image about to be stored. Its layers are on disk, and kept by a lease with their blobs.

    manifest: the bytes of the manifest that it comes with, for pushing it under the same digest.
    """

    config_bytes: bytes
    config: ImageConfig
    references: tuple[Reference, ...] = ()
    parent: str = ""
    manifest: bytes | None = None
    manifest_type: str = ""

    @property
    def id(self) -> str:
        """The digest of the configuration."""
        return digest_of(self.config_bytes)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """A manifest of an image: a blob."""

    digest: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Tables:
    """All that the database has about images."""

    images: list["Row"]
    references: list[tuple[str, str]]
    layers: list[Layer]
    blobs: dict[str, int]
    layer_blobs: list[tuple[str, LayerBlob]]
    manifests: list[tuple[str, ImageManifest]]
    steps: list["Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a build whose result is kept for the next one.

    key: a digest of all that it depends on. chain_id: the topmost layer of what it left; None for no layer at all.
    parent: the key of the step before. kind: `regular`, or `internal` for one that made no layer. description: the
    instruction. size_bytes: of the layer that it made. Times in nanoseconds since 1970.
    """

    key: str
    chain_id: str | None
    parent: str
    kind: str
    description: str
    size_bytes: int
    created_ns: int
    last_used_ns: int
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """An image as the database has it."""

    id: str
    parent: str
    last_tagged: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class Insertion:
    """An image to be written, and what it is made of."""

    new: NewImage
    chain: Sequence[Layer]
    names: Collection[str]
    now: str
    archives: Mapping[str, Collection[LayerBlob]]
    manifest: ImageManifest | None


@dataclass(frozen=True, slots=True)
class Removal:
    """Names and images to take away; `hidden` are images that lose their names but not their layers.

    layers: of each image that went, the layers that went with it, topmost first; known at the end.
    """

    names: tuple[Reference, ...] = ()
    images: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read(connection: sqlite3.Connection) -> Tables:
    """All there is."""
    images = connection.execute("SELECT id, parent, last_tagged, hidden FROM images").fetchall()
    references = connection.execute("SELECT reference, image_id FROM image_references").fetchall()
    layers = connection.execute("SELECT chain_id, diff_id, parent, size_bytes FROM layers").fetchall()
    blobs = connection.execute("SELECT digest, added FROM blobs").fetchall()
    archives = connection.execute("SELECT diff_id, digest, media_type, size_bytes FROM layer_blobs ORDER BY number")
    manifests = connection.execute("SELECT image_id, digest, media_type FROM image_manifests ORDER BY number")
    steps = connection.execute(
        "SELECT key, chain_id, parent, kind, description, size_bytes, created, last_used, uses FROM build_steps"
    )
    return Tables(
        [Row(image_id, parent, tagged, bool(hidden)) for image_id, parent, tagged, hidden in images],
        references,
        [Layer(*row) for row in layers],
        dict(blobs),
        [(diff_id, LayerBlob(*blob)) for diff_id, *blob in archives],
        [(image_id, ImageManifest(*manifest)) for image_id, *manifest in manifests],
        [Step(*step) for step in steps],
    )


def insert(connection: sqlite3.Connection, insertion: Insertion) -> None:
    """Write an image, with all that it needs."""
    new, chain, manifest = insertion.new, insertion.chain, insertion.manifest
    archives = insertion.archives
    insert_layers(connection, chain)
    insert_blobs(connection, {blob.digest: blob.size_bytes for blobs in archives.values() for blob in blobs})
    connection.executemany(
        "INSERT OR IGNORE INTO layer_blobs(diff_id, digest, media_type, size_bytes) VALUES (?, ?, ?, ?)",
        [(diff_id, blob.digest, blob.media_type, blob.size_bytes) for diff_id, bs in archives.items() for blob in bs],
    )
    connection.execute(
        "INSERT INTO images(id, parent, top_layer) VALUES (?, ?, ?) ON CONFLICT(id) DO UPDATE "
        "SET hidden = 0, parent = CASE excluded.parent WHEN '' THEN parent ELSE excluded.parent END",
        (new.id, new.parent, chain[-1].chain_id if chain else None),
    )
    if manifest is not None and new.manifest is not None:
        insert_blobs(connection, {manifest.digest: len(new.manifest)})
        connection.execute(
            "INSERT OR REPLACE INTO image_manifests(image_id, digest, media_type) VALUES (?, ?, ?)",
            (new.id, manifest.digest, manifest.media_type),
        )
    insert_names(connection, new.id, insertion.names, insertion.now)


def insert_layers(connection: sqlite3.Connection, chain: Sequence[Layer]) -> None:
    """Note layers, those below before those above them."""
    connection.executemany(
        "INSERT OR IGNORE INTO layers(chain_id, diff_id, parent, size_bytes) VALUES (?, ?, ?, ?)",
        [(layer.chain_id, layer.diff_id, layer.parent, layer.size_bytes) for layer in chain],
    )


def insert_steps(connection: sqlite3.Connection, steps: Collection[Step]) -> None:
    """Keep steps of builds, or note that they were used again."""
    connection.executemany(
        "INSERT OR REPLACE INTO build_steps(key, chain_id, parent, kind, description, size_bytes, created, last_used,"
        " uses) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (s.key, s.chain_id, s.parent, s.kind, s.description, s.size_bytes, s.created_ns, s.last_used_ns, s.uses)
            for s in steps
        ],
    )


def delete_steps(connection: sqlite3.Connection, keys: Collection[str]) -> None:
    """Forget steps of builds, and every layer that only they had."""
    connection.executemany("DELETE FROM build_steps WHERE key = ?", [(key,) for key in keys])
    forget(connection, ())


def insert_blobs(connection: sqlite3.Connection, sizes: Mapping[str, int]) -> None:
    """Note blobs, by their digests and sizes."""
    added = int(time.time())
    connection.executemany(
        "INSERT OR IGNORE INTO blobs(digest, size_bytes, added) VALUES (?, ?, ?)",
        [(digest, size_bytes, added) for digest, size_bytes in sizes.items()],
    )


def delete_blobs(connection: sqlite3.Connection, digests: Collection[str]) -> None:
    """Forget blobs, and that layers and images had them."""
    connection.executemany("DELETE FROM blobs WHERE digest = ?", [(digest,) for digest in digests])


def insert_names(connection: sqlite3.Connection, image_id: str, names: Collection[str], now: str) -> None:
    """Give an image names, which others lose."""
    connection.executemany(
        "INSERT OR REPLACE INTO image_references(reference, image_id) VALUES (?, ?)",
        [(name, image_id) for name in names],
    )
    if names:
        connection.execute("UPDATE images SET last_tagged = ? WHERE id = ?", (now, image_id))


def delete(connection: sqlite3.Connection, removal: Removal) -> None:
    """Take names and images away."""
    names = [(str(reference),) for reference in removal.names]
    connection.executemany("DELETE FROM image_references WHERE reference = ?", names)
    connection.executemany("UPDATE images SET hidden = 1 WHERE id = ?", [(image_id,) for image_id in removal.hidden])
    forget(connection, removal.images)


def forget(connection: sqlite3.Connection, images: Collection[str]) -> None:
    """Delete images, with their names, and every layer that no image and no step of a build has any more."""
    connection.executemany("DELETE FROM images WHERE id = ?", [(image_id,) for image_id in images])
    connection.execute(
        "WITH RECURSIVE used(chain_id) AS ("
        " SELECT top_layer FROM images WHERE top_layer IS NOT NULL"
        " UNION SELECT chain_id FROM build_steps WHERE chain_id IS NOT NULL"
        " UNION SELECT layers.parent FROM layers JOIN used USING (chain_id) WHERE layers.parent IS NOT NULL)"
        " DELETE FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM used)"
    )
    connection.execute("DELETE FROM layer_blobs WHERE diff_id NOT IN (SELECT diff_id FROM layers)")
