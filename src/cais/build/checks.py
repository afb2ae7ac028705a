"""What `build --check` says of a Dockerfile: BuildKit's rules, by BuildKit's names.

`# check=skip=RULE,RULE;error=true` at the top of the file leaves rules out ("all" leaves out every one).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cais.build import instructions as kinds
from cais.build.dockerfile import Dockerfile
from cais.build.errors import WordError, excerpt, with_suggestion
from cais.build.expansion import PROXY_ARGS, declared, global_scope, platform_args
from cais.build.ignore import Ignore
from cais.build.instructions import Instruction, Stage
from cais.build.words import Rules, expand
from cais.gotext import go_quote

DESCRIPTIONS: Final = {
    "StageNameCasing": "Stage names should be lowercase",
    "FromAsCasing": "The 'as' keyword should match the case of the 'from' keyword",
    "NoEmptyContinuation": "Empty continuation lines will become errors in a future release",
    "ConsistentInstructionCasing": (
        "All commands within the Dockerfile should use the same casing (either upper or lower)"
    ),
    "DuplicateStageName": "Stage names should be unique",
    "ReservedStageName": "Reserved words should not be used as stage names",
    "JSONArgsRecommended": (
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals"
    ),
    "MaintainerDeprecated": ("The MAINTAINER instruction is deprecated, use a label instead to define an image author"),
    "UndefinedArgInFrom": "FROM command must use declared ARGs",
    "WorkdirRelativePath": (
        "Relative workdir without an absolute workdir declared within the build can have unexpected results "
        "if the base image changes"
    ),
    "UndefinedVar": "Variables should be defined before their use",
    "MultipleInstructionsDisallowed": "Multiple instructions of the same type should not be used in the same stage",
    "LegacyKeyValueFormat": "Legacy key/value format with whitespace separator should not be used",
    "RedundantTargetPlatform": (
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior"
    ),
    "SecretsUsedInArgOrEnv": "Sensitive data should not be used in the ARG or ENV commands",
    "InvalidDefaultArgInFrom": "Default value for global ARG results in an empty or invalid base image name",
    "FromPlatformFlagConstDisallowed": "FROM --platform flag should not use a constant value",
    "InvalidDefinitionDescription": (
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, add an empty line or comment between the instruction "
        "and the comment."
    ),
    "CopyIgnoredFile": "Attempting to Copy file that is excluded by .dockerignore",
    "ExposeProtoCasing": "Protocol in EXPOSE instruction should be lowercase",
    "ExposeInvalidFormat": "IP address and host-port mapping should not be used in EXPOSE instruction",
}
EXPERIMENTAL: Final = frozenset({"InvalidDefinitionDescription"})

_RESERVED: Final = frozenset({"context", "scratch"})
_SECRET: Final = re.compile(
    r"(?i)(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)"
)
_NOT_SECRET: Final = re.compile(r"(?i)(?:_|^)(?:public|file|version)(?:_|$)")
_IMAGE_NAME: Final = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?(?:@[A-Za-z0-9:+._-]+)?"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a rule has found. Lines are counted from 1."""

    rule: str
    message: str
    first_line: int
    last_line: int

    @property
    def description(self) -> str:
        return DESCRIPTIONS[self.rule]

    @property
    def url(self) -> str:
        dashed = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", self.rule).lower()
        return f"https://docs.docker.com/go/dockerfile/rule/{dashed}/"


@dataclass(frozen=True, slots=True)
class Result:
    """What the rules have found, by line; `is_error`: `# check=error=true` makes each of them one."""

    findings: tuple[Finding, ...]
    is_error: bool
    dockerfile: Dockerfile

    def excerpt(self, finding: Finding) -> str:
        return excerpt(self.dockerfile.name, self.dockerfile.lines, finding.first_line, finding.last_line)


BaseEnvironment = Callable[[str], Mapping[str, str] | None]


def check(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str] | None = None,
    base_environment: BaseEnvironment = lambda _: None,
    ignore: Ignore | None = None,
) -> Result:
    """Apply all rules. Where the environment of a base image is not known (None), nothing is said of variables.

    Raises: DockerfileError where an expansion fails.
    """
    options = _Options(dockerfile.directives.get("check", ""))
    checker = _Checker(dockerfile, build_args or {}, base_environment, ignore or Ignore(()))
    found = (finding for finding in checker.findings() if options.wants(finding.rule))
    ordered = tuple(sorted(set(found), key=lambda finding: (finding.first_line, finding.rule, finding.message)))
    return Result(ordered, options.is_error, dockerfile)


