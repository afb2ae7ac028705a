"""A tree as an archive: everything in it, and nothing beside it."""

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cais.storage import tartree


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _packed(root: int) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(b"".join(tartree.pack(root))))


def test_files_folders_and_links(tmp_path: Path, root: int) -> None:
    (tmp_path / "folder").mkdir(mode=0o750)
    (tmp_path / "folder" / "file").write_bytes(b"x" * 1000)
    os.link(tmp_path / "folder" / "file", tmp_path / "folder" / "other")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with _packed(root) as archive:
        assert archive.getnames() == ["folder", "link", "pipe", "folder/file", "folder/other"]
        file = archive.extractfile("folder/file")
        assert file is not None
        assert file.read() == b"x" * 1000
        assert archive.getmember("folder").mode == 0o750
        other = archive.getmember("folder/other")
        assert (other.islnk(), other.linkname) == (True, "folder/file")
        assert archive.getmember("link").linkname == "/etc/passwd"
        assert archive.getmember("pipe").isfifo()


def test_names_of_any_bytes_and_length(tmp_path: Path, root: int) -> None:
    names = [os.fsdecode(b"\xff\xfe"), "ä", "l" * 200]
    for name in names:
        (tmp_path / name).touch()
    with _packed(root) as archive:
        assert {os.fsencode(name) for name in archive.getnames()} == {os.fsencode(name) for name in names}


def test_a_socket_is_left_out(tmp_path: Path, root: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with _packed(root) as archive:
            assert archive.getnames() == []


def test_a_file_that_shrinks_is_filled_up(tmp_path: Path, root: int) -> None:
    size = 3 * tartree.PIECE_BYTES
    (tmp_path / "a").write_bytes(b"x" * size)
    (tmp_path / "b").write_bytes(b"after")
    pieces = tartree.pack(root)
    data = next(pieces)
    os.truncate(tmp_path / "a", 0)
    data += b"".join(pieces)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getmember("a").size == size
        after = archive.extractfile("b")
        assert after is not None
        assert after.read() == b"after"


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path, root: int) -> None:
    tree = tmp_path / "tree"
    (tree / "b").mkdir(parents=True)
    (tree / "a").write_bytes(b"x" * 2 * tartree.PIECE_BYTES)
    (tree / "b" / "inside").touch()
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "outside").touch()
    descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    pieces = tartree.pack(descriptor)
    data = next(pieces)  # the folder was seen, and is opened later
    os.rename(tree / "b", tmp_path / "moved")
    (tree / "b").symlink_to(secret)
    data += b"".join(pieces)
    os.close(descriptor)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["a", "b"]
