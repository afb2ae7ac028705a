"""`cais exec`."""

from __future__ import annotations

from cais.cli import key_values
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import DETACH_KEYS, Flag, switch, text_list
from cais.cli.foreground import aside_resizer, resizer
from cais.cli.output import STDOUT, terminal_size
from cais.cli.session import Session
from cais.cli.signals import Handlers
from cais.cli.terminal import check_terminal
from cais.cli.values import parse_env
from cais.client import containers
from cais.client.errors import CannotConnect, ConnectionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.engine import Engine
    from cais.client.model import ExecConfig

_LOST = 255


def _config(call: Invocation) -> ExecConfig:
    given = call.flags
    attached = not given.on("detach")
    config: ExecConfig = {
        "AttachStdin": attached and given.on("interactive"),
        "AttachStdout": attached,
        "AttachStderr": attached,
        "DetachKeys": call.detach_keys,
        "Tty": given.on("tty"),
        "Cmd": call.arguments[1:],
        "Privileged": given.on("privileged"),
        "User": given.text("user"),
        "WorkingDir": given.text("workdir"),
    }
    try:
        config["Env"] = key_values.environment(given.texts("env-file"), given.texts("env"))
    except ValueError as error:
        raise CommandError(str(error)) from None
    size = terminal_size(STDOUT)
    if given.on("tty") and size is not None:
        config["ConsoleSize"] = [size[1], size[0]]
    return config


def _exec(call: Invocation) -> int:
    return execute(call.engine, call.arguments[0], _config(call), detached=call.flags.on("detach"))


def execute(engine: Engine, container: str, config: ExecConfig, *, detached: bool) -> int:
    """Execute a command in a container, in the foreground unless it is `detached`: its status. Raises CommandError."""
    tty = config["Tty"]
    if not detached:
        try:
            check_terminal(stdin=config["AttachStdin"], tty=tty)
        except CommandError:
            containers.detail(engine, container)  # that it does not exist is the more important thing to say
            raise
    exec_id = containers.exec_create(engine, container, config)
    if detached:
        containers.exec_start_detached(engine, exec_id, tty=tty)
        return 0
    stream = containers.exec_start(engine, exec_id, tty=tty, size=config.get("ConsoleSize")).response()
    socket, unread = stream.hijack()
    resize = resizer(lambda rows, columns: containers.exec_resize(engine, exec_id, rows, columns)) if tty else None
    session = Session(
        socket,
        unread,
        tty=tty,
        stdin=config["AttachStdin"],
        detach_keys=config["DetachKeys"],
        resize=resize,
    )
    handlers = Handlers()
    if tty:
        handlers.on_resize(
            aside_resizer(engine, lambda aside, rows, columns: containers.exec_resize(aside, exec_id, rows, columns))
        )
    with handlers:
        if not session.run():
            raise CommandError("read escape sequence")
    try:
        return containers.exec_detail(engine, exec_id).get("ExitCode") or 0
    except (CannotConnect, ConnectionLost):
        return _LOST


EXEC = Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "container exec, exec",
    (
        switch("detach", "Detached mode: run command in the background", "d"),
        DETACH_KEYS,
        text_list("env", "Set environment variables", "e", parse_env),
        text_list("env-file", "Read in a file of environment variables"),
        switch("interactive", "Keep STDIN open even if not attached", "i"),
        switch("privileged", "Give extended privileges to the command"),
        switch("tty", "Allocate a pseudo-TTY", "t"),
        Flag("user", 'Username or UID (format: "<name|uid>[:<group|gid>]")', "u"),
        Flag("workdir", "Working directory inside the container", "w"),
    ),
    _exec,
    2,
    interspersed=False,
    completes="running",
)
