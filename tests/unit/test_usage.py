import os
from pathlib import Path

from cais.storage.measure import disk_bytes
from cais.storage.trees import remove_tree


def test_files_are_counted_once_and_links_are_not_followed(tmp_path: Path) -> None:
    layer, outside = tmp_path / "layer", tmp_path / "outside"
    (layer / "a" / "b").mkdir(parents=True)
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 100_000)
    (layer / "one").write_bytes(b"x" * 10)
    (layer / "a" / "b" / "two").write_bytes(b"x" * 20)
    os.link(layer / "one", layer / "a" / "again")
    (layer / "escape").symlink_to(outside)
    assert disk_bytes(layer) == 30 + len(str(outside))


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert disk_bytes(tmp_path / "absent") == 0


def test_nesting_of_any_depth_is_survived(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    assert disk_bytes(tmp_path) == 0
    remove_tree(tmp_path / "d")
