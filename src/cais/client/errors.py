"""What can go wrong between a client and an engine, beside what the engine itself answers.

CaisError
├── EngineError      the engine answered with an error status
├── CannotConnect    nobody listens where the engine should be
├── ConnectionLost   the engine went away in the middle of an answer
└── ProtocolError    what was answered is not HTTP as the Engine API speaks it
"""

from cais.errors import CaisError


class EngineError(CaisError):
    """The engine refused or failed: `status` is the HTTP status, `message` the engine's own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def __str__(self) -> str:
        return f"Error response from daemon: {self.message}"


class CannotConnect(CaisError):
    """No engine answers at `url`; `reason` is the operating system's."""

    def __init__(self, url: str, reason: OSError) -> None:
        if isinstance(reason, PermissionError):
            super().__init__(f"permission denied while trying to connect to the Cais daemon socket at {url}")
        else:
            super().__init__(f"Cannot connect to the Cais daemon at {url}. Is the cais daemon running?")
        self.url = url
        self.reason = reason


class ConnectionLost(CaisError):
    """The engine closed the connection before its answer was complete."""

    def __init__(self) -> None:
        super().__init__("error during connect: the engine closed the connection before it had answered")


class ProtocolError(CaisError):
    """The other side does not speak the Engine API's HTTP."""
