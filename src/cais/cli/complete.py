"""`cais __complete WORD...`: what the last word may become. The completion scripts of shells call it (completion.py).

Each answer is a line, with a tab and a description behind it where there is one. The last line is what the shell is to
do, with the numbers of the Go package cobra: ":0" offer files if nothing else, ":2" no blank behind it, ":4" nothing.
"""

from __future__ import annotations

import os

from cais.cli import commands
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.completion_words import FILTERS, KINDS, PATHS, WORDS
from cais.cli.connect import Choice
from cais.cli.output import out
from cais.cli.settings import Settings
from cais.errors import CaisError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cais.cli.flags import Flag
    from cais.client.engine import Engine

    Answers = Iterator[tuple[str, str]]

_FILES, _NO_BLANK, _NOTHING = ":0", ":2", ":4"
_PATIENCE_SECONDS = 1


def _complete(call: Invocation) -> int:
    *before, word = call.arguments or [""]
    question = _Question(call)
    fitting: list[tuple[str, str]] = []
    try:
        fitting = sorted({answer for answer in question.answers(before, word) if answer[0].startswith(word)})
    except (CaisError, CommandError, OSError):
        pass  # no engine listens: nothing is offered, and nothing said
    for value, description in fitting:
        out(f"{value}\t{description}" if description else value)
    if fitting and all(value.endswith(("=", ":")) for value, _ in fitting):
        out(_NO_BLANK)
    else:
        out(_FILES if question.wants_files else _NOTHING)
    return 0


class _Question:
    """One question of a shell. `wants_files`: a path may stand there, too."""

    def __init__(self, call: Invocation) -> None:
        self._call = call
        self._global: dict[str, str] = {}
        self.wants_files = False

    def answers(self, before: list[str], word: str) -> Answers:
        """What could stand in the place of `word`, whether or not it begins so."""
        from cais.cli.main import GLOBAL_FLAGS  # noqa: PLC0415 -- main imports the table that names this module

        rest, flag = self._skip_flags(GLOBAL_FLAGS, before)
        if flag is not None:
            yield from self._values(flag, "")
        elif rest:
            yield from self._behind(rest, word)
        elif word.startswith("-"):
            yield from _flag_names(GLOBAL_FLAGS)
        else:
            yield from _summaries(commands.COMMON | commands.OTHERS)
            yield from ((name, summary) for name, (summary, _) in commands.GROUPS.items())

    def _skip_flags(self, flags: tuple[Flag, ...], words: list[str]) -> tuple[list[str], Flag | None]:
        """The words behind the program's own flags, or the flag that still waits for its value."""
        index = 0
        while index < len(words) and words[index].startswith("-"):
            flag, value = _flag_of(words[index], flags)
            index += 1
            if flag is None or not flag.kind:
                continue
            if value is None:
                if index == len(words):
                    return [], flag
                value = words[index]
                index += 1
            self._global[flag.name] = value
        return words[index:], None

    def _behind(self, words: list[str], word: str) -> Answers:
        """Behind the name of a command, or of a group."""
        if words[0] == "help":
            yield from self.answers(words[1:], word)
            return
        try:
            found = commands.find(words)
        except commands.UnknownCommandError:
            return
        if found.entry is None:
            yield from _summaries(commands.GROUPS[found.path][1])
            return
        if found.path == "compose":
            yield from self._behind_compose(found.rest, word)
            return
        entry = found.entry
        command = entry.load()
        path = command.aliases.partition(",")[0] or found.path
        yield from self._of_command(
            command, found.rest, word, path, lambda before: self._argument(command, entry, before)
        )

    def _of_command(
        self, command: Command, words: list[str], word: str, path: str, argument: Callable[[int], Answers]
    ) -> Answers:
        """Behind a command and some words: flags, their values, or what an argument may be."""
        given, flag = _arguments(command, words)
        if flag is not None:
            yield from self._values(flag, path)
        elif given and not command.interspersed:
            self.wants_files = True  # what stands there is for the program inside
        elif word.startswith("--") and "=" in word:
            name = word[2:].partition("=")[0]
            for flag in (flag for flag in command.flags if flag.name == name):
                yield from ((f"--{name}={value}", text) for value, text in self._values(flag, path))
        elif word.startswith("-"):
            yield from _flag_names(command.flags)
        else:
            yield from argument(len(given))

    def _behind_compose(self, words: list[str], word: str) -> Answers:
        from cais.cli.compose import completion  # noqa: PLC0415 -- only here
        from cais.cli.compose.command import COMMANDS, COMPOSE  # noqa: PLC0415

        command, rest, before = completion.command_of(words)

        def argument(number: int) -> Answers:
            if command is COMPOSE:
                yield from _summaries(COMMANDS)
            elif completion.takes_service(command, number):
                yield from ((name, "") for name in completion.services(before))

        yield from self._of_command(command, words if command is COMPOSE else rest, word, "compose", argument)

    def _argument(self, command: Command, entry: commands.Entry, before: int) -> Answers:
        """The names that an argument of a command may be; `before` is how many stand before it."""
        if not before:
            yield from _summaries(entry.verbs)
        if command.most is None or before < command.most:
            kinds = command.completes.split() or [""]
            yield from ((name, "") for name in self._names(kinds[min(before, len(kinds) - 1)]))

    def _values(self, flag: Flag, path: str) -> Answers:
        name = flag.store
        self.wants_files = name in PATHS
        if name == "env":
            yield from ((variable, "") for variable in os.environ)
        words = FILTERS.get(path, "label=") if name == "filter" else WORDS.get(name, "")
        yield from ((value, "") for value in words.split())
        kind, before = KINDS.get(name, ("", ""))
        yield from ((before + value, "") for value in self._names(kind))

    def _names(self, kind: str) -> list[str]:
        if kind == "file":
            self.wants_files = True
        if kind in {"", "file"}:
            return []
        if kind == "context":
            return self._contexts()
        if kind == "registry":
            from cais.cli.credentials import Keeper  # noqa: PLC0415 -- only here

            return Keeper(self._choice().settings).servers()
        from cais.client import names  # noqa: PLC0415 -- only here

        engine = self._engine()
        states = {
            "running": ["running", "paused", "restarting"],
            "paused": ["paused"],
            "stopped": ["created", "exited"],
        }
        if kind in {"container", *states}:
            return names.containers(engine, states.get(kind, []))
        lists = {"image": names.images, "network": names.networks, "volume": names.volumes}
        if kind in lists:
            return lists[kind](engine)
        return [*names.containers(engine), *(name for read in lists.values() for name in read(engine))]

    def _contexts(self) -> list[str]:
        from cais.cli.contexts import DEFAULT, Store  # noqa: PLC0415 -- only here

        return [DEFAULT, *(context.name for context in Store(self._choice().settings.folder).all())]

    def _choice(self) -> Choice:
        if not self._global:
            return self._call.choice
        folder = self._global.get("config") or self._call.settings.folder
        return Choice(self._global.get("host", ""), self._global.get("context", ""), Settings(folder))

    def _engine(self) -> Engine:
        """An engine that is not started for this, and not waited for long."""
        engine = self._choice().engine().aside()
        engine.endpoint.patience_seconds = _PATIENCE_SECONDS
        return engine


