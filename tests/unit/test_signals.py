import pytest

from cais.engine.signals import parse_signal
from cais.errors import InvalidArgument


@pytest.mark.parametrize(
    ("text", "number"),
    [("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("9", 9), ("64", 64), ("RTMIN", 34), ("SIGRTMIN+3", 37),
     ("RTMAX-1", 63), ("POLL", 29), ("IOT", 6)],
)  # fmt: skip
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "FOO", "SIG", "RTMIN+99", "RTMIN-1", "9 ", "²", "999999"])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid signal"):
        parse_signal(text)
