"""Restart policies: whether a container that ended by itself is started again, and after how long.

As in Docker, the wait is 100 ms after the first end and doubles with each further one, up to a minute; a container
that ran for ten seconds starts over. The number of restarts that `on-failure:n` allows is counted since a user
started the container, in `Record.restart_count`.
"""

from typing import Final

from cais.engine.models import RestartPolicy, State
from cais.engine.text import printable
from cais.errors import InvalidArgument

FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 10.0

_POLICIES: Final = ("no", "always", "on-failure", "unless-stopped")


class Backoff:
    """The wait before the next restart of one container."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds = 0.0

    def reset(self) -> None:
        """The next wait is the first one again."""
        self._seconds = 0.0

    def next_seconds(self, ran_seconds: float) -> float:
        """The wait after an end; `ran_seconds` is how long the container ran before it."""
        if ran_seconds >= STEADY_SECONDS:
            self._seconds = 0.0
        self._seconds = min(self._seconds * 2, LONGEST_WAIT_SECONDS) or FIRST_WAIT_SECONDS
        return self._seconds


def wanted(policy: RestartPolicy, state: State, restart_count: int) -> bool:
    """Whether the policy wants a container that ended as `state` says to be started again."""
    if policy.Name == "always":
        return True
    if policy.Name == "unless-stopped":
        return not state.manually_stopped
    if policy.Name == "on-failure":
        most = policy.MaximumRetryCount
        return state.exit_code != 0 and (most == 0 or restart_count < most)
    return False


def check(policy: RestartPolicy) -> None:
    """Raises InvalidArgument for a policy that does not exist, or a number of retries that makes no sense with it."""
    name, count = policy.Name, policy.MaximumRetryCount
    if name not in {"", *_POLICIES}:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{printable(name)}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if name == "on-failure" and count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if name in {"no", "always", "unless-stopped"} and count != 0:
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + (" and cannot be negative" if count < 0 else "")
        )