def _arguments(command: Command, words: list[str]) -> tuple[list[str], Flag | None]:
    """The arguments among the words of a command, and the flag that still waits for its value."""
    given: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--" or (given and not command.interspersed):
            return given + words[index:], None
        if not word.startswith("-") or word == "-":
            given.append(word)
            continue
        flag, value = _flag_of(word, command.flags)
        if flag is not None and flag.kind and value is None:
            if index == len(words):
                return given, flag
            index += 1
    return given, None


def _flag_of(word: str, flags: tuple[Flag, ...]) -> tuple[Flag | None, str | None]:
    """The flag that a word is, and the value in it; None for no such flag, and for a value that is still to come."""
    if word.startswith("--"):
        name, separator, value = word[2:].partition("=")
        return next((flag for flag in flags if flag.name == name), None), value if separator else None
    for place, letter in enumerate(word[1:], 1):
        flag = next((flag for flag in flags if flag.short == letter), None)
        if flag is None or flag.kind:
            return flag, word[place + 1 :].removeprefix("=") or None
    return None, None


def _flag_names(flags: tuple[Flag, ...]) -> Answers:
    for flag in flags:
        if not flag.hidden and flag.name != "help":
            yield f"--{flag.name}", flag.text.partition("\n")[0]
    yield "--help", "Print usage"


def _summaries(entries: dict[str, commands.Entry]) -> Answers:
    return ((name, entry.summary) for name, entry in entries.items())


COMPLETE = Command("[WORD...]", "", (), _complete, interspersed=False)
