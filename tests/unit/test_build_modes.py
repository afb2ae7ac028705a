"""Permissions as --chmod has them."""

import pytest

from cais.build.modes import parse_mode
from cais.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "before", "is_folder", "after"),
    [
        ("644", 0o777, False, 0o644),
        ("4755", 0, False, 0o4755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("u+s,g+s,+t", 0o755, False, 0o7755),
        ("g=", 0o777, False, 0o707),
        ("u-x+w", 0o500, False, 0o600),
    ],
)
def test_modes_are_applied_as_chmod_does(text: str, before: int, is_folder: bool, after: int) -> None:
    assert parse_mode(text).applied(before, is_folder=is_folder) == after


@pytest.mark.parametrize("text", ["", "8", "99999", "u", "u=rwq", "x+r", "644 ", "rwx"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid chmod parameter"):
        parse_mode(text)
