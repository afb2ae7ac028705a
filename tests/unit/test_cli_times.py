"""Points in time on the command line."""

import time

import pytest

from cais.cli.command import CommandError
from cais.cli.times import local_rfc3339, timestamp


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("1136073600", "1136073600"),
        ("1136073600.000000001", "1136073600.000000001"),
        ("2013-01-02", "1357084800.000000000"),
        ("2013-01-02Z", "1357084800.000000000"),
        ("2013-01-02T03", "1357095600.000000000"),
        ("2013-01-02T03:04", "1357095840.000000000"),
        ("2013-01-02T03:04:05Z", "1357095845.000000000"),
        ("2013-01-02T03:04:05.123456789Z", "1357095845.123456789"),
        ("2013-01-02T03:04:05.5+02:00", "1357088645.500000000"),
    ],
)
def test_dates_and_seconds_become_seconds(text: str, expected: str) -> None:
    assert timestamp(text, "since") == expected


def test_a_duration_is_that_long_ago() -> None:
    assert abs(int(timestamp("1h30m", "since")) - (time.time() - 5400)) <= 2
    assert abs(int(timestamp("-1h", "since")) - (time.time() + 3600)) <= 2


def test_anything_else_is_refused() -> None:
    with pytest.raises(CommandError) as caught:
        timestamp("foo", "until")
    assert caught.value.message == 'invalid value for "until": failed to parse value as time or duration: "foo"'


def test_a_time_is_shown_to_the_nanosecond() -> None:
    assert local_rfc3339(1_357_095_845_000_000_007) == "2013-01-02T03:04:05.000000007Z"
