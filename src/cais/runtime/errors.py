"""What can go wrong when a process is started in a container."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a process did not start: the caller maps it to an exit status and an HTTP status."""

    NOT_FOUND = "not-found"  # the command does not exist: 127
    NOT_EXECUTABLE = "not-executable"  # it exists and can't be executed: 126
    INVALID = "invalid"  # what was asked can't be done: an unknown user, a bad path, a refused limit
    INTERNAL = "internal"  # the runtime or the host failed


class StartFailed(Exception):
    """A container's first process, or a further one, could not be started. Nothing of it is left."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
