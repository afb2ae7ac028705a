"""Words of Dockerfile instructions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.engine.image_words import expand, split_words
from cais.errors import InvalidArgument

VARIABLES = {"A": "one", "B": "two words", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a  b\tc ", ["a", "b", "c"]),
        ("a='b c' d", ["a='b c'", "d"]),
        ('a="b c" d', ['a="b c"', "d"]),
        ("a=b\\ c d", ["a=b\\ c", "d"]),
        ('a="b \\" c" d', ['a="b \\" c"', "d"]),
        ("a='b \\' c", ["a='b \\'", "c"]),
    ],
)
def test_a_text_is_split_at_spaces_outside_quotes(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("plain", "plain"),
        ("'$A \"'", '$A "'),
        ('"$A \' \\" \\$A \\x"', "one ' \" $A \\x"),
        ("\\$A\\ b", "$A b"),
        ("$A:$B", "one:two words"),
        ("${A}b", "oneb"),
        ("$MISSING.", "."),
        ("${EMPTY:-default}", "default"),
        ("${A:-default}", "one"),
        ("${A:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${MISSING:-${A:-x}}", "one"),
        ("$", "$"),
        ("a$ b", "a$ b"),
    ],
)
def test_quotes_go_and_variables_are_replaced(word: str, expanded: str) -> None:
    assert expand(word, VARIABLES) == expanded


@pytest.mark.parametrize("word", ["'open", '"open', "${A", "${", "${}", "${A:?message}", "${A-x}"])
def test_what_cannot_be_understood_is_refused(word: str) -> None:
    with pytest.raises(InvalidArgument):
        expand(word, VARIABLES)


def test_variables_in_variables_have_an_end() -> None:
    with pytest.raises(InvalidArgument, match="nested too deep"):
        expand("${X:-" * 50 + "}" * 50, {})


@given(st.text(alphabet="ab \"'\\${}:-+=", max_size=30))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    for word in split_words(text):
        try:
            expand(word, VARIABLES)
        except InvalidArgument:
            continue
