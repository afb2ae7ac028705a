"""What `build --check` says of a Dockerfile: BuildKit's rules, by BuildKit's names.

`# check=skip=RULE,RULE;error=true` at the top of the file leaves rules out ("all" leaves out every one); the build
argument BUILDKIT_DOCKERFILE_CHECK stands for such a line, whatever the file says.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from cais.build import instructions as kinds
from cais.build.check_rules import Finding, Options
from cais.build.dockerfile import Dockerfile
from cais.build.errors import WordError, excerpt, with_suggestion
from cais.build.expansion import PROXY_ARGS, declared, global_scope, platform_args
from cais.build.ignore import Ignore
from cais.build.instructions import Instruction, Stage
from cais.build.words import Rules, expand
from cais.gotext import go_quote

_OPTIONS_ARG: Final = "BUILDKIT_DOCKERFILE_CHECK"
_SAME: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64"}
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
class Result:
    """What the rules have found, by line; `is_error`: `# check=error=true` makes each of them one."""

    findings: tuple[Finding, ...]
    is_error: bool
    dockerfile: Dockerfile

    @property
    def error(self) -> str:
        """What a build that is checked fails with, "" where it does not."""
        rules = list(dict.fromkeys(finding.rule for finding in self.findings))
        return f"lint violation found for rules: {', '.join(rules)}" if self.is_error and rules else ""

    def excerpt(self, finding: Finding) -> str:
        return excerpt(self.dockerfile.name, self.dockerfile.lines, finding.first_line, finding.last_line)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImage:
    """What is known of a base image."""

    environment: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""  # "linux/arm64"
    has_shell: bool = False  # SHELL was set


KnowImage = Callable[[str], KnownImage | None]


def check(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str] | None = None,
    know_image: KnowImage = lambda _: None,
    ignore: Ignore | None = None,
    platforms: tuple[str, str] = ("linux/amd64", "linux/amd64"),
) -> Result:
    """Apply all rules. Where a base image is not known (None), nothing is said of variables that it may have.

    `platforms` are the machine's and that of the build. Raises: DockerfileError where an expansion fails;
    InvalidArgument where the wish for rules cannot be read.
    """
    given = build_args or {}
    options = Options(given.get(_OPTIONS_ARG) or dockerfile.directives.get("check", ""))
    checker = _Checker(dockerfile, given, know_image, ignore or Ignore(()), platforms)
    found = (finding for finding in checker.findings() if options.wants(finding.rule))
    ordered = tuple(sorted(set(found), key=lambda finding: (finding.first_line, finding.rule, finding.message)))
    return Result(ordered, options.is_error, dockerfile)


@dataclass(slots=True)
class _Stage:
    """What a stage begins with, and in the end what one that is built on it begins with.

    `variables` are those of ENV and ARG, None where nobody knows them: of an image that is not here.
    """

    variables: dict[str, str] | None
    has_shell: bool = False
    has_workdir: bool = False


class _Checker:
    def __init__(
        self,
        dockerfile: Dockerfile,
        build_args: Mapping[str, str],
        know_image: KnowImage,
        ignore: Ignore,
        platforms: tuple[str, str],
    ) -> None:
        self._file = dockerfile
        self._build_args = build_args
        self._know_image = know_image
        self._ignore = ignore
        self._platforms = platform_args(*platforms)
        self._globals = global_scope(dockerfile, build_args, self._platforms)
        self._stages: dict[int, _Stage] = {}

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
        lines: list[Instruction | Stage] = []
        for stage in self._file.stages:
            lines += [stage, *stage.instructions]
        lower = sum(line.keyword.islower() for line in lines)
        upper = sum(line.keyword.isupper() for line in lines)
        wanted, word = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
        for line in lines:
            if line.keyword != wanted(line.keyword):
                message = f"Command '{line.keyword}' should match the case of the command majority ({word})"
                yield _finding("ConsistentInstructionCasing", message, line)

    def _empty_continuations(self) -> Iterator[Finding]:
        for node in self._file.lexed.nodes:
            if node.has_empty_continuation:
                yield Finding("NoEmptyContinuation", "Empty continuation line", node.last_line, node.last_line)

    def _comments(self) -> Iterator[Finding]:
        for node in self._file.lexed.nodes:
            names = _described(node.keyword.lower(), node.arguments)
            if not names or not node.comments or node.comments[-1].split(" ")[0] in names:
                continue
            example = names[0] if len(names) == 1 else "<arg_key>"
            message = f"Comment for {node.keyword.upper()} should follow the format: `# {example} <description>`"
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
        names = self._globals.keys() | {name for arg in self._file.global_args for name, _ in arg.values}
        for name in sorted((base.missing | platform.missing) - names):
            message = with_suggestion(f"FROM argument '{name}' is not declared", name, sorted(names))
            yield _finding("UndefinedArgInFrom", message, stage)
        if not _IMAGE_NAME.fullmatch(default_base.text):
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

    def _begun(self, stage: Stage) -> tuple[_Stage, KnownImage | None]:
        """What a stage begins with, and the image that it is built on, where that is one and known."""
        base = expand(stage.base, self._globals, Rules(self._file.escape)).text
        if base == "scratch":
            return _Stage({}), None
        parent = self._file.stage(base, before=stage.index)
        if parent is not None and parent.name == base.lower():
            return replace(self._stages[parent.index]), None
        known = self._know_image(base)
        if known is None:
            return _Stage(None), None
        return _Stage(dict(known.environment), has_shell=known.has_shell), known

    def _image_platform(self, stage: Stage, image: KnownImage) -> Iterator[Finding]:
        platform = expand(stage.platform, self._globals, Rules(self._file.escape)).text
        wanted = platform or self._platforms["TARGETPLATFORM"]
        if image.platform and _system(image.platform) != _system(wanted):
            base = expand(stage.base, self._globals, Rules(self._file.escape)).text
            message = (
                f"Base image {base} was pulled with platform {go_quote(image.platform)}, "
                f"expected {go_quote('/'.join(_system(wanted)))} for current build"
            )
            yield _finding("InvalidBaseImagePlatform", message, stage)

    def _instructions(self, stage: Stage) -> Iterator[Finding]:
        begun, image = self._begun(stage)
        if image is not None:
            yield from self._image_platform(stage, image)
        known = begun.variables is not None
        scope = dict(begun.variables or {})
        for instruction in stage.instructions:
            if known:
                yield from self._undefined(instruction, scope)
            if isinstance(instruction, kinds.Workdir):
                if not begun.has_workdir:
                    yield from self._workdir(instruction, scope if known else None)
                begun.has_workdir = True
            yield from self._simple(instruction, has_shell=begun.has_shell)
            begun.has_shell |= isinstance(instruction, kinds.Shell)
            self._declare(instruction, scope)
        begun.variables = scope if known else None
        self._stages[stage.index] = begun

    def _workdir(self, instruction: kinds.Workdir, scope: Mapping[str, str] | None) -> Iterator[Finding]:
        """A folder that depends on the base image. Later ones are put right with the first."""
        path = instruction.path
        if scope is not None:
            with suppress(WordError):
                path = expand(path, scope, Rules(self._file.escape)).text
        if not path.startswith("/") and (scope is not None or not path.startswith("$")):
            message = f"Relative workdir {go_quote(path)} can have unexpected results if the base image changes"
            yield _finding("WorkdirRelativePath", message, instruction)

    def _declare(self, instruction: Instruction, scope: dict[str, str]) -> None:
        """Put the variables of an instruction into a scope."""
        with suppress(WordError):  # which the build will say, with its line
            if isinstance(instruction, kinds.Arg):
                given = {name: "" for name, _ in instruction.values}
                values = declared(instruction, scope, self._build_args, self._globals, self._file.escape)
                scope.update({name: value for name, value in (given | values).items() if name not in scope or value})
            elif isinstance(instruction, kinds.Env):
                rules = Rules(self._file.escape)
                scope.update({name: expand(value, scope, rules).text for name, value in instruction.values})

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

    def _simple(self, instruction: Instruction, *, has_shell: bool) -> Iterator[Finding]:
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


def _system(platform: str) -> tuple[str, str]:
    """The operating system and the architecture of "linux/arm64/v8" or "arm64"."""
    system, slash, rest = platform.lower().partition("/")
    architecture = (rest if slash else system).partition("/")[0]
    return system if slash else "linux", _SAME.get(architecture, architecture)


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
