"""Variables put into instructions, and the variables that a build has by itself."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from cais.build import instructions as kinds
from cais.build.dockerfile import Dockerfile
from cais.build.errors import WordError, with_suggestion
from cais.build.instructions import Instruction, Stage
from cais.build.lexer import Heredoc
from cais.build.runmounts import parse_mount
from cais.build.words import Rules, expand

# Arguments that need no ARG, and neither show in the history nor change what is cached.
PROXY_ARGS: Final = frozenset(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)


def platform_args(build: str, target: str, stage: str = "default") -> dict[str, str]:
    """BUILDPLATFORM, TARGETOS and the like, for platforms in the form OS/ARCHITECTURE[/VARIANT].

    They are known before the first FROM, and inside a stage that names them with ARG.
    """
    args = {"TARGETSTAGE": stage}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        system, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        args |= {
            f"{prefix}PLATFORM": platform,
            f"{prefix}OS": system,
            f"{prefix}OSVERSION": "",
            f"{prefix}ARCH": architecture,
            f"{prefix}VARIANT": variant,
        }
    return args


def global_scope(dockerfile: Dockerfile, build_args: Mapping[str, str], platforms: Mapping[str, str]) -> dict[str, str]:
    """The variables that FROM lines see: platforms, and the ARGs before the first of them, in order.

    An ARG without default is there only when a build argument of its name is. Raises: DockerfileError.
    """
    scope = dict(platforms)
    for arg in dockerfile.global_args:
        try:
            for name, value in _arg_values(arg, scope, build_args, dockerfile.escape):
                if value is not None:
                    scope[name] = value
        except WordError as error:
            raise dockerfile.error(str(error), arg.first_line, arg.last_line) from None
    return scope


def declared(
    arg: kinds.Arg,
    variables: Mapping[str, str],
    build_args: Mapping[str, str],
    global_args: Mapping[str, str],
    escape: str = "\\",
) -> dict[str, str]:
    """What an ARG inside a stage brings: a build argument, its default, or else the value it has before the first FROM.

    A name without any value is left out. `global_args` is a `global_scope`. Raises: WordError.
    """
    values: dict[str, str] = {}
    for name, value in _arg_values(arg, variables, build_args, escape):
        found = global_args.get(name) if value is None else value
        if found is not None:
            values[name] = found
    return values


def _arg_values(
    arg: kinds.Arg, variables: Mapping[str, str], build_args: Mapping[str, str], escape: str
) -> list[tuple[str, str | None]]:
    values: list[tuple[str, str | None]] = []
    for written, default in arg.values:
        name = expand(written, variables, Rules(escape)).text
        if name in build_args:
            values.append((name, build_args[name]))
        else:
            values.append((name, None if default is None else expand(default, variables, Rules(escape)).text))
    return values


def expand_from(dockerfile: Dockerfile, stage: Stage, scope: Mapping[str, str]) -> tuple[str, str]:
    """The base and the platform of a stage, with their variables. Raises: DockerfileError."""
    try:
        base = expand(stage.base, scope, Rules(dockerfile.escape))
        platform = expand(stage.platform, scope, Rules(dockerfile.escape))
        if not base.text:
            raise WordError(_suggested(f"base name ({stage.base}) should not be blank", base.missing, scope))
        if stage.platform and not platform.text:
            raise WordError(
                _suggested(f"empty platform value from expression {stage.platform}", platform.missing, scope)
            )
    except WordError as error:
        raise dockerfile.error(str(error), stage.first_line, stage.last_line) from None
    return base.text, platform.text


def _suggested(message: str, missing: Iterable[str], scope: Iterable[str]) -> str:
    """The message, and what one of the missing variables was perhaps meant to be."""
    told = (with_suggestion(message, name, sorted(scope)) for name in sorted(missing))
    return next((text for text in told if text != message), message)


def expand_instruction(instruction: Instruction, variables: Mapping[str, str], escape: str = "\\") -> Instruction:
    """The same instruction with its variables replaced where BuildKit replaces them.

    Not in RUN, CMD and ENTRYPOINT, whose shell does that; but the mounts of a RUN are filled in here. ARG is for
    `declared`. Raises: WordError.
    """

    def one(text: str) -> str:
        return expand(text, variables, Rules(escape)).text

    if isinstance(instruction, kinds.Env | kinds.Label):
        return replace(instruction, values=tuple((one(name), one(value)) for name, value in instruction.values))
    if isinstance(instruction, kinds.Transfer):
        return _expand_transfer(instruction, one, variables, escape)
    if isinstance(instruction, kinds.Expose):
        words = (expand(port, variables, Rules(escape)).words for port in instruction.ports)
        return replace(instruction, ports=tuple(itertools.chain.from_iterable(words)))
    return _expand_simple(instruction, one)


def _expand_simple(instruction: Instruction, one: Callable[[str], str]) -> Instruction:
    match instruction:
        case kinds.Run():
            return replace(instruction, mounts=tuple(parse_mount(text, one) for text in instruction.mount_texts))
        case kinds.Workdir():
            return replace(instruction, path=one(instruction.path))
        case kinds.User():
            return replace(instruction, user=one(instruction.user))
        case kinds.StopSignal():
            return replace(instruction, signal=one(instruction.signal))
        case kinds.Volume():
            return replace(instruction, paths=tuple(map(one, instruction.paths)))
        case _:
            return instruction


def _expand_transfer(
    transfer: kinds.Transfer, one: Callable[[str], str], variables: Mapping[str, str], escape: str
) -> kinds.Transfer:
    def content(file: Heredoc) -> Heredoc:
        if not file.expands:
            return file
        rules = Rules(escape, raw_escapes=False, ignores_quotes=True)
        return replace(file, content=expand(file.content, variables, rules).text)

    expanded = replace(
        transfer,
        sources=tuple(map(one, transfer.sources)),
        files=tuple(map(content, transfer.files)),
        destination=one(transfer.destination),
        chown=one(transfer.chown),
        chmod=one(transfer.chmod),
        excludes=tuple(map(one, transfer.excludes)),
    )
    if isinstance(expanded, kinds.Add):
        return replace(expanded, checksum=one(expanded.checksum))
    return expanded
