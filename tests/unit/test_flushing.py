"""Syncing what is written while it is written."""

import os
import threading
from pathlib import Path

import pytest

from cais.linux.sync import syncfs
from cais.storage.flushing import Flushing


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that have synced; the file system is, too."""
    threads: list[str] = []

    def note(fd: int) -> None:
        threads.append(threading.current_thread().name)
        syncfs(fd)

    monkeypatch.setattr("cais.storage.flushing.syncfs", note)
    return threads


def test_little_is_synced_once_at_the_end(tmp_path: Path, synced: list[str]) -> None:
    with Flushing(tmp_path) as writing:
        writing.add(1 << 20)
        assert synced == []
        writing.finish()
    assert synced == [threading.current_thread().name]


def test_much_is_synced_in_between_too(tmp_path: Path, synced: list[str]) -> None:
    with Flushing(tmp_path) as writing:
        for _ in range(300):
            writing.add(1 << 20)
        writing.finish()
    assert synced[0] == "flush"
    assert synced[-1] == threading.current_thread().name


def test_what_failed_in_between_is_told_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr("cais.storage.flushing.syncfs", fail)
    with pytest.raises(OSError, match="Input/output error"), Flushing(tmp_path) as writing:
        writing.add(1 << 30)
        writing.finish()
