"""Watching a file."""

import os
import select
from pathlib import Path

import pytest

from cais.linux import inotify


def test_a_change_makes_the_descriptor_readable(tmp_path: Path) -> None:
    watched = tmp_path / "file"
    watched.write_bytes(b"")
    descriptor = inotify.inotify_init1()
    try:
        assert not os.get_inheritable(descriptor)
        assert inotify.inotify_add_watch(descriptor, str(watched), inotify.IN_MODIFY) >= 1
        assert select.select([descriptor], [], [], 0)[0] == []
        watched.write_bytes(b"x")
        assert select.select([descriptor], [], [], 5)[0] == [descriptor]
        os.read(descriptor, 4096)
        with pytest.raises(FileNotFoundError) as caught:
            inotify.inotify_add_watch(descriptor, str(tmp_path / "none"), inotify.IN_MODIFY)
        assert caught.value.filename == str(tmp_path / "none")
    finally:
        os.close(descriptor)
