"""The database: SQLite in WAL mode, used from one thread of its own.

What is listed here exists; what is on disk and not listed is swept when its store opens. The schema
changes by numbered migrations: migration N brings `PRAGMA user_version` from N-1 to N, in one
transaction, so that a crash leaves a database of a known version.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from cais.errors import Internal, Unavailable

T = TypeVar("T")

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # record: JSON with a version of its own, see the engine
        "CREATE TABLE containers(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record BLOB NOT NULL) WITHOUT ROWID",
        # chain_id, diff_id: "sha256:HEX"; parent: the chain_id of the layer below, NULL for a bottom layer
        """CREATE TABLE layers(
            chain_id TEXT PRIMARY KEY,
            diff_id TEXT NOT NULL,
            parent TEXT REFERENCES layers(chain_id),
            size_bytes INTEGER NOT NULL
        ) WITHOUT ROWID""",
        # id: the digest of the configuration, which is a blob; top_layer: NULL for an image without layers;
        # hidden: removed by force while a container still uses its layers
        """CREATE TABLE images(
            id TEXT PRIMARY KEY,
            parent TEXT NOT NULL DEFAULT '',
            top_layer TEXT REFERENCES layers(chain_id),
            last_tagged TEXT NOT NULL DEFAULT '',
            hidden INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID""",
        # reference: the whole name, "docker.io/library/x:tag" or "docker.io/library/x@sha256:HEX"
        """CREATE TABLE image_references(
            reference TEXT PRIMARY KEY,
            image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
        ) WITHOUT ROWID""",
        "CREATE INDEX image_references_by_image ON image_references(image_id)",
    ),
    (
        # the blobs that are not configurations: archives of layers, manifests, and what an interrupted pull has
        # left; added: when, in seconds since 1970
        """CREATE TABLE blobs(
            digest TEXT PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            added INTEGER NOT NULL
        ) WITHOUT ROWID""",
        # which blob, decompressed, has the digest diff_id; in the order in which they came
        """CREATE TABLE layer_blobs(
            number INTEGER PRIMARY KEY,
            diff_id TEXT NOT NULL,
            digest TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE,
            media_type TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            UNIQUE(diff_id, digest)
        )""",
        "CREATE INDEX layer_blobs_by_digest ON layer_blobs(digest)",
        # the manifests that an image was pulled with, the latest last
        """CREATE TABLE image_manifests(
            number INTEGER PRIMARY KEY,
            image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
            digest TEXT NOT NULL REFERENCES blobs(digest) ON DELETE CASCADE,
            media_type TEXT NOT NULL,
            UNIQUE(image_id, digest)
        )""",
        "CREATE INDEX image_manifests_by_digest ON image_manifests(digest)",
    ),
    (
        # record: JSON with a version of its own, see the engine
        "CREATE TABLE volumes(name TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID",
    ),
    ("CREATE TABLE networks(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record BLOB NOT NULL) WITHOUT ROWID",),
    (
        # steps of builds, by a digest of all that they depend on; chain_id: the topmost layer of the result, NULL for
        # nothing; parent: the step before, where that is cached too; created, last_used: nanoseconds since 1970
        """CREATE TABLE build_steps(
            key TEXT PRIMARY KEY,
            chain_id TEXT REFERENCES layers(chain_id),
            parent TEXT NOT NULL,
            kind TEXT NOT NULL,
            description TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            created INTEGER NOT NULL,
            last_used INTEGER NOT NULL,
            uses INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX build_steps_by_layer ON build_steps(chain_id)",
    ),
)


class Database:
    """One open database. Every function given to `run` has it for itself, as one transaction."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None

    async def open(self, path: Path | str) -> None:
        """Open the database at `path`, made when missing, and bring its schema up to date.

        Raises: Internal when the file is no database, or of a newer Cais; Unavailable when it cannot be written.
        """
        self._connection = await asyncio.get_running_loop().run_in_executor(self._thread, _open, Path(path))

    async def close(self) -> None:
        """Close after what was given to `run` before; its thread is gone then. Closing twice is harmless."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, connection.close)
        self._thread.shutdown()

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn` in the database's thread, inside one transaction, and return what it returns.

        The transaction is committed when `fn` returns and undone when it raises. A function that has begun
        runs to its end even when the caller is cancelled.
        Raises: whatever `fn` raises; sqlite3.IntegrityError for a broken constraint; Unavailable when the disk
        is full; Internal for every other failure of the database.
        """
        connection = self._connection
        if connection is None:
            raise Internal("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, _transaction, connection, fn)


def _transaction(connection: sqlite3.Connection, fn: Callable[[sqlite3.Connection], T]) -> T:
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = fn(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends some transactions by itself
                connection.execute("ROLLBACK")
            raise
        return result
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        raise _translate(error) from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        # the thread that opens is the one that uses it; close() too runs there
        connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise _translate(error, f"open database {str(path)!r}") from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise Internal(
            f"open database {str(path)!r}: it has version {version}, written by a newer Cais; "
            f"this one knows versions up to {len(MIGRATIONS)}"
        )
    for number in range(version + 1, len(MIGRATIONS) + 1):

        def migrate(connection: sqlite3.Connection, number: int = number) -> None:
            for statement in MIGRATIONS[number - 1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")

        _transaction(connection, migrate)


def _translate(error: sqlite3.Error, what: str = "use the database") -> Internal | Unavailable:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY):
        return Unavailable(f"{what}: {error}")
    return Internal(f"{what}: {error}")
