"""Times and durations."""

import pytest

from cais.engine.times import parse_duration_ns, parse_moment_ns, parse_time_ns
from cais.errors import InvalidArgument

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1s", 1), ("1.5h", 5400), ("1h30m", 5400), ("-2m", -120), ("+3s", 3), ("250ms", 0.25), (".5s", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_ns(text) == int(seconds * SECOND)


def test_small_units() -> None:
    assert parse_duration_ns("1us2ns") == 1002
    assert parse_duration_ns("1µs") == parse_duration_ns("1μs") == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("1", 'time: missing unit in duration "1"'),
        ("s", 'time: invalid duration "s"'),
        ("1d", 'time: invalid duration "1d"'),
        ("1s 2s", 'time: invalid duration "1s 2s"'),
        ("9999999999h", 'time: invalid duration "9999999999h"'),
    ],
)
def test_what_is_no_duration_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_duration_ns(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:00.123456789123Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:00:00-0100", 0),
        ("1970-01-02", 86400 * SECOND),
        ("1970-01-01T00:01", 60 * SECOND),
        ("0001-01-01T00:00:00Z", -62135596800 * SECOND),
    ],
)
def test_times(text: str, nanoseconds: int) -> None:
    assert parse_time_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "now", "1970-13-01", "1970-01-01T25:00:00Z", "1970-1-1", "19700101"])
def test_what_is_no_time(text: str) -> None:
    assert parse_time_ns(text) is None


def test_a_moment_is_a_time_a_number_or_a_duration_ago() -> None:
    now = 1000 * SECOND
    assert parse_moment_ns("5", now) == 5 * SECOND
    assert parse_moment_ns("5.000000001", now) == 5 * SECOND + 1
    assert parse_moment_ns("1970-01-01T00:00:07Z", now) == 7 * SECOND
    assert parse_moment_ns("10s", now) == 990 * SECOND
    with pytest.raises(InvalidArgument, match='failed to parse value as time or duration: "soon"'):
        parse_moment_ns("soon", now)
