"""`cais compose exec` and `attach`."""

from __future__ import annotations

import os

from cais.cli.command import Command
from cais.cli.compose.call import for_compose
from cais.cli.execute import execute
from cais.cli.flags import DETACH_KEYS, Flag, number, switch, text_list
from cais.cli.output import STDIN, STDOUT, terminal_size
from cais.cli.start import ATTACH as ATTACH_TO_CONTAINER
from cais.cli.values import parse_env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.client.model import ExecConfig


def _exec(call: Call) -> int:
    given = call.flags
    service, *words = call.arguments
    call.refuse_rehearsal("interactive exec")
    container = call.one_container(service, given.number("index"))
    detached = given.on("detach")
    tty = not given.on("no-tty") and os.isatty(STDIN) and os.isatty(STDOUT)
    config: ExecConfig = {
        "AttachStdin": not detached and given.on("interactive"),
        "AttachStdout": not detached,
        "AttachStderr": not detached,
        "DetachKeys": call.settings.text("detachKeys"),
        "Tty": tty,
        "Cmd": words,
        "Env": [_with_value(item) for item in given.texts("env")],
        "Privileged": given.on("privileged"),
        "User": given.text("user"),
        "WorkingDir": given.text("workdir"),
    }
    size = terminal_size(STDOUT)
    if tty and size is not None:
        config["ConsoleSize"] = [size[1], size[0]]
    return execute(call.engine, container.identity, config, detached=detached)


def _with_value(item: str) -> str:
    """A variable without a value has the one that it has here."""
    return item if "=" in item or item not in os.environ else f"{item}={os.environ[item]}"


def _attach(call: Call) -> int:
    call.refuse_rehearsal("attach")
    container = call.one_container(call.arguments[0], call.flags.number("index"))
    return ATTACH_TO_CONTAINER.run(call.about([container.identity]))


EXEC = Command(
    "[OPTIONS] SERVICE COMMAND [ARGS...]",
    "",
    (
        switch("detach", "Detached mode: Run command in the background", "d"),
        text_list("env", "Set environment variables", "e", parse_env, kind="stringArray"),
        number("index", "Index of the container if service has multiple replicas"),
        switch("interactive", "Keep STDIN open even if not attached", "i", default=True, hidden=True),
        switch("no-tty", "Disable pseudo-TTY allocation. By default one is allocated at a terminal.", "T"),
        switch("privileged", "Give extended privileges to the process"),
        switch("tty", "Allocate a pseudo-TTY", "t", default=True, hidden=True),
        Flag("user", "Run the command as this user", "u"),
        Flag("workdir", "Path to workdir directory for this command", "w"),
    ),
    for_compose(_exec),
    2,
    interspersed=False,
)
ATTACH = Command(
    "[OPTIONS] SERVICE",
    "",
    (
        DETACH_KEYS,
        number("index", "index of the container if service has multiple replicas."),
        switch("no-stdin", "Do not attach STDIN"),
        switch("sig-proxy", "Proxy all received signals to the process", default=True),
    ),
    for_compose(_attach),
    1,
    1,
)
