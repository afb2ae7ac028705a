"""How a command line of `cais compose` may go on: flags, commands, and the services of the project."""

from __future__ import annotations

import os

from cais.cli import flags
from cais.cli.compose.command import COMMANDS, COMPOSE, GLOBAL_FLAGS, completed, find_packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.command import Command


def command_of(words: list[str]) -> tuple[Command, list[str], list[str]]:
    """The command that is meant behind `compose`, the words behind its name, and those before it.

    It is that of `compose` itself, without words behind it, as long as no other is named.
    """
    try:
        parsed = flags.parse(GLOBAL_FLAGS, words, interspersed=False)
    except flags.FlagError:
        return COMPOSE, [], words  # a flag waits for its value
    if not parsed.arguments or parsed.arguments[0] not in COMMANDS:
        return COMPOSE, [], words
    before = words[: len(words) - len(parsed.arguments)]
    find_packages()
    return completed(COMMANDS[parsed.arguments[0]].load()), parsed.arguments[1:], before


def services(words: list[str]) -> list[str]:
    """The names of the project's services, as the flags before the command choose it. Raises ComposeError."""
    from cais.cli.compose.call import sources_of  # noqa: PLC0415 -- only here
    from cais.compose.project import Reading, Workspace  # noqa: PLC0415

    sources = sources_of(flags.parse(GLOBAL_FLAGS, words, interspersed=False))
    # Variables are left: one that is not set here must not stand in the way.
    how = Reading(interpolates=False, checks=False, resolves_env_files=False)
    return sorted(Workspace(sources, os.environ, lambda _text: None).read(how=how).services)


def takes_service(command: Command, before: int) -> bool:
    """Whether an argument with so many before it is the name of a service."""
    return "SERVICE" in command.usage and (command.interspersed or not before)
