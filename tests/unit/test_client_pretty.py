"""JSON laid out for reading."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cais.client.pretty import compact_json, indented_json


def test_members_stand_on_lines_of_their_own_four_spaces_deeper() -> None:
    assert indented_json(b'[{"a":1,"b":[],"c":{"d":null}}]') == (
        '[\n    {\n        "a": 1,\n        "b": [],\n        "c": {\n            "d": null\n        }\n    }\n]'
    )


def test_nothing_of_what_was_written_is_changed() -> None:
    assert indented_json(rb'{"a":1.50e+3,"b":"\u003cx\u003e, {}: \"y\""}') == (
        '{\n    "a": 1.50e+3,\n    "b": "\\u003cx\\u003e, {}: \\"y\\""\n}'
    )


def test_nothing_found_is_an_empty_array() -> None:
    assert indented_json(b"[]") == "[]"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(), inner, min_size=1),
)


@given(_VALUES)
def test_the_layout_is_that_of_the_json_module(value: object) -> None:
    assert indented_json(json.dumps(value).encode()) == json.dumps(value, indent=4)


def test_compact_has_no_blanks() -> None:
    assert compact_json(b'{ "a b" : [ 1 , 2 ] }\n') == '{"a b":[1,2]}'
