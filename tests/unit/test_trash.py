import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cais.engine.trash import Trash


def _folder(path: Path) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "file").write_text("x")
    return path


async def _until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(_wait, condition)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_what_is_thrown_away_has_no_name_at_once_and_is_gone_soon(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "tmp")
    trash.open()
    folder = _folder(tmp_path / "c1")
    trash.throw(folder)
    assert not folder.exists()
    trash.throw(tmp_path / "absent")
    other = _folder(tmp_path / "c2")
    trash.delete_later(other)
    await _until(lambda: not other.exists() and not list((tmp_path / "tmp").iterdir()))
    await trash.close()


async def test_what_an_earlier_engine_left_is_deleted(tmp_path: Path) -> None:
    _folder(tmp_path / "tmp" / "removed-c1-0000")
    _folder(tmp_path / "tmp" / "half-written")
    (tmp_path / "tmp" / "file").write_text("x")
    (tmp_path / "tmp" / "link").symlink_to(_folder(tmp_path / "kept"))
    trash = Trash(tmp_path / "tmp")
    trash.open()
    await _until(lambda: not list((tmp_path / "tmp").iterdir()))
    assert (tmp_path / "kept" / "sub" / "file").exists()
    await trash.close()


async def test_what_a_container_nested_deep_is_deleted_too(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "tmp")
    trash.open()
    deep = tmp_path / "c1"
    deep.mkdir()
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    trash.throw(deep)
    await _until(lambda: not list((tmp_path / "tmp").iterdir()))
    await trash.close()


async def test_a_folder_that_somebody_still_writes_to_is_deleted_in_the_end(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "tmp")
    trash.open()
    folder = _folder(tmp_path / "c1")
    writing = asyncio.create_task(asyncio.to_thread(_write_for_a_while, folder))
    await asyncio.sleep(0.01)
    trash.delete_later(folder)
    await writing
    await _until(lambda: not folder.exists())
    await trash.close()


def _write_for_a_while(folder: Path) -> None:
    end = time.monotonic() + 0.3
    number = 0
    while time.monotonic() < end:
        number += 1
        try:
            (folder / f"f{number}").touch()
        except FileNotFoundError:
            return


async def test_what_other_threads_throw_away_is_deleted_and_can_be_awaited(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "tmp")
    trash.open()
    folders = [_folder(tmp_path / f"c{number}") for number in range(20)]
    await asyncio.gather(*(asyncio.to_thread(trash.throw, folder) for folder in folders[:10]))
    await asyncio.gather(*(asyncio.to_thread(trash.delete_later, folder) for folder in folders[10:]))
    await trash.empty()
    assert not any(folder.exists() for folder in folders)
    assert list((tmp_path / "tmp").iterdir()) == []
    await trash.close()


def _many_files(folder: Path) -> Path:
    folder.mkdir()
    for number in range(20_000):
        os.mknod(folder / str(number))
    return folder


async def test_a_close_finishes_what_it_can_and_leaves_the_rest_for_the_next_start(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "tmp")
    trash.open()
    trash.throw(_folder(tmp_path / "small"))
    await trash.close()
    assert list((tmp_path / "tmp").iterdir()) == []

    trash = Trash(tmp_path / "tmp")
    trash.open()
    trash.throw(_many_files(tmp_path / "large"))
    began = time.monotonic()
    await trash.close(0.02)
    assert time.monotonic() - began < 1
    (left,) = (tmp_path / "tmp").iterdir()
    assert 0 < len(list(left.iterdir())) < 20_000

    trash = Trash(tmp_path / "tmp")
    trash.open()
    await trash.empty()
    assert not left.exists()
    await trash.close()


async def test_room_is_waited_for_only_where_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trash = Trash(tmp_path / "tmp")
    trash.open()
    folder = _many_files(tmp_path / "c")
    trash.throw(folder)
    trash.make_room()
    assert list((tmp_path / "tmp").iterdir()) != []
    monkeypatch.setattr("cais.engine.trash._ROOM_BYTES", 1 << 62)
    await asyncio.to_thread(trash.make_room)
    assert list((tmp_path / "tmp").iterdir()) == []
    await trash.close()
