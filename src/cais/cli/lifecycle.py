"""`cais stop`, `kill`, `wait` and `rm`: the same thing to each of several containers."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag, number, switch
from cais.cli.output import err, out
from cais.cli.values import parse_int
from cais.client import containers
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ONE_OR_MORE = "CONTAINER [CONTAINER...]"
_OPTIONS_AND_ONE_OR_MORE = f"[OPTIONS] {_ONE_OR_MORE}"


def _each(call: Invocation, act: Callable[[str], str]) -> int:
    """Act on each container and print what `act` gives; errors are printed, and are failures at the end."""
    failed = 0
    for container in call.arguments:
        try:
            out(act(container))
        except EngineError as error:
            err(str(error))
            failed = 1
    return failed


def _stop(call: Invocation) -> int:
    timeout = call.flags.number("timeout") if "timeout" in call.flags.given else None

    def act(container: str) -> str:
        containers.stop(call.engine, container, timeout, call.flags.text("signal"))
        return container

    return _each(call, act)


def _kill(call: Invocation) -> int:
    def act(container: str) -> str:
        containers.kill(call.engine, container, call.flags.text("signal"))
        return container

    return _each(call, act)


def _wait(call: Invocation) -> int:
    def act(container: str) -> str:
        result = containers.read_wait(containers.wait(call.engine, container).response())
        failure = result.get("Error")
        if failure and failure.get("Message"):
            raise CommandError(failure["Message"])
        return str(result.get("StatusCode", 0))

    return _each(call, act)


def _rm(call: Invocation) -> int:
    given = call.flags
    force = given.on("force")

    def act(container: str) -> str:
        name = container.strip("/")
        if not name:
            raise CommandError("container name cannot be empty")
        containers.remove(call.engine, name, force=force, volumes=given.on("volumes"), link=given.on("link"))
        return container

    failed = 0
    for container in call.arguments:
        try:
            out(act(container))
        except EngineError as error:
            err(str(error))
            failed |= not (force and error.status == 404)
    return int(failed)


_SIGNAL = Flag("signal", "Signal to send to the container", "s")
STOP = Command(
    _OPTIONS_AND_ONE_OR_MORE,
    "container stop, stop",
    (
        _SIGNAL,
        number("timeout", "Seconds to wait before killing the container", "t"),
        Flag("time", "", "", "int", parse_int, 0, hidden=True, store="timeout", replaced_by="timeout"),
    ),
    _stop,
    1,
)
KILL = Command(_OPTIONS_AND_ONE_OR_MORE, "container kill, kill", (_SIGNAL,), _kill, 1)
WAIT = Command(_ONE_OR_MORE, "container wait, wait", (), _wait, 1)
RM = Command(
    _OPTIONS_AND_ONE_OR_MORE,
    "container rm, container remove, rm",
    (
        switch("force", "Force the removal of a running container (uses SIGKILL)", "f"),
        switch("link", "Remove the specified link", "l"),
        switch("volumes", "Remove anonymous volumes associated with the container", "v"),
    ),
    _rm,
    1,
)
