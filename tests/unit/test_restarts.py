"""Restart policies and their waits."""

import itertools

import pytest

from cais.engine import restarts
from cais.engine.models import RestartPolicy, State
from cais.engine.restarts import Backoff
from cais.errors import InvalidArgument


def test_the_wait_doubles_up_to_a_minute() -> None:
    backoff = Backoff()
    waits = [backoff.next_seconds(0.5) for _ in range(14)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-3:] == [60.0, 60.0, 60.0]


def test_a_container_that_ran_for_a_while_starts_over() -> None:
    backoff = Backoff()
    for _ in itertools.repeat(None, 5):
        backoff.next_seconds(1)
    assert backoff.next_seconds(10.0) == 0.1


@pytest.mark.parametrize(
    ("policy", "exit_code", "stopped", "count", "wanted"),
    [
        ("no", 1, False, 0, False),
        ("", 1, False, 0, False),
        ("always", 0, True, 9, True),
        ("unless-stopped", 0, False, 0, True),
        ("unless-stopped", 0, True, 0, False),
        ("on-failure", 0, False, 0, False),
        ("on-failure", 1, False, 2, True),
        ("on-failure", 1, False, 3, False),
    ],
)
def test_what_a_policy_wants(policy: str, exit_code: int, stopped: bool, count: int, wanted: bool) -> None:
    most = 3 if policy == "on-failure" else 0
    state = State(exit_code=exit_code, manually_stopped=stopped)
    assert restarts.wanted(RestartPolicy(policy, most), state, count) is wanted


def test_no_number_is_no_end() -> None:
    assert restarts.wanted(RestartPolicy("on-failure", 0), State(exit_code=1), 1000)


@pytest.mark.parametrize(("name", "most"), [("maybe", 0), ("always", 1), ("on-failure", -1), ("no", -1)])
def test_policies_that_make_no_sense(name: str, most: int) -> None:
    with pytest.raises(InvalidArgument, match="invalid restart policy"):
        restarts.check(RestartPolicy(name, most))
