"""What COPY finds in a tree: patterns, digests, and nothing outside of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cais.build import trees
from cais.errors import InvalidArgument


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    root = tmp_path / "tree"
    (root / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    for name in ("a/one.txt", "a/two.txt", "a/b/one.txt", "top.md", "[odd]"):
        (root / name).write_text(name)
    (root / "link").symlink_to("a/b")
    (root / "escape").symlink_to(tmp_path)
    (root / "nowhere").symlink_to("absent")
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("top.md", ["top.md"]),
        ("./a/../top.md", ["top.md"]),
        ("../../top.md", ["top.md"]),
        ("/", [""]),
        ("absent", ["absent"]),
        ("a/*.txt", ["a/one.txt", "a/two.txt"]),
        ("*/one.txt", ["a/one.txt", "link/one.txt"]),
        ("?op.m[a-d]", ["top.md"]),
        ("?op.m[^a-c]", ["top.md"]),
        (r"\[odd\]", ["[odd]"]),
        ("no*thing", []),
        ("*where", ["nowhere"]),
    ],
)
def test_patterns(tree: int, pattern: str, found: list[str]) -> None:
    assert trees.expand(tree, pattern) == found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/one.txt", ["a/one.txt", "a/b/one.txt"]),
        ("a/**/one.txt", ["a/one.txt", "a/b/one.txt"]),
        ("a/**/b/**/*.txt", ["a/b/one.txt"]),
        ("a/**", ["a", "a/b"]),
        ("**/absent", []),
    ],
)
def test_two_stars_are_any_number_of_folders_where_that_is_asked_for(tree: int, pattern: str, found: list[str]) -> None:
    assert trees.expand(tree, pattern, deep=True) == found


@pytest.mark.parametrize(
    ("pattern", "path", "count"),
    [("/x/b*", "x/b", 2), ("x/*", "x/long/y", 2), ("x/**", "x/y", 1), ("**/y", "x/z/y/y/w", 3), ("no", "x/y", 2)],
)
def test_what_a_pattern_means_of_a_path(pattern: str, path: str, count: int) -> None:
    assert trees.leading_parts(pattern, path) == count


def test_a_pattern_that_makes_no_sense(tree: int) -> None:
    with pytest.raises(InvalidArgument, match="syntax error in pattern"):
        trees.expand(tree, "a[")


def test_links_lead_nowhere_outside(tree: int) -> None:
    assert trees.leads_somewhere(tree, "link/one.txt")
    for path in ("escape/outside", "nowhere", "../outside"):
        assert not trees.leads_somewhere(tree, path)
    assert trees.exists(tree, "nowhere")


def test_a_digest_is_of_all_that_is_copied(tree: int, tmp_path: Path) -> None:
    before = trees.digest(tree, "a")
    file = tmp_path / "tree" / "a" / "b" / "one.txt"
    os.utime(file, (1, 1))
    assert trees.digest(tree, "a") == before
    file.chmod(0o600)
    changed = trees.digest(tree, "a")
    assert changed != before
    assert trees.digest(tree, "a", skip=lambda path, _: path == "b/one.txt") != changed
    file.rename(file.with_name("other.txt"))
    assert trees.digest(tree, "a") != changed
    with pytest.raises(FileNotFoundError):
        trees.digest(tree, "absent")


def test_known_digests_of_contents_are_used_and_added_to(tree: int) -> None:
    known: dict[int, bytes] = {}
    whole = trees.digest(tree, "a", contents=known)
    assert len(known) == 3
    assert whole == trees.digest(tree, "a")
    inode = next(iter(known))
    known[inode] = b"another"
    assert trees.digest(tree, "a", contents=known) != whole
