"""The help texts, and the texts of errors in the use of a command, as Docker's command lays them out."""

from __future__ import annotations

import os

from cais.cli.command import PROGRAM, hint
from cais.cli.commands import COMMON, GROUPS, OTHERS, UnknownCommandError
from cais.cli.output import STDERR, terminal_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.cli.command import Command
    from cais.cli.commands import Entry
    from cais.cli.flags import Flag, FlagError

_SLOP_COLUMNS = 5  # a last line may be this much longer, so that no short word stands alone
_LEAST_COLUMNS = 24
_NARROW_INDENT = 16


def _columns() -> int:
    size = terminal_size(0)
    return (size[0] if size and size[0] else 80) - 1


def _wrapped(text: str, indent: int, columns: int) -> str:
    """`text` broken into lines of the width that is left beside `indent` columns."""
    lead = ""
    if columns - indent < _LEAST_COLUMNS:
        indent = _NARROW_INDENT
        lead = "\n" + " " * indent
    room = columns - indent - _SLOP_COLUMNS
    margin = "\n" + " " * indent
    if room + _SLOP_COLUMNS < _LEAST_COLUMNS:
        return text.replace("\n", lead or margin)
    lines = []
    while room + _SLOP_COLUMNS <= len(text):
        head = text[:room]
        newline = head.rfind("\n")
        cut = newline if newline > 0 else max(head.rfind(" "), head.rfind("\t"), newline)
        if cut <= 0:
            break
        lines.append(text[:cut])
        text = text[cut + 1 :]
    if text or not lines:
        lines.append(text)
    return lead + "\n".join(lines).replace("\n", margin)


def options_block(flags: Iterable[Flag]) -> str:
    """One entry a flag, by name, in two columns."""
    rows = []
    for flag in sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name):
        names = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
        text = f"{flag.text} {flag.default_text}" if flag.default_text else flag.text
        rows.append((f"{names} {flag.kind}".rstrip(), text))
    indent = max(len(names) for names, _ in rows) + 3
    columns = _columns()
    return "\n".join(f"{names:<{indent}}{_wrapped(text, indent, columns)}" for names, text in rows)


def usage_line(path: str, command: Command) -> str:
    return f"Usage:  {PROGRAM} {path} {command.usage}".rstrip()


def command_help(path: str, entry: Entry, command: Command) -> str:
    parts = [usage_line(path, command), command.long_help or entry.summary]
    names = [f"{PROGRAM} {name}" for name in command.aliases.split(", ") if name]
    if names:
        parts.append("Aliases:\n  " + ", ".join(names))
    if any(not flag.hidden for flag in command.flags):
        parts.append("Options:\n" + options_block(command.flags))
    return "\n\n".join(parts)


def table(title: str, commands: Mapping[str, str]) -> str:
    lines = [f"  {name:<11} {summary}" for name, summary in commands.items()]
    return "\n".join([f"{title}:", *lines])


def _summaries(commands: Mapping[str, Entry]) -> dict[str, str]:
    return {name: entry.summary for name, entry in commands.items()}


def group_help(name: str) -> str:
    summary, commands = GROUPS[name]
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} {name} COMMAND",
            summary,
            table("Commands", _summaries(commands)),
            f"Run '{PROGRAM} {name} COMMAND --help' for more information on a command.",
        ]
    )


def program_help(flags: Iterable[Flag]) -> str:
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
            "A self-sufficient runtime for containers",
            table("Common Commands", _summaries(COMMON)),
            table("Management Commands", {name: summary for name, (summary, _) in GROUPS.items()}),
            table("Commands", _summaries(OTHERS)),
            "Global Options:\n" + options_block(flags),
            f"Run '{PROGRAM} COMMAND --help' for more information on a command.",
        ]
    )


def _suggestion(word: str, known: Iterable[str], dashes: str = "") -> list[str]:
    from cais.cli.suggest import closest  # noqa: PLC0415 -- only after a mistake

    meant = closest(word, known)
    return [f"Did you mean {dashes}{meant}?"] if meant else []


def flag_error(usage: str, path: str, flags: Iterable[Flag], error: FlagError) -> str:
    """The error, what was probably meant, and the usage."""
    meant = _suggestion(error.unknown, (flag.name for flag in flags if not flag.hidden), "--") if error.unknown else []
    if error.meant and os.isatty(STDERR):  # programs are told what Docker tells them
        meant = [f"Did you mean {error.meant}?"]
    return "\n\n".join(
        [error.message, *meant, usage, hint(path) if path else f"Run '{PROGRAM} --help' for more information"]
    )


def unknown_command(error: UnknownCommandError) -> str:
    where = f"{PROGRAM} {error.path}".rstrip()
    parts = [f"{PROGRAM}: unknown command: {where} {error.word}", *_suggestion(error.word, error.known)]
    if error.path:
        parts.append(f"Usage:  {where}")
    parts.append(f"Run '{where} --help' for more information")
    return "\n\n".join(parts)


def arguments_error(path: str, command: Command) -> str:
    """What to say when a command got too few or too many arguments."""
    fewest, most = command.fewest, command.most
    see = "Run"
    if most == 0:
        wrong = "accepts no arguments"
    elif most == fewest:
        wrong = f"requires {_arguments(fewest)}"
    elif most is None:
        wrong, see = f"requires at least {_arguments(fewest)}", "See"
    elif fewest:
        wrong = f"requires at least {fewest} and at most {_arguments(most)}"
    else:
        wrong = f"requires at most {_arguments(most)}"
    name = f"{PROGRAM} {path}"
    return "\n\n".join(
        [
            f"{PROGRAM}: '{name}' {wrong}",
            usage_line(path, command),
            f"{see} '{name} --help' for more information",
        ]
    )


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"
