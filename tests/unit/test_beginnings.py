"""Ids found by their beginnings."""

from cais.engine.beginnings import Beginnings


class Counted(str):
    """A text that counts how often it is compared with another."""

    __slots__ = ()
    compared = 0

    def __lt__(self, other: str) -> bool:
        Counted.compared += 1
        return super().__lt__(other)


def test_one_several_or_none() -> None:
    ids = Beginnings()
    for identity in ("abc1", "abd2", "b3", "abc9", "abc5"):
        ids.add(identity)
    assert ids.find("b") == ["b3"]
    assert ids.find("abd2") == ["abd2"]
    assert ids.find("abc") == ["abc1", "abc5"]
    assert ids.find("a")[:1] == ["abc1"]
    assert ids.find("c") == []
    assert ids.find("abd20") == []
    assert ids.find("") == []


def test_what_is_taken_out_is_not_found() -> None:
    ids = Beginnings()
    ids.add("ab")
    ids.remove("a")
    ids.remove("ac")
    assert ids.find("a") == ["ab"]
    ids.remove("ab")
    assert ids.find("a") == []


def test_few_are_looked_at() -> None:
    ids = Beginnings()
    for number in range(1000):
        ids.add(Counted(f"{number:04x}"))
    Counted.compared = 0
    assert ids.find("03e") == ["03e0", "03e1"]
    assert Counted.compared <= 12
