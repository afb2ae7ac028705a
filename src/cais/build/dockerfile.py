"""A Dockerfile, read: `parse` gives its stages, their instructions and the arguments before the first stage."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cais.build.errors import DockerfileError, LineError, WordError
from cais.build.instructions import Arg, Instruction, Stage
from cais.build.lexer import Lexed, Node, lex
from cais.build.reading import Reader, read_from, read_instruction


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file. `escape` is the letter that escapes in it; `lines` are those of the file, for excerpts."""

    name: str
    escape: str
    directives: Mapping[str, str]  # "syntax", "escape", "check", as far as they are there
    global_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    lines: tuple[str, ...]
    lexed: Lexed

    def stage(self, name_or_index: str, before: int | None = None) -> Stage | None:
        """The stage that a name (in any case) or a number means; `before` hides it and those behind it.

        The last one of a name wins. None: no such stage.
        """
        stages = self.stages[:before]
        for stage in reversed(stages):
            if stage.name and stage.name == name_or_index.lower():
                return stage
        if re.fullmatch(r"[0-9]{1,6}", name_or_index) and int(name_or_index) < len(stages):
            return stages[int(name_or_index)]
        return None

    def target(self, name: str) -> Stage:
        """The stage to build, the last one where the name is empty. Raises: DockerfileError."""
        found = self.stage(name) if name else self.stages[-1]
        if found is None:
            raise DockerfileError(f'target stage "{name}" could not be found', self.name)
        return found

    def error(self, message: str, first_line: int, last_line: int = 0) -> DockerfileError:
        """An error about some lines of this file, with its excerpt."""
        return DockerfileError(message, self.name, first_line, last_line).within(self.lines)


_NO_STAGE: Final = "no build stage in current context"


def parse(text: str | bytes, name: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile. What is not UTF-8 becomes U+FFFD.

    Raises: DockerfileError, with the lines and an excerpt, in BuildKit's words.
    """
    lexed = lex(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, name)
    global_args: list[Arg] = []
    stages: list[Stage] = []
    bodies: list[list[Instruction]] = []
    for node in lexed.nodes:
        instruction = _read(node, lexed, len(stages))
        if isinstance(instruction, Stage):
            stages.append(instruction)
            bodies.append([])
        elif stages:
            bodies[-1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            raise _error(lexed, node, _NO_STAGE)
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build", name)
    whole = tuple(replace(stage, instructions=tuple(body)) for stage, body in zip(stages, bodies, strict=True))
    return Dockerfile(name, lexed.escape, dict(lexed.directives), tuple(global_args), whole, lexed.lines, lexed)


def parse_trigger(expression: str, escape: str = "\\") -> Instruction:
    """The instruction that an ONBUILD of a base image has. Raises: DockerfileError."""
    lexed = lex(f"# escape={escape}\n{expression}\n", "ONBUILD")
    if len(lexed.nodes) != 1:
        raise DockerfileError("Onbuild trigger should be a single expression", "ONBUILD")
    instruction = _read(lexed.nodes[0], lexed, 0)
    if isinstance(instruction, Stage):
        raise DockerfileError("FROM isn't allowed as an ONBUILD trigger", "ONBUILD")
    return instruction


def _read(node: Node, lexed: Lexed, index: int) -> Instruction | Stage:
    reader = Reader(node, lexed.escape)
    try:
        return read_from(reader, index) if node.keyword.lower() == "from" else read_instruction(reader)
    except LineError as error:
        found = _error(lexed, node, str(error))
        found.is_syntax = True
        raise found from None
    except WordError as error:
        raise _error(lexed, node, f"dockerfile parse error on line {node.first_line}: {error}") from None


def _error(lexed: Lexed, node: Node, message: str) -> DockerfileError:
    return DockerfileError(message, lexed.name, node.first_line, node.last_line).within(lexed.lines)
