"""The detach keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.cli.terminal import DEFAULT_DETACH_KEYS, DetachFilter, parse_detach_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", bytes([0, 27, 28, 29, 30, 31])),
        ("DEL,x", b"\x7fx"),
    ],
)
def test_keys_are_read(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["foo", "ctrl-", "ctrl-1", "a,,b", "é"])
def test_unknown_keys_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Unknown character"):
        parse_detach_keys(text)


@given(st.lists(st.sampled_from([b"a", b"\x10", b"b", b"\x10\x10", b"x\x11"]), max_size=20))
def test_what_does_not_detach_goes_through_whole(typed: list[bytes]) -> None:
    keys = DetachFilter(DEFAULT_DETACH_KEYS)
    data = b"".join(typed)
    passed = b"".join(keys.feed(piece) for piece in typed)
    if DEFAULT_DETACH_KEYS in data:
        assert keys.detached
    else:
        assert not keys.detached
        assert passed == data or passed + b"\x10" == data  # the last may still be held back


def test_the_keys_detach_and_what_was_typed_before_goes_through() -> None:
    keys = DetachFilter(DEFAULT_DETACH_KEYS)
    assert keys.feed(b"ls\r\x10\x11ignored") == b"ls\r"
    assert keys.detached


def test_the_keys_may_come_one_by_one() -> None:
    keys = DetachFilter(b"abc")
    assert keys.feed(b"a") == b""
    assert keys.feed(b"b") == b""
    assert keys.feed(b"x") == b"abx"
    assert keys.feed(b"aab") == b"a"
    assert keys.feed(b"c") == b""
    assert keys.detached
