import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

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
