"""JSON without the json module: what it reads and writes is what the json module reads and writes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.client.codec import dumps, dumps_readable, loads

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(VALUES)
def test_what_is_written_is_read_back_by_both(value: object) -> None:
    assert json.loads(dumps(value)) == value
    assert loads(dumps(value)) == value
    assert loads(dumps_readable(value)) == value


@given(VALUES)
def test_what_the_json_module_writes_is_read(value: object) -> None:
    assert loads(json.dumps(value, indent=1).encode()) == value


def test_requests_are_compact_ascii() -> None:
    assert dumps({"a": [1, None, True], "é": "ü"}) == b'{"a":[1,null,true],"\\u00e9":"\\u00fc"}'


def test_output_is_escaped_as_go_does() -> None:
    assert dumps_readable("<é>&\u2028") == '"\\u003cé\\u003e\\u0026\\u2028"'


@pytest.mark.parametrize("text", ["", "{", "[1,]", "1 2", "nul", '{"a"}', '"'])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


def test_blanks_around_a_value_are_ignored() -> None:
    assert loads(b' \r\n{"a": 1}\n') == {"a": 1}


def test_an_object_that_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError):
        dumps({"a": object()})
