"""From a node to an instruction: the arguments and flags of each keyword, checked as BuildKit checks them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypedDict

from cais.build import instructions as kinds
from cais.build.arguments import array_or_words, blank_separated, names_and_values, strings_of_array, words
from cais.build.durations import parse_duration
from cais.build.errors import WordError, with_suggestion
from cais.build.instruction_flags import SWITCH, TEXT, TEXTS, FlagValues
from cais.build.instructions import Instruction, Stage
from cais.build.lexer import Heredoc, Node, heredoc_of, split_keyword
from cais.build.runmounts import check_mount
from cais.build.words import SPACES
from cais.gotext import go_quote

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD: Final = re.compile(r"\s*onbuild\s*", re.IGNORECASE)
_SHORTEST_NS: Final = 1_000_000
_MOST_RETRIES: Final = 2**31 - 1
_NETWORKS: Final = ("default", "none", "host")
_SECURITIES: Final = ("sandbox", "insecure")


class _Common(TypedDict):
    original: str
    first_line: int
    last_line: int
    keyword: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A node, and what is asked of it. Everything raises WordError in BuildKit's words."""

    node: Node
    escape: str

    @property
    def name(self) -> str:
        return self.node.keyword.upper()

    @property
    def common(self) -> _Common:
        node = self.node
        return _Common(
            original=node.original.strip(SPACES),
            first_line=node.first_line,
            last_line=node.last_line,
            keyword=node.keyword,
        )

    def flags(self, **known: str) -> FlagValues:
        return FlagValues(self.node.flags, {name.replace("_", "-"): kind for name, kind in known.items()})

    def one(self) -> str:
        if not self.node.arguments:
            raise WordError(f"{self.name} requires exactly one argument")
        return self.node.arguments

    def some(self, found: tuple[str, ...]) -> tuple[str, ...]:
        if not found:
            raise WordError(f"{self.name} requires at least one argument")
        return found

    def command(self, text: str) -> tuple[tuple[str, ...], bool]:
        """The arguments of an array, or a text for the shell, and whether it is one."""
        strings = strings_of_array(text)
        if strings is not None:
            return strings, False
        return ((text,) if text else ()), True


def read_from(reader: Reader, index: int) -> Stage:
    """A FROM, as the stage that it begins."""
    arguments = list(blank_separated(reader.node.arguments))
    written = ""
    if len(arguments) == 3 and arguments[1].lower() == "as":
        written = arguments[2]
        if not _STAGE_NAME.fullmatch(written.lower()):
            raise WordError(
                f"invalid name for build stage: {go_quote(written)}, name can't start with a number or contain symbols"
            )
    elif len(arguments) != 1:
        raise WordError("FROM requires either one or three arguments")
    flags = reader.flags(platform=TEXT)
    return Stage(
        index=index,
        base=arguments[0],
        name=written.lower(),
        written_name=written,
        platform=flags.text("platform"),
        as_keyword=arguments[1] if written else "",
        **reader.common,
    )


def read_instruction(reader: Reader) -> Instruction:
    """Any other instruction."""
    read = _READERS.get(reader.node.keyword.lower())
    if read is None:
        known = (name.upper() for name in (*_READERS, "from"))
        raise WordError(
            with_suggestion(f"unknown instruction: {reader.node.keyword}", reader.node.keyword, known, upper=True)
        )
    return read(reader)


def _arg(reader: Reader) -> Instruction:
    reader.flags()
    pairs: list[tuple[str, str | None]] = []
    for word in reader.some(tuple(words(reader.node.arguments, reader.escape))):
        name, equals, value = word.partition("=")
        if not name:
            raise WordError("ARG names can not be blank")
        pairs.append((name, value if equals else None))
    return kinds.Arg(values=tuple(pairs), **reader.common)


def _env(reader: Reader) -> Instruction:
    reader.flags()
    pairs, old = names_and_values(reader.node.arguments, "ENV", reader.escape)
    return kinds.Env(values=tuple(pairs), old_form=old, **reader.common)


