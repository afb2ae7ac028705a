"""Flags of a command line, declared as data and parsed as Docker's command parses them (the Go package pflag).

    --name VALUE  --name=VALUE  --switch  --switch=false  -n VALUE  -nVALUE  -n=VALUE  -abc (three switches)  --

A flag with a value takes whatever comes next; a switch takes a value only with an equals sign. A command that is not
`interspersed` has no flags behind its first argument: they belong to what it runs.
"""

from __future__ import annotations

from cais.cli.values import Mistyped, parse_bool, parse_filter, parse_int, parse_strings
from cais.gotext import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class FlagError(Exception):
    """A flag that is not known, lacks its value or has a bad one; `message` is in Docker's words."""

    def __init__(self, message: str, unknown: str = "", meant: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.unknown = unknown  # the long name that no flag has, for a suggestion
        self.meant = meant  # what a word in the value was to be, where that is known already


class HelpWanted(Exception):
    """The help of the command was asked for."""

    def __init__(self, warning: str = "") -> None:
        super().__init__(warning)
        self.warning = warning


class Flag:
    """One flag. `kind` is the word for its value in the help; `default_text` is what the help says of its default."""

    __slots__ = (
        "default",
        "default_text",
        "hidden",
        "kind",
        "many",
        "name",
        "parse",
        "replaced_by",
        "short",
        "store",
        "text",
    )

    def __init__(  # noqa: PLR0917 -- declared in tables
        self,
        name: str,
        text: str,
        short: str = "",
        kind: str = "string",
        parse: Callable[[str], object] = str,
        default: object = "",
        *,
        many: bool = False,
        default_text: str = "",
        hidden: bool = False,
        store: str = "",
        replaced_by: str = "",
    ) -> None:
        self.name = name
        self.text = text
        self.short = short
        self.kind = kind
        self.parse = parse
        self.default = default
        self.many = many  # may be given several times: its value is a list
        self.default_text = default_text
        self.hidden = hidden
        self.store = store or name  # under which name the value is kept
        self.replaced_by = replaced_by  # the flag to use instead of this old one

    @property
    def shown(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def switch(name: str, text: str, short: str = "", *, default: bool = False, hidden: bool = False) -> Flag:
    return Flag(
        name, text, short, "", parse_bool, default, default_text="(default true)" if default else "", hidden=hidden
    )


def text_list(name: str, text: str, short: str = "", parse: Callable[[str], object] = str, kind: str = "list") -> Flag:
    return Flag(name, text, short, kind, parse, many=True)


def strings(name: str, text: str, default_text: str = "") -> Flag:
    """A list whose values may also be given at once, with commas; `Parsed.texts` has them one by one."""
    return Flag(name, text, "", "strings", parse_strings, many=True, default_text=default_text)


def number(name: str, text: str, short: str = "", default: int = 0, *, hidden: bool = False) -> Flag:
    return Flag(
        name, text, short, "int", parse_int, default, default_text=f"(default {default})" if default else "",
        hidden=hidden,
    )  # fmt: skip


def filter_flag() -> Flag:
    return text_list("filter", "Filter output based on conditions provided", "f", parse_filter, "filter")


DETACH_KEYS = Flag("detach-keys", "Override the key sequence for detaching a container")
_TEMPLATE_HELP = """'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"""
TABLE_FORMAT = Flag(
    "format",
    "Format output using a custom template:\n"
    "'table':            Print output in table format with column headers (default)\n"
    "'table TEMPLATE':   Print output in table format using the given Go template\n"
    "'json':             Print in JSON format\n" + _TEMPLATE_HELP,
)
FORMAT = Flag(
    "format",
    "Format output using a custom template:\n'json':             Print in JSON format\n" + _TEMPLATE_HELP,
    "f",
)
EVENT_FORMAT = Flag("format", FORMAT.text)


class Parsed:
    """The values of a command's flags, and its arguments."""

    __slots__ = ("_values", "arguments", "given", "warnings")

    def __init__(self, flags: Iterable[Flag]) -> None:
        self._values: dict[str, object] = {flag.store: [] if flag.many else flag.default for flag in flags}
        self.given: set[str] = set()
        self.arguments: list[str] = []
        self.warnings: list[str] = []

    def take(self, flag: Flag, text: str) -> None:
        try:
            value = flag.parse(text)
        except ValueError as error:
            meant = error.meant if isinstance(error, Mistyped) else ""
            raise FlagError(
                f'invalid argument {go_quote(text)} for "{flag.shown}" flag: {error}', meant=meant
            ) from None
        self.given.add(flag.store)
        if flag.replaced_by:
            self.warnings.append(f"Flag --{flag.name} has been deprecated, use --{flag.replaced_by} instead")
        if flag.many:
            self.items(flag.store).append(value)
        else:
            self._values[flag.store] = value

    def value(self, name: str) -> object:
        return self._values[name]

    def on(self, name: str) -> bool:
        return self._values[name] is True

    def text(self, name: str) -> str:
        value = self._values[name]
        if not isinstance(value, str):
            raise TypeError(name)
        return value

    def number(self, name: str) -> int:
        value = self._values[name]
        if not isinstance(value, int):
            raise TypeError(name)
        return value

    def items(self, name: str) -> list[object]:
        value = self._values[name]
        if not isinstance(value, list):
            raise TypeError(name)
        return value

    def texts(self, name: str) -> list[str]:
        found: list[str] = []
        for item in self.items(name):
            if isinstance(item, str):
                found.append(item)
            elif isinstance(item, list):
                found += item
        return found

    def pairs(self, name: str) -> dict[str, str]:
        """NAME=VALUE items as a map; one without an equals sign has an empty value."""
        split = (item.partition("=") for item in self.texts(name))
        return {key: value for key, _, value in split}

    def filters(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, _, value in (item.partition("=") for item in self.texts("filter")):
            found.setdefault(name, []).append(value)
        return found


def parse(flags: Sequence[Flag], arguments: Sequence[str], *, interspersed: bool = True) -> Parsed:
    """Read a command line. Raises FlagError and HelpWanted."""
    parsed = Parsed(flags)
    long = {flag.name: flag for flag in flags}
    short = {flag.short: flag for flag in flags if flag.short}
    rest = list(reversed(arguments))
    while rest:
        word = rest.pop()
        if word == "--":
            parsed.arguments.extend(reversed(rest))
            break
        if word.startswith("--"):
            _take_long(parsed, long, word, rest)
        elif word.startswith("-") and len(word) > 1:
            _take_short(parsed, short, word, rest)
        else:
            parsed.arguments.append(word)
            if not interspersed:
                parsed.arguments.extend(reversed(rest))
                break
    return parsed


def _take_long(parsed: Parsed, flags: dict[str, Flag], word: str, rest: list[str]) -> None:
    name, separator, value = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise FlagError(f"bad flag syntax: {word}")
    flag = flags.get(name)
    if name == "help":
        raise HelpWanted
    if flag is None:
        raise FlagError(f"unknown flag: --{name}", unknown=name)
    if separator:
        parsed.take(flag, value)
    elif not flag.kind:
        parsed.take(flag, "true")
    elif rest:
        parsed.take(flag, rest.pop())
    else:
        raise FlagError(f"flag needs an argument: --{name}")


def _take_short(parsed: Parsed, flags: dict[str, Flag], word: str, rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = flags.get(letter)
        if flag is None:
            if letter == "h":
                raise HelpWanted("Flag shorthand -h has been deprecated, use --help")
            raise FlagError(f"unknown shorthand flag: '{letter}' in -{letter}{letters}")
        if letters.startswith("=") and len(letters) > 1:
            parsed.take(flag, letters[1:])
            return
        if not flag.kind:
            parsed.take(flag, "true")
        elif letters:
            parsed.take(flag, letters)
            return
        elif rest:
            parsed.take(flag, rest.pop())
        else:
            raise FlagError(f"flag needs an argument: '{letter}' in -{letter}")
