import pytest

from cais.engine.attach import DETACH_KEYS, parse_detach_keys
from cais.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", DETACH_KEYS), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-a,X", b"\x01X"), ("ctrl-@", b"\0"),
     ("ctrl-[", b"\x1b"), ("ctrl-_", b"\x1f"), (",", None), ("^", b"^")],
)  # fmt: skip
def test_keys(text: str, keys: bytes | None) -> None:
    if keys is None:
        with pytest.raises(InvalidArgument):
            parse_detach_keys(text)
    else:
        assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["zzz", "ctrl-", "ctrl-aa", "ctrl-A", "a,", "é", "ctrl-1"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid detach keys"):
        parse_detach_keys(text)
