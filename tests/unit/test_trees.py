"""Removing folders."""

import os
import threading
from pathlib import Path

import pytest

from cais.storage.trees import remove_tree


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b" / "c").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_bytes(b"x")
    (tree / "a" / ".removed-1").mkdir()
    (tree / ".removed-1").write_bytes(b"in the way")
    (tree / ".removed-2" / "x").mkdir(parents=True)
    os.mkfifo(tree / "a" / "fifo")
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "link").symlink_to(outside)
    remove_tree(tree)
    assert (outside / "kept").exists()
    link = tmp_path / "link"
    link.symlink_to(outside)
    remove_tree(link)
    assert not link.is_symlink()
    assert (outside / "kept").exists()


def test_folders_nested_deeper_than_any_stack_go(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    fd = os.open(tree, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    remove_tree(tree)
    assert not tree.exists()


def test_what_is_not_there_is_fine_and_a_file_goes_too(tmp_path: Path) -> None:
    remove_tree(tmp_path / "missing")
    (tmp_path / "file").write_bytes(b"x")
    remove_tree(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
def test_what_cannot_be_removed_is_told_and_the_rest_goes(tmp_path: Path) -> None:
    closed = tmp_path / "tree" / "closed"
    closed.mkdir(parents=True)
    (closed / "file").write_bytes(b"x")
    (tmp_path / "tree" / "open").mkdir()
    closed.chmod(0o500)
    with pytest.raises(PermissionError):
        remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree" / "open").exists()
    closed.chmod(0o700)


def test_a_removal_that_is_stopped_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "tree" / "a").mkdir(parents=True)
    stopped = threading.Event()
    stopped.set()
    remove_tree(tmp_path / "tree", stopped)
    assert (tmp_path / "tree" / "a").exists()
    stopped.clear()
    remove_tree(tmp_path / "tree", stopped)
    assert list(tmp_path.iterdir()) == []
