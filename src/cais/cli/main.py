"""The `cais` command: reads the words that name a command, imports its module, runs it, and turns what it raises into
messages and exit statuses.

    0       done
    N       the container's own status (run, start -a, attach, exec)
    1       the engine refused, or an argument is missing
    125     a flag is wrong, or `run` could not create or start the container
    126     its command cannot be executed
    127     its command does not exist
    128+N   ended by signal N
"""

from __future__ import annotations

import os
import sys

import cais
from cais.cli import flags
from cais.cli.command import PROGRAM, CommandError, Invocation
from cais.cli.commands import UnknownCommandError, find
from cais.cli.output import err, out
from cais.errors import CaisError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cais.cli.command import Command
    from cais.cli.commands import Entry
    from cais.cli.connect import Choice

USAGE_STATUS = 125
_SIGINT, _SIGPIPE = 2, 13

GLOBAL_FLAGS = (
    flags.Flag("config", "Location of client config files", default_text='(default "~/.docker")'),
    flags.Flag(
        "context",
        "Name of the context to use to connect to the daemon (overrides CAIS_HOST and DOCKER_HOST env vars and default "
        'context set with "cais context use")',
        "c",
    ),
    flags.switch("debug", "Enable debug mode", "D"),
    flags.text_list("host", "Daemon socket to connect to", "H"),
    flags.switch("version", "Print version information and quit", "v"),
)


def main() -> int:
    """The entry point: the exit status of the command that the program was called with."""
    try:
        return run(sys.argv[1:])
    except KeyboardInterrupt:
        return 128 + _SIGINT
    except BrokenPipeError:
        _die_of_broken_pipe()
        return 128 + _SIGPIPE


def launch() -> None:
    """Run the command and leave at once: nothing is left for the interpreter to tidy up."""
    os._exit(main())


def _die_of_broken_pipe() -> None:
    """End as a program does whose output nobody reads any more."""
    import signal  # noqa: PLC0415 -- seldom needed

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; errors are printed."""
    try:
        return _run([_text(argument) for argument in arguments])
    except UnknownCommandError as error:
        from cais.cli.help import unknown_command  # noqa: PLC0415

        err(unknown_command(error))
        return 1
    except CommandError as error:
        if error.message:
            err(error.message)
        return error.status
    except CaisError as error:
        err(str(error))
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:  # standard output cannot be written
        err(f"{PROGRAM}: {(error.strerror or str(error)).lower()}")
        return 1


def _text(argument: str) -> str:
    """An argument that can be sent: what is not UTF-8 in it is replaced."""
    if argument.isascii():
        return argument
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _run(arguments: list[str]) -> int:
    try:
        top = flags.parse(GLOBAL_FLAGS, arguments, interspersed=False)
    except flags.HelpWanted:
        return _program_help()
    except flags.FlagError as error:
        from cais.cli.help import flag_error  # noqa: PLC0415

        err(flag_error(f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]", "", GLOBAL_FLAGS, error))
        return USAGE_STATUS
    words = top.arguments
    if top.on("version"):
        out(f"Cais version {cais.__version__}")
    elif not words:
        _program_help()
    elif words[0] == "help":
        _help_about(words[1:])
    else:
        found = find(words)
        if found.entry is not None:
            return _command(found.path, found.entry, found.rest, top)
        return _group(found.path, found.rest)
    return 0


def _command(path: str, entry: Entry, arguments: list[str], top: flags.Parsed) -> int:
    command = entry.load()
    try:
        parsed = flags.parse(command.flags, arguments, interspersed=command.interspersed)
    except flags.HelpWanted as wanted:
        if wanted.warning:
            out(wanted.warning)
        return _command_help(path, entry, command)
    except flags.FlagError as error:
        from cais.cli.help import flag_error, usage_line  # noqa: PLC0415

        err(flag_error(usage_line(path, command), path, command.flags, error))
        return USAGE_STATUS
    given = len(parsed.arguments)
    if given < command.fewest or (command.most is not None and given > command.most):
        from cais.cli.help import arguments_error  # noqa: PLC0415

        err(arguments_error(path, command))
        return 1

    for warning in parsed.warnings:
        out(warning)

    invocation = Invocation(path, parsed, lambda: _choice(top), debug=top.on("debug"))
    if not command.prefixes_errors:
        return command.run(invocation)
    try:
        return command.run(invocation)
    except CaisError as error:
        raise invocation.failed(str(error)) from error


def _choice(top: flags.Parsed) -> Choice:
    from cais.cli.connect import Choice  # noqa: PLC0415 -- not every command needs an engine
    from cais.cli.settings import Settings  # noqa: PLC0415

    hosts = top.texts("host")
    if len(hosts) > 1:
        raise CommandError(f"Failed to initialize: unable to resolve {PROGRAM} endpoint: Specify only one -H")
    if hosts and top.text("context"):
        raise CommandError("conflicting options: cannot specify both --host and --context")
    return Choice(hosts[0] if hosts else "", top.text("context"), Settings(top.text("config")))


def _group(name: str, arguments: list[str]) -> int:
    """Show what is in a group: as an answer to a question for help, and else as a hint."""
    from cais.cli.help import flag_error, group_help  # noqa: PLC0415

    try:
        flags.parse((), arguments)
    except flags.HelpWanted:
        out(group_help(name))
    except flags.FlagError as error:
        err(flag_error(f"Usage:  {PROGRAM} {name}", name, (), error))
        return USAGE_STATUS
    else:
        err(group_help(name))
    return 0


def _command_help(path: str, entry: Entry, command: Command) -> int:
    from cais.cli.help import command_help  # noqa: PLC0415

    out(command_help(path, entry, command))
    return 0


def _program_help() -> int:
    from cais.cli.help import program_help  # noqa: PLC0415

    out(program_help(GLOBAL_FLAGS))
    return 0


def _help_about(words: list[str]) -> int:
    if not words:
        return _program_help()
    try:
        found = find(words)
    except UnknownCommandError:
        raise CommandError(f"unknown help topic: {' '.join(words)}") from None
    if found.entry is None:
        return _group(found.path, ["--help"])
    return _command_help(found.path, found.entry, found.entry.load())