def _label(reader: Reader) -> Instruction:
    reader.flags()
    pairs, old = names_and_values(reader.node.arguments, "LABEL", reader.escape)
    return kinds.Label(values=tuple(pairs), old_form=old, **reader.common)


def _maintainer(reader: Reader) -> Instruction:
    reader.flags()
    return kinds.Maintainer(name=reader.one(), **reader.common)


class _Transferred(TypedDict):
    sources: tuple[str, ...]
    files: tuple[Heredoc, ...]
    destination: str


def _transferred(reader: Reader) -> _Transferred:
    """Sources and destination of COPY and ADD."""
    arguments = array_or_words(reader.node.arguments)
    if len(arguments) <= 1:
        raise WordError(
            f"{reader.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    if heredoc_of(arguments[-1]):
        raise WordError(f"{reader.name} cannot accept a heredoc as a destination")
    contents = {heredoc.name: heredoc for heredoc in reader.node.heredocs}
    sources: list[str] = []
    files: list[Heredoc] = []
    for argument in arguments[:-1]:
        heredoc = heredoc_of(argument)
        if heredoc is None:
            sources.append(argument)
        else:
            files.append(contents.get(heredoc.name, heredoc))
    return _Transferred(sources=tuple(sources), files=tuple(files), destination=arguments[-1])


def _copy(reader: Reader) -> Instruction:
    transferred = _transferred(reader)
    flags = FlagValues(
        reader.node.flags,
        {"chown": TEXT, "from": TEXT, "chmod": TEXT, "link": SWITCH, "parents": SWITCH, "exclude": TEXTS},
    )
    return kinds.Copy(
        **transferred,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.on("link"),
        excludes=flags.texts("exclude"),
        source_from=flags.text("from"),
        parents=flags.on("parents"),
        **reader.common,
    )


def _add(reader: Reader) -> Instruction:
    transferred = _transferred(reader)
    flags = reader.flags(
        chown=TEXT, chmod=TEXT, link=SWITCH, keep_git_dir=SWITCH, checksum=TEXT, unpack=SWITCH, exclude=TEXTS
    )
    return kinds.Add(
        **transferred,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.on("link"),
        excludes=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
        **reader.common,
    )


def _run(reader: Reader) -> Instruction:
    flags = reader.flags(mount=TEXTS, network=TEXT, security=TEXT)
    for mount in flags.texts("mount"):
        check_mount(mount)
    network = flags.text("network", "default").lower()
    if network not in _NETWORKS:
        raise WordError(with_suggestion(f"invalid network mode {go_quote(network)}", network, _NETWORKS))
    security = flags.text("security", "sandbox").lower()
    if security not in _SECURITIES:
        raise WordError(with_suggestion(f"security {go_quote(security)} is not valid", security, _SECURITIES))
    command, shell = reader.command(reader.node.arguments)
    reader.some(command)
    return kinds.Run(
        command=command,
        shell=shell,
        files=reader.node.heredocs,
        mount_texts=flags.texts("mount"),
        network=network,
        security=security,
        **reader.common,
    )


def _cmd(reader: Reader) -> Instruction:
    reader.flags()
    command, shell = reader.command(reader.node.arguments)
    return kinds.Cmd(command=command, shell=shell and bool(command), **reader.common)


def _entrypoint(reader: Reader) -> Instruction:
    reader.flags()
    command, shell = reader.command(reader.node.arguments)
    return kinds.Entrypoint(command=command, shell=shell and bool(command), **reader.common)


def _healthcheck(reader: Reader) -> Instruction:
    kind = re.split(f"[{SPACES}]", reader.node.arguments, maxsplit=1)[0]
    if not kind:
        raise WordError("HEALTHCHECK requires at least one argument")
    rest = reader.node.arguments[len(kind) :].lstrip(SPACES)
    kind = kind.upper()
    if kind == "NONE":
        if rest:
            raise WordError("HEALTHCHECK NONE takes no arguments")
        return kinds.Healthcheck(test=("NONE",), **reader.common)
    flags = reader.flags(interval=TEXT, timeout=TEXT, start_period=TEXT, start_interval=TEXT, retries=TEXT)
    if kind != "CMD":
        raise WordError(f"Unknown type {go_quote(kind)} in HEALTHCHECK (try CMD)")
    command, shell = reader.command(rest)
    if not command:
        raise WordError("Missing command after HEALTHCHECK CMD")
    return kinds.Healthcheck(
        test=("CMD-SHELL" if shell else "CMD", *command),
        interval_ns=_time(flags, "interval"),
        timeout_ns=_time(flags, "timeout"),
        start_period_ns=_time(flags, "start-period"),
        start_interval_ns=_time(flags, "start-interval"),
        retries=_retries(flags.text("retries")),
        **reader.common,
    )


def _time(flags: FlagValues, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    nanoseconds = parse_duration(text)
    if nanoseconds and nanoseconds < _SHORTEST_NS:
        raise WordError(f"Interval {go_quote(name)} cannot be less than 1ms")
    return nanoseconds


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise WordError(f"strconv.ParseInt: parsing {go_quote(text)}: invalid syntax")
    if len(text) > 11 or abs(int(text)) > _MOST_RETRIES:
        raise WordError(f"strconv.ParseInt: parsing {go_quote(text)}: value out of range")
    if int(text) < 0:
        raise WordError(f"--retries cannot be negative ({int(text)})")
    return int(text)


def _shell(reader: Reader) -> Instruction:
    reader.flags()
    command, shell = reader.command(reader.node.arguments)
    reader.some(command)
    if shell:
        raise WordError(_not_json("SHELL", reader.node.original))
    return kinds.Shell(arguments=command, **reader.common)


def _not_json(keyword: str, original: str) -> str:
    hint = ""
    if '\\"' in original or "'" in original:
        hint = ". It looks like single quotes or escaped ones were used; JSON has double quotes alone"
    return f"{keyword} requires the arguments to be in JSON form{hint}"


def _workdir(reader: Reader) -> Instruction:
    reader.flags()
    return kinds.Workdir(path=reader.one(), **reader.common)


def _user(reader: Reader) -> Instruction:
    reader.flags()
    return kinds.User(user=reader.one(), **reader.common)


def _stop_signal(reader: Reader) -> Instruction:
    reader.flags()
    return kinds.StopSignal(signal=reader.one(), **reader.common)


def _expose(reader: Reader) -> Instruction:
    reader.flags()
    return kinds.Expose(ports=tuple(sorted(reader.some(blank_separated(reader.node.arguments)))), **reader.common)


def _volume(reader: Reader) -> Instruction:
    reader.flags()
    paths = tuple(path.strip(SPACES) for path in reader.some(array_or_words(reader.node.arguments)))
    if not all(paths):
        raise WordError("VOLUME specified can not be an empty string")
    return kinds.Volume(paths=paths, **reader.common)


def _onbuild(reader: Reader) -> Instruction:
    reader.flags()
    keyword, flags, arguments = split_keyword(reader.node.arguments)
    if not keyword:
        raise WordError("ONBUILD requires at least one argument")
    name = keyword.upper()
    if name == "ONBUILD":
        raise WordError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in ("MAINTAINER", "FROM"):
        raise WordError(f"{name} isn't allowed as an ONBUILD trigger")
    node = reader.node
    trigger = Node(keyword, flags, arguments, node.arguments, node.first_line, node.last_line, node.heredocs)
    read_instruction(Reader(trigger, reader.escape))  # what is wrong is said now, and not to who builds on it
    expression = _ONBUILD.sub("", node.original, count=1)
    expression += "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in node.heredocs)
    return kinds.Onbuild(expression=expression, **reader.common)


_READERS: Final[dict[str, Callable[[Reader], Instruction]]] = {
    "add": _add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stop_signal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
