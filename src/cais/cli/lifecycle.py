"""`cais stop`, `restart`, `kill`, `pause`, `unpause`, `wait`, `rm` and `rename`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.each import all_at_once, one_by_one
from cais.cli.flags import Flag, number, switch
from cais.cli.output import err
from cais.cli.values import parse_int
from cais.client import containers
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.engine import Pending

_NOT_FOUND = 404
_ONE_OR_MORE = "CONTAINER [CONTAINER...]"
_OPTIONS_AND_ONE_OR_MORE = f"[OPTIONS] {_ONE_OR_MORE}"


def _timeout(call: Invocation) -> int | None:
    return call.flags.number("timeout") if "timeout" in call.flags.given else None


def _stop(call: Invocation) -> int:
    timeout, signal = _timeout(call), call.flags.text("signal")
    return all_at_once(call.arguments, lambda name: containers.begin_stop(call.engine, name, timeout, signal))


def _restart(call: Invocation) -> int:
    timeout, signal = _timeout(call), call.flags.text("signal")
    return all_at_once(call.arguments, lambda name: containers.begin_restart(call.engine, name, timeout, signal))


def _kill(call: Invocation) -> int:
    signal = call.flags.text("signal")
    return all_at_once(call.arguments, lambda name: containers.begin_kill(call.engine, name, signal))


def _pause(call: Invocation) -> int:
    return all_at_once(call.arguments, lambda name: containers.begin_pause(call.engine, name))


def _unpause(call: Invocation) -> int:
    return all_at_once(call.arguments, lambda name: containers.begin_unpause(call.engine, name))


def _wait(call: Invocation) -> int:
    def act(container: str) -> str:
        result = containers.read_wait(containers.wait(call.engine, container).response())
        failure = result.get("Error")
        if failure and failure.get("Message"):
            raise CommandError(failure["Message"])
        return str(result.get("StatusCode", 0))

    return one_by_one(call.arguments, act)


def _rm(call: Invocation) -> int:
    given = call.flags
    force, volumes, link = (given.on(name) for name in ("force", "volumes", "link"))

    def begin(container: str) -> Pending:
        name = container.strip("/")
        if not name:
            raise CommandError("container name cannot be empty")
        return containers.begin_remove(call.engine, name, force=force, volumes=volumes, link=link)

    return all_at_once(call.arguments, begin, forgiven=lambda error: force and error.status == _NOT_FOUND)


def _rename(call: Invocation) -> int:
    old, new = (name.strip() for name in call.arguments)
    if not old or not new:
        raise CommandError("Error: Neither old nor new names may be empty")
    try:
        containers.rename(call.engine, old, new)
    except EngineError as error:
        err(str(error))
        raise CommandError(f"Error: failed to rename container named {old}") from error
    return 0


_SIGNAL = Flag("signal", "Signal to send to the container", "s")
_ENDING = (
    _SIGNAL,
    number("timeout", "Seconds to wait before killing the container", "t"),
    Flag("time", "", "", "int", parse_int, 0, hidden=True, store="timeout", replaced_by="timeout"),
)
STOP = Command(_OPTIONS_AND_ONE_OR_MORE, "container stop, stop", _ENDING, _stop, 1, completes="running")
RESTART = Command(_OPTIONS_AND_ONE_OR_MORE, "container restart, restart", _ENDING, _restart, 1, completes="container")
KILL = Command(_OPTIONS_AND_ONE_OR_MORE, "container kill, kill", (_SIGNAL,), _kill, 1, completes="running")
PAUSE = Command(_ONE_OR_MORE, "container pause, pause", (), _pause, 1, completes="running")
UNPAUSE = Command(_ONE_OR_MORE, "container unpause, unpause", (), _unpause, 1, completes="paused")
WAIT = Command(_ONE_OR_MORE, "container wait, wait", (), _wait, 1, completes="container")
RENAME = Command("CONTAINER NEW_NAME", "container rename, rename", (), _rename, 2, 2, completes="container")
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
    completes="container",
)
