"""The errors of the library: those of `cais.errors`, whichever engine answers, and two about commands.

CommandFailed    a command ended with another exit code than 0, and `check` was asked for
CommandTimeout   a command took longer than its `timeout`, and was ended
"""

from __future__ import annotations

from cais.errors import (
    CaisError,
    Conflict,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    Unauthorized,
    Unavailable,
    Unsupported,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.library.model import Result

BY_STATUS: dict[int, type[CaisError]] = {
    400: InvalidArgument,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    500: Internal,
    501: Unsupported,
    503: Unavailable,
}
"""What an engine means by an HTTP status."""


class CommandFailed(CaisError):
    """A command ended with another exit code than 0; `result` has the code and the output."""

    def __init__(self, what: str, result: Result) -> None:
        said = result.stderr_text.strip().splitlines()
        super().__init__(f"{what} ended with exit code {result.exit_code}" + (f": {said[-1]}" if said else ""))
        self.result = result


class CommandTimeout(CaisError, TimeoutError):
    """A command was ended after its time was over; `stdout` and `stderr` are what it had written until then."""

    def __init__(self, what: str, seconds: float, stdout: bytes, stderr: bytes) -> None:
        super().__init__(f"{what} was ended after {seconds:g} s")
        self.stdout = stdout
        self.stderr = stderr


class Lost(Unavailable):
    """The engine went away in the middle of an answer; another may have its containers."""

    def __init__(self) -> None:
        super().__init__("the engine closed the connection before it had answered")


def error_for(status: int, message: str) -> CaisError:
    """The error that an engine's answer stands for."""
    kind = BY_STATUS.get(status) or (InvalidArgument if status < 500 else Internal)
    return kind(message)
