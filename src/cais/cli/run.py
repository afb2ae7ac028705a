"""`cais run` and `cais create`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.container_config import container_config
from cais.cli.create import check_pull, check_supported, create_container
from cais.cli.ending import FAILED
from cais.cli.foreground import Attachment, StartError, start_attached
from cais.cli.options import CREATE_FLAGS, RUN_FLAGS
from cais.cli.output import STDOUT, out, terminal_size
from cais.cli.terminal import check_terminal
from cais.client import containers
from cais.client.errors import EngineError
from cais.errors import CaisError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import ContainerConfig

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def creation_config(call: Invocation) -> ContainerConfig:
    """What the flags and arguments of `run` and `create` ask for. Raises CommandError."""
    image, *command = call.arguments
    columns, rows = terminal_size(STDOUT) or (0, 0)
    check_supported(call.flags)
    try:
        check_pull(call.flags.text("pull"))
        config = container_config(call.flags, image, command, [rows, columns])
    except ValueError as error:
        raise call.failed(str(error)) from None
    proxies = call.settings.table("proxies")
    if proxies:
        from cais.cli.proxies import with_proxies  # noqa: PLC0415 -- few users have set any

        config["Env"] = with_proxies(proxies, call.engine.endpoint.url, config["Env"] or [])
    return config


def _create(call: Invocation) -> int:
    config = creation_config(call)
    out(create_container(call.engine, call.settings, call.flags, config))
    return 0


def run_config(call: Invocation) -> ContainerConfig:
    """What `run` creates a container from: nothing is attached to one that is detached. Raises CommandError."""
    config = creation_config(call)
    if call.flags.on("detach"):
        if call.flags.texts("attach"):
            raise CommandError("conflicting options: cannot specify both --attach and --detach")
        config["AttachStdin"] = config["AttachStdout"] = config["AttachStderr"] = config["StdinOnce"] = False
    return config


def _run(call: Invocation) -> int:
    given = call.flags
    config = run_config(call)
    if not given.on("detach"):
        check_terminal(stdin=config["AttachStdin"], tty=config["Tty"])
    try:
        container = create_container(call.engine, call.settings, given, config)
        if given.on("detach"):
            containers.start(call.engine, container)
            out(container)
            return 0
    except (CommandError, CaisError) as error:
        raise call.failed(str(error), failure_status(str(error))) from error
    how = Attachment(
        tty=config["Tty"],
        stdin=config["AttachStdin"],
        stdout=config["AttachStdout"],
        stderr=config["AttachStderr"],
        detach_keys=call.detach_keys,
        sig_proxy=given.on("sig-proxy"),
    )
    try:
        status = start_attached(call.engine, container, how, removed=given.on("rm"))
    except StartError as error:
        raise call.failed(str(error), failure_status(str(error))) from error
    except EngineError as error:
        raise CommandError(str(error)) from error
    return status or 0


def failure_status(message: str) -> int:
    """The exit status for an error of create or start, found as scripts expect it to be found: in the words."""
    if "executable file not found" in message or "no such file or directory" in message:
        return _NOT_FOUND
    if "permission denied" in message or "is a directory" in message:
        return _NOT_EXECUTABLE
    return FAILED


_USAGE = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
CREATE = Command(_USAGE, "container create, create", CREATE_FLAGS, _create, 1, interspersed=False, completes="image")
RUN = Command(
    _USAGE, "container run, run", RUN_FLAGS, _run, 1, interspersed=False, prefixes_errors=True, completes="image"
)
