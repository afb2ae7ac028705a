"""The end of a container that runs in the foreground: its exit status, asked for before it is started.

The engine answers when the container ends. It may go away before: then the status is asked for again as soon as an
engine is back, because a container that is removed at its end leaves nothing to ask about afterwards.
"""

from __future__ import annotations

import _socket
import time

from cais.cli.command import CommandError
from cais.cli.output import err
from cais.client import containers
from cais.client.errors import CannotConnect, ConnectionLost, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.engine import Engine
    from cais.client.http import Response

FAILED = 125
_PATIENCE_SECONDS = 20.0
_PAUSE_SECONDS = 0.1
_REMOVAL_SECONDS = 10.0


class Ending:
    """What the engine will say of the end of one container."""

    def __init__(self, engine: Engine, container: str, answer: Response, *, removed: bool) -> None:
        """`answer` is that to a wait which the engine has accepted and not ended yet."""
        self._engine = engine
        self._container = container
        self._removed = removed
        self._answer: Response | None = answer
        self._told = False  # the engine has said all
        self._failure: EngineError | None = None

    @property
    def descriptor(self) -> int | None:
        """What becomes readable when there is something to `look` at; None when nothing more comes of it."""
        return None if self._answer is None or self._told else self._answer.connection.socket.fileno()

    @property
    def is_lost(self) -> bool:
        """Whether the engine went away; to `look` now and then asks another one."""
        return self._answer is None and self._failure is None

    def look(self) -> None:
        """See whether the engine has spoken or gone, or has come back. Does not wait."""
        if self._answer is not None and not self._told:
            try:
                self._told = bool(self._answer.connection.socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT))
            except BlockingIOError:
                return
            except OSError:
                self._told = False
            if not self._told:
                self._lose()
        elif self.is_lost:
            self._ask(self._engine.aside())

    def status(self) -> int:
        """The exit status, waited for. Raises CommandError when nobody knows it any more."""
        deadline = 0.0
        while True:
            if self._failure is not None:
                raise CommandError(
                    f"The exit status of container {self._container} is not known: {self._failure}", FAILED
                ) from self._failure
            if self._answer is not None:
                try:
                    return _status(self._answer)
                except ConnectionLost:
                    self._lose()
            deadline = deadline or time.monotonic() + _PATIENCE_SECONDS
            if not self._ask(self._engine):
                if time.monotonic() > deadline:
                    raise CommandError(f"The exit status of container {self._container} is not known", FAILED)
                time.sleep(_PAUSE_SECONDS)

    def await_removal(self) -> None:
        """Give the engine time to remove a container that it could not start."""
        if self._answer is None:
            return
        self._answer.connection.socket.settimeout(_REMOVAL_SECONDS)
        try:
            self._answer.read()
        except (ConnectionLost, TimeoutError):
            return

    def _lose(self) -> None:
        if self._answer is not None:
            self._answer.connection.close()
        self._answer, self._told = None, False

    def _ask(self, engine: Engine) -> bool:
        """Ask an engine anew; False when there is none."""
        try:
            waiting = containers.wait(engine, self._container, "removed" if self._removed else "not-running")
            self._answer = waiting.response()
        except (CannotConnect, ConnectionLost):
            return False
        except EngineError as error:
            self._failure = error
        return True


def _status(answer: Response) -> int:
    result = containers.read_wait(answer)
    failure = result.get("Error")
    if failure and failure.get("Message"):
        err(f"Error waiting for container: {failure['Message']}")
        return FAILED
    return result.get("StatusCode", FAILED)
