"""The instructions of a Dockerfile, as they stand there: no variable is expanded (`cais.build.expansion` does that)."""

from dataclasses import dataclass, field

from cais.build.lexer import Heredoc, heredoc_of
from cais.build.runmounts import Mount


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What every instruction has. Lines are counted from 1; `original` is the whole of it, continuations joined."""

    original: str = ""
    first_line: int = 0
    last_line: int = 0
    keyword: str = ""  # as it is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """Names with their defaults, None where there is none."""

    values: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    values: tuple[tuple[str, str], ...]
    old_form: bool = False  # NAME VALUE, without an equals sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    values: tuple[tuple[str, str], ...]
    old_form: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Instruction):
    """What COPY and ADD have in common. Each source is a path, or a file that stands in the Dockerfile."""

    sources: tuple[str, ...]
    files: tuple[Heredoc, ...] = ()
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Transfer):
    """`source_from` is a stage's name or number, an image, or a named context; "": the context."""

    source_from: str = ""
    parents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Transfer):
    """`unpack` is None where archives are unpacked by default: those of the context, and none that were fetched."""

    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine(Instruction):
    """What RUN, CMD and ENTRYPOINT have in common: the arguments of an array, or one text for the shell."""

    command: tuple[str, ...]
    shell: bool  # the text is to be put behind SHELL's arguments


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(CommandLine):
    """`mount_texts` are the flags as written; `mounts` are filled in by expansion.

    `files` are the heredocs of the command. Where the command is one alone, `script` is what it stands for.
    """

    files: tuple[Heredoc, ...] = ()
    mount_texts: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"

    @property
    def script(self) -> Heredoc | None:
        """The heredoc that is the whole command: a file of its own where it begins with "#!", else a shell's text."""
        alone = self.files and self.shell and heredoc_of(self.command[0])
        return self.files[0] if alone else None

    @property
    def text(self) -> str:
        """The text for the shell, heredocs included."""
        if script := self.script:
            return script.text
        return self.command[0] + "".join(f"\n{file.content}{file.name}" for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(CommandLine):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(CommandLine):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """`test` is ("NONE",), ("CMD", …) or ("CMD-SHELL", text). Times are in nanoseconds; 0: inherited."""

    test: tuple[str, ...]
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """`expression` is the instruction that an image built on this one begins with, its heredocs included."""

    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """From one FROM to the next. `name` is in lower case, "" where it has none; `base` is unexpanded."""

    index: int
    base: str
    name: str = ""
    written_name: str = ""
    platform: str = ""
    original: str = ""
    first_line: int = 0
    last_line: int = 0
    keyword: str = "FROM"
    as_keyword: str = ""
    instructions: tuple[Instruction, ...] = field(default=())
