import re

import pytest

from cais.engine.names import ADJECTIVES, SURNAMES, check_name, new_id, random_name
from cais.errors import InvalidArgument


def test_ids_are_64_digits_and_none_is_taken_for_a_number() -> None:
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch("[0-9a-f]{64}", item) and not item[:12].isdigit() for item in ids)


def test_the_words_are_words_and_no_one_stands_twice() -> None:
    for words in (ADJECTIVES, SURNAMES):
        assert len(set(words)) == len(words)
        assert all(re.fullmatch("[a-z]{3,}", word) for word in words)


def test_a_random_name_is_free() -> None:
    taken: set[str] = set()
    for _ in range(500):
        name = random_name(taken)
        assert name not in taken
        assert check_name(name) == name
        taken.add(name)


def test_a_name_is_found_when_every_pair_of_words_is_taken() -> None:
    taken = {f"{adjective}_{surname}" for adjective in ADJECTIVES for surname in SURNAMES}
    assert random_name(taken) not in taken


@pytest.mark.parametrize("name", ["web", "/web", "a1", "A.b-c_d", "0x"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", "/", "a/b", "-a", ".a", "a b", "a\n", "é1", "//a", "a\0"])
def test_bad_names(name: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid container name"):
        check_name(name)
