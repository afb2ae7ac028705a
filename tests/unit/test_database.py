"""The database."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from cais.errors import Internal, Unavailable
from cais.storage import database
from cais.storage.database import Database


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database()
    await made.open(tmp_path / "cais.db")
    yield made
    await made.close()


def insert(connection: sqlite3.Connection, identity: str = "1", name: str = "n") -> None:
    connection.execute("INSERT INTO containers VALUES (?, ?, ?)", (identity, name, b"{}"))


def count(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM containers").fetchone()
    return int(found)


async def test_what_is_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    for expected in (0, 1):
        opened = Database()
        await opened.open(tmp_path / "cais.db")
        assert await opened.run(count) == expected
        await opened.run(partial(insert, identity=str(expected), name=str(expected)))
        await opened.close()


async def test_a_function_that_raises_changes_nothing(opened: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        insert(connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await opened.run(fail)
    assert await opened.run(count) == 0


async def test_a_broken_constraint_is_told_as_such(opened: Database) -> None:
    await opened.run(insert)
    with pytest.raises(sqlite3.IntegrityError):
        await opened.run(lambda connection: insert(connection, "2"))
    assert await opened.run(count) == 1


async def test_other_failures_are_errors_of_ours(opened: Database) -> None:
    with pytest.raises(Internal, match="no such table"):
        await opened.run(lambda connection: connection.execute("SELECT * FROM absent").fetchall())


async def test_transactions_never_mix(opened: Database) -> None:
    def slow(connection: sqlite3.Connection, identity: str) -> int:
        before = count(connection)
        insert(connection, identity, identity)
        return count(connection) - before

    assert await asyncio.gather(*(opened.run(partial(slow, identity=str(i))) for i in range(20))) == [1] * 20


async def test_a_full_disk_is_told_and_passes(opened: Database) -> None:
    await opened.run(lambda connection: connection.execute("PRAGMA max_page_count = 20").fetchall())

    def fill(connection: sqlite3.Connection) -> None:
        for number in range(100):
            insert(connection, str(number), str(number) + "x" * 5000)

    with pytest.raises(Unavailable, match="full"):
        await opened.run(fill)
    await opened.run(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchall())
    await opened.run(insert)
    assert await opened.run(count) == 1


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cais.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(Internal, match=r"cais\.db"):
        await Database().open(tmp_path / "cais.db")


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing/cais\.db"):
        await Database().open(tmp_path / "missing" / "cais.db")


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "cais.db") as connection:
        connection.execute(f"PRAGMA user_version = {len(database.MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(Internal, match="newer Cais"):
        await Database().open(tmp_path / "cais.db")


async def test_migrations_go_on_from_where_the_database_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Database()
    await first.open(tmp_path / "cais.db")
    await first.run(insert)
    await first.close()
    more = (*database.MIGRATIONS, ("ALTER TABLE containers ADD COLUMN more TEXT DEFAULT 'x'",))
    monkeypatch.setattr(database, "MIGRATIONS", more)
    second = Database()
    await second.open(tmp_path / "cais.db")
    assert await second.run(lambda c: c.execute("SELECT more FROM containers").fetchall()) == [("x",)]
    await second.close()


async def test_a_migration_that_fails_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*database.MIGRATIONS, ("CREATE TABLE half(x)", "NONSENSE"))
    monkeypatch.setattr(database, "MIGRATIONS", broken)
    with pytest.raises(Internal):
        await Database().open(tmp_path / "cais.db")
    with sqlite3.connect(tmp_path / "cais.db") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(broken) - 1,)
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    connection.close()


async def test_a_closed_database_says_so(opened: Database) -> None:
    await opened.close()
    with pytest.raises(Internal, match="closed"):
        await opened.run(count)
    await opened.close()