class _Options:
    """The directive `# check=skip=…;error=…;experimental=…`."""

    def __init__(self, text: str) -> None:
        options = dict(item.strip().partition("=")[::2] for item in text.split(";"))
        self._skipped = _names(options.get("skip", ""))
        self._experimental = _names(options.get("experimental", ""))
        self.is_error = options.get("error", "").strip().lower() in ("true", "1")

    def wants(self, rule: str) -> bool:
        if rule in EXPERIMENTAL:
            return not self._experimental.isdisjoint({"all", rule.lower()})
        return self._skipped.isdisjoint({"all", rule.lower()})


def _names(text: str) -> set[str]:
    return {name.strip().lower() for name in text.split(",")}


class _Checker:
    def __init__(
        self,
        dockerfile: Dockerfile,
        build_args: Mapping[str, str],
        base_environment: BaseEnvironment,
        ignore: Ignore,
    ) -> None:
        self._file = dockerfile
        self._build_args = build_args
        self._base_environment = base_environment
        self._ignore = ignore
        self._platforms = platform_args("linux/amd64", "linux/amd64")
        self._globals = global_scope(dockerfile, build_args, self._platforms)
        self._environments: dict[int, dict[str, str] | None] = {}

    def findings(self) -> Iterator[Finding]:
        yield from self._casing()
        yield from self._empty_continuations()
        yield from self._comments()
        yield from self._stage_names()
        for arg in self._file.global_args:
            yield from _secrets("ARG", (name for name, _ in arg.values), arg)
        for stage in self._file.stages:
            yield from self._from(stage)
            yield from _repeated(stage)
            yield from self._instructions(stage)

    def _casing(self) -> Iterator[Finding]:
        nodes = self._file.lexed.nodes
        lower = sum(node.keyword.islower() for node in nodes)
        upper = sum(node.keyword.isupper() for node in nodes)
        wanted, word = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
        for node in nodes:
            if node.keyword != wanted(node.keyword):
                message = f"Command '{node.keyword}' should match the case of the command majority ({word})"
                yield Finding("ConsistentInstructionCasing", message, node.first_line, node.last_line)

    def _empty_continuations(self) -> Iterator[Finding]:
        for node in self._file.lexed.nodes:
            if node.has_empty_continuation:
                yield Finding("NoEmptyContinuation", "Empty continuation line", node.last_line, node.last_line)

    def _comments(self) -> Iterator[Finding]:
        for node in self._file.lexed.nodes:
            names = _described(node.keyword.lower(), node.arguments)
            if not names or not node.comments or any(node.comments[-1].startswith(f"{name} ") for name in names):
                continue
            message = DESCRIPTIONS["InvalidDefinitionDescription"].replace("<arg/stage name>", names[0])
            yield Finding("InvalidDefinitionDescription", message, node.first_line, node.last_line)

    def _stage_names(self) -> Iterator[Finding]:
        seen: set[str] = set()
        for stage in self._file.stages:
            if stage.written_name != stage.name:
                yield _finding("StageNameCasing", f"Stage name '{stage.written_name}' should be lowercase", stage)
            if stage.name in _RESERVED:
                message = f"Stage name should not use the same name as reserved stage {go_quote(stage.name)}"
                yield _finding("ReservedStageName", message, stage)
            if stage.name in seen:
                message = f"Duplicate stage name {go_quote(stage.name)}, stage names should be unique"
                yield _finding("DuplicateStageName", message, stage)
            seen |= {stage.name} - {""}

    def _from(self, stage: Stage) -> Iterator[Finding]:
        word, keyword = stage.as_keyword, stage.keyword
        if word and not (keyword.islower() and word.islower()) and not (keyword.isupper() and word.isupper()):
            if keyword.islower() or keyword.isupper():
                yield _finding("FromAsCasing", f"'{word}' and '{keyword}' keywords' casing do not match", stage)
        try:
            base = expand(stage.base, self._globals, Rules(self._file.escape))
            platform = expand(stage.platform, self._globals, Rules(self._file.escape))
            defaults = global_scope(self._file, {}, self._platforms)
            default_base = expand(stage.base, defaults, Rules(self._file.escape))
        except WordError as error:
            raise self._file.error(str(error), stage.first_line, stage.last_line) from None
        for name in sorted(base.missing | platform.missing):
            message = with_suggestion(f"FROM argument '{name}' is not declared", name, sorted(self._globals))
            yield _finding("UndefinedArgInFrom", message, stage)
        if not base.missing and not _IMAGE_NAME.fullmatch(default_base.text):
            message = f"Default value for ARG {stage.base} results in empty or invalid base image name"
            yield _finding("InvalidDefaultArgInFrom", message, stage)
        if platform.found == {"TARGETPLATFORM"} and platform.text == self._platforms["TARGETPLATFORM"]:
            message = (
                f"Setting platform to predefined {stage.platform} in FROM is redundant as this is the default behavior"
            )
            yield _finding("RedundantTargetPlatform", message, stage)
        if stage.platform and not platform.found and not platform.missing:
            if not any(part in stage.name for part in platform.text.split("/") if part):
                message = f"FROM --platform flag should not use constant value {go_quote(platform.text)}"
                yield _finding("FromPlatformFlagConstDisallowed", message, stage)

    def _environment(self, stage: Stage) -> dict[str, str] | None:
        """What a stage begins with; None where nobody knows."""
        base = expand(stage.base, self._globals, Rules(self._file.escape)).text
        if base == "scratch":
            return {}
        parent = self._file.stage(base, before=stage.index)
        if parent is not None and parent.name == base.lower():
            return self._environments.get(parent.index)
        known = self._base_environment(base)
        return None if known is None else dict(known)

    def _instructions(self, stage: Stage) -> Iterator[Finding]:
        variables = self._environment(stage)
        known = variables is not None
        scope = variables or {}
        environment = dict(scope)  # what a stage built on this one begins with
        has_shell = has_workdir = False
        for instruction in stage.instructions:
            if known:
                yield from self._undefined(instruction, scope)
            yield from self._simple(instruction, has_shell=has_shell, has_workdir=has_workdir)
            has_shell |= isinstance(instruction, kinds.Shell)
            if isinstance(instruction, kinds.Workdir):
                has_workdir |= instruction.path.startswith(("/", "$"))
            environment |= self._declare(instruction, scope)
        self._environments[stage.index] = environment if known else None

    def _declare(self, instruction: Instruction, scope: dict[str, str]) -> dict[str, str]:
        """Put the variables of an instruction into a scope; those that images built on it have are returned."""
        try:
            if isinstance(instruction, kinds.Arg):
                given = {name: "" for name, _ in instruction.values}
                values = declared(instruction, scope, self._build_args, self._globals, self._file.escape)
                scope.update({name: value for name, value in (given | values).items() if name not in scope or value})
            elif isinstance(instruction, kinds.Env):
                rules = Rules(self._file.escape)
                values = {name: expand(value, scope, rules).text for name, value in instruction.values}
                scope.update(values)
                return values
        except WordError:
            pass  # which the build will say, with its line
        return {}

    def _undefined(self, instruction: Instruction, scope: Mapping[str, str]) -> Iterator[Finding]:
        missing: set[str] = set()
        for text in _expanded_texts(instruction):
            try:
                missing |= expand(text, scope, Rules(self._file.escape)).missing
            except WordError:
                continue
        for name in sorted(missing - PROXY_ARGS):
            message = with_suggestion(f"Usage of undefined variable '${name}'", name, sorted(scope))
            message = message.replace("(did you mean ", "(did you mean $")
            yield _finding("UndefinedVar", message, instruction)

    def _simple(self, instruction: Instruction, *, has_shell: bool, has_workdir: bool) -> Iterator[Finding]:
        """Rules that look at one instruction alone."""
        match instruction:
            case kinds.Cmd() | kinds.Entrypoint():
                if instruction.shell and not has_shell:
                    name = type(instruction).__name__.upper()
                    message = (
                        f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
                    )
                    yield _finding("JSONArgsRecommended", message, instruction)
            case kinds.Maintainer():
                message = "Maintainer instruction is deprecated in favor of using label"
                yield _finding("MaintainerDeprecated", message, instruction)
            case kinds.Workdir():
                if not has_workdir and not instruction.path.startswith(("/", "$")):
                    result = "can have unexpected results if the base image changes"
                    message = f"Relative workdir {go_quote(instruction.path)} {result}"
                    yield _finding("WorkdirRelativePath", message, instruction)
            case kinds.Env() | kinds.Label():
                yield from _pairs(instruction)
            case kinds.Arg():
                yield from _secrets("ARG", (name for name, _ in instruction.values), instruction)
            case kinds.Transfer():
                yield from self._ignored(instruction)
            case kinds.Expose():
                yield from _ports(instruction)

    def _ignored(self, transfer: kinds.Transfer) -> Iterator[Finding]:
        if not self._ignore or (isinstance(transfer, kinds.Copy) and transfer.source_from):
            return
        verb = "Copy" if isinstance(transfer, kinds.Copy) else "Add"
        for source in transfer.sources:
            path = source.strip("/").removeprefix("./")
            if path and path != "." and "$" not in source and "://" not in source and self._ignore.leaves_out(path):
                message = f"Attempting to {verb} file {go_quote(source)} that is excluded by .dockerignore"
                yield _finding("CopyIgnoredFile", message, transfer)


