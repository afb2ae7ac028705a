"""`cais start` and `cais attach`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.ending import Ending
from cais.cli.flags import DETACH_KEYS, Flag, switch
from cais.cli.foreground import Attachment, StartError, converse, handlers, resizer, start_attached
from cais.cli.output import err, out
from cais.cli.terminal import check_terminal
from cais.client import containers
from cais.client.errors import EngineError
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.engine import Engine
    from cais.client.model import ContainerDetail


def _start(call: Invocation) -> int:
    given = call.flags
    for flag in ("checkpoint", "checkpoint-dir"):
        if flag in given.given:
            raise CommandError(f'"--{flag}" is only supported on a Docker daemon with experimental features enabled')
    if given.on("attach") or given.on("interactive"):
        return _start_attached(call)
    failed = []
    for container in call.arguments:
        try:
            containers.start(call.engine, container)
        except (EngineError, InvalidArgument) as error:
            err(str(error))
            failed.append(container)
        else:
            out(container)
    if failed:
        raise CommandError(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(call: Invocation) -> int:
    if len(call.arguments) > 1:
        raise CommandError("you cannot start and attach multiple containers at once")
    engine, given = call.engine, call.flags
    detail = containers.detail(engine, call.arguments[0])
    tty = detail["Config"].get("Tty", False)
    how = Attachment(
        tty=tty,
        stdin=given.on("interactive") and detail["Config"].get("OpenStdin", False),
        stdout=True,
        stderr=True,
        detach_keys=call.detach_keys,
        sig_proxy=not tty,
    )
    removed = detail["HostConfig"].get("AutoRemove", False)
    try:
        return start_attached(engine, detail["Id"], how, removed=removed) or 0
    except StartError as error:
        raise CommandError(str(error)) from error


def _attachable(engine: Engine, container: str) -> ContainerDetail:
    detail = containers.detail(engine, container)
    state = detail["State"]
    if not state.get("Running"):
        raise CommandError("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise CommandError("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise CommandError("You cannot attach to a restarting container, wait until it is running")
    return detail


def _attach(call: Invocation) -> int:
    engine, given, container = call.engine, call.flags, call.arguments[0]
    detail = _attachable(engine, container)
    tty = detail["Config"].get("Tty", False)
    check_terminal(stdin=not given.on("no-stdin"), tty=tty)
    how = Attachment(
        tty=tty,
        stdin=not given.on("no-stdin") and detail["Config"].get("OpenStdin", False),
        stdout=True,
        stderr=True,
        detach_keys=call.detach_keys,
        sig_proxy=given.on("sig-proxy") and not tty,
    )
    removed = detail["HostConfig"].get("AutoRemove", False)
    ending = Ending(engine, detail["Id"], containers.wait(engine, detail["Id"]).response(), removed=removed)
    stream = containers.attach(
        engine, detail["Id"], stdin=how.stdin, stdout=True, stderr=True, detach_keys=how.detach_keys
    ).response()
    _attachable(engine, detail["Id"])  # it may have ended before we were attached
    if tty:
        # What runs there draws itself anew only when its window changes: tell it a wrong size first.
        redraw = resizer(lambda rows, columns: containers.resize(engine, container, rows + 1, columns + 1))
        if redraw is not None:
            redraw()
    with handlers(engine, detail["Id"], how):
        if not converse(engine, detail["Id"], how, stream, ending):
            raise CommandError("read escape sequence")
        return ending.status()


START = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "container start, start",
    (
        switch("attach", "Attach STDOUT/STDERR and forward signals", "a"),
        Flag("checkpoint", "Restore from this checkpoint", hidden=True),
        Flag("checkpoint-dir", "Use a custom checkpoint storage directory", hidden=True),
        DETACH_KEYS,
        switch("interactive", "Attach container's STDIN", "i"),
    ),
    _start,
    1,
    completes="stopped",
)
ATTACH = Command(
    "[OPTIONS] CONTAINER",
    "container attach, attach",
    (
        DETACH_KEYS,
        switch("no-stdin", "Do not attach STDIN"),
        switch("sig-proxy", "Proxy all received signals to the process", default=True),
    ),
    _attach,
    1,
    1,
    completes="running",
)
