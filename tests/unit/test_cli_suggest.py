"""What is suggested for a word that nobody knows."""

import pytest

from cais.cli.suggest import closest, edits

FLAGS = ("network", "network-alias", "memory", "memory-swap", "name", "publish", "env", "env-file", "rm", "tty")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("networking", "network"),
        ("netwrok", "network"),
        ("network-alais", "network-alias"),
        ("mem", "memory"),
        ("nmae", "name"),
        ("publsh", "publish"),
        ("Publish", "publish"),
        ("tyt", "tty"),
        ("foo", ""),
        ("x", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_meant(word: str, meant: str) -> None:
    assert closest(word, FLAGS) == meant


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "", 0), ("a", "", 1), ("", "ab", 2), ("run", "run", 0), ("rnu", "run", 1), ("kitten", "sitting", 3)],
)
def test_edits_are_counted(one: str, other: str, count: int) -> None:
    assert edits(one, other) == count
    assert edits(other, one) == count