def _finding(rule: str, message: str, where: Instruction | Stage) -> Finding:
    return Finding(rule, message, where.first_line, where.last_line)


def _described(keyword: str, arguments: str) -> list[str]:
    """The names that a comment above an instruction may describe."""
    words = arguments.split()
    if keyword == "arg":
        return [word.partition("=")[0] for word in words]
    return [words[2].lower()] if keyword == "from" and len(words) == 3 else []


def _repeated(stage: Stage) -> Iterator[Finding]:
    last: dict[type[Instruction], Instruction] = {}
    for instruction in stage.instructions:
        if not isinstance(instruction, kinds.Cmd | kinds.Entrypoint | kinds.Healthcheck):
            continue
        if earlier := last.get(type(instruction)):
            name = type(instruction).__name__.upper()
            message = (
                f"Multiple {name} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            yield _finding("MultipleInstructionsDisallowed", message, earlier)
        last[type(instruction)] = instruction


def _pairs(instruction: kinds.Env | kinds.Label) -> Iterator[Finding]:
    name = type(instruction).__name__.upper()
    if instruction.old_form:
        message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
        yield _finding("LegacyKeyValueFormat", message, instruction)
    if isinstance(instruction, kinds.Env):
        yield from _secrets("ENV", (key for key, _ in instruction.values), instruction)


def _secrets(keyword: str, names: Iterator[str], where: Instruction) -> Iterator[Finding]:
    for name in names:
        if _SECRET.search(name) and not _NOT_SECRET.search(name):
            message = f"Do not use ARG or ENV instructions for sensitive data ({keyword} {go_quote(name)})"
            yield _finding("SecretsUsedInArgOrEnv", message, where)


def _ports(expose: kinds.Expose) -> Iterator[Finding]:
    for port in expose.ports:
        number, slash, protocol = port.partition("/")
        if ":" in number and "$" not in number:
            message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            yield _finding("ExposeInvalidFormat", message, expose)
        if slash and protocol != protocol.lower() and "$" not in protocol:
            message = f"Defined protocol '{protocol}' in EXPOSE instruction should be lowercase"
            yield _finding("ExposeProtoCasing", message, expose)


def _expanded_texts(instruction: Instruction) -> tuple[str, ...]:
    """The texts of an instruction in which variables are replaced."""
    texts: tuple[str, ...] = ()
    match instruction:
        case kinds.Env() | kinds.Label():
            texts = tuple(text for pair in instruction.values for text in pair)
        case kinds.Arg():
            texts = tuple(value for _, value in instruction.values if value is not None)
        case kinds.Transfer():
            texts = (*instruction.sources, instruction.destination, instruction.chown, instruction.chmod)
        case kinds.Workdir():
            texts = (instruction.path,)
        case kinds.User():
            texts = (instruction.user,)
        case kinds.StopSignal():
            texts = (instruction.signal,)
        case kinds.Expose():
            texts = instruction.ports
        case kinds.Volume():
            texts = instruction.paths
        case kinds.Run():
            texts = instruction.mount_texts
    return texts
