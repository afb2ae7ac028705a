"""What a command is: its place in the help, its flags, and the function that does it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.connect import Choice
    from cais.cli.flags import Flag, Parsed
    from cais.cli.settings import Settings
    from cais.client.engine import Engine

PROGRAM = "cais"


class CommandError(Exception):
    """A command failed: `message` is printed as it is, and `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Command:
    """A command as it is declared. `most` is None where the number of arguments has no upper bound."""

    __slots__ = (
        "aliases",
        "completes",
        "fewest",
        "flags",
        "interspersed",
        "long_help",
        "most",
        "prefixes_errors",
        "run",
        "usage",
    )

    def __init__(  # noqa: PLR0917 -- declared in tables
        self,
        usage: str,
        aliases: str,
        flags: tuple[Flag, ...],
        run: Callable[[Invocation], int],
        fewest: int = 0,
        most: int | None = None,
        *,
        interspersed: bool = True,
        prefixes_errors: bool = False,
        completes: str = "",
        long_help: str = "",
    ) -> None:
        self.usage = usage  # what follows the command's name, as in "[OPTIONS] CONTAINER"
        self.aliases = aliases  # all the names of the command, as in "container stop, stop"
        self.flags = flags
        self.run = run
        self.fewest = fewest
        self.most = most
        self.interspersed = interspersed
        self.prefixes_errors = prefixes_errors  # errors are those of the program, with status 125: run
        self.completes = completes  # what its arguments are names of: a kind of complete.py, or one for each
        self.long_help = long_help  # said in the help in place of the one line that stands in lists


class Invocation:
    """A command as it was called."""

    __slots__ = ("_choose", "_engine", "_made", "arguments", "debug", "flags", "path")

    def __init__(self, path: str, flags: Parsed, choose: Callable[[], Choice], *, debug: bool = False) -> None:
        self.path = path
        self.flags = flags
        self.arguments = flags.arguments
        self.debug = debug
        self._choose = choose
        self._made: Choice | None = None
        self._engine: Engine | None = None

    @property
    def choice(self) -> Choice:
        """Which engine was chosen, and the user's settings."""
        if self._made is None:
            self._made = self._choose()
        return self._made

    @property
    def settings(self) -> Settings:
        return self.choice.settings

    @property
    def detach_keys(self) -> str:
        """What the flag says, or the user's settings."""
        return self.flags.text("detach-keys") or self.settings.text("detachKeys")

    @property
    def engine(self) -> Engine:
        """The engine that the command talks to."""
        if self._engine is None:
            self._engine = self.choice.engine()
        return self._engine

    def failed(self, message: str, status: int = 125) -> CommandError:
        """An error of `run` and its kin: said by the program, with a hint."""
        return CommandError(f"{PROGRAM}: {message}\n\n{hint(self.path)}", status)


def hint(path: str) -> str:
    return f"Run '{PROGRAM} {path} --help' for more information"
