"""Engines that a program opens by itself: their folders, programs that use them, and the examples of the documents."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cais
from tests.harness import host
from tests.harness.engine import PROJECT, SESSION_MARK, wait_until
from tests.harness.images import busybox_root

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of an engine under test."""

    root: Path

    @property
    def data_root(self) -> Path:
        return self.root / "data"

    @property
    def exec_root(self) -> Path:
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.exec_root / "cais.sock"

    def engine(self) -> cais.Engine:
        """The engine of these folders, as this process finds or opens it."""
        return cais.Engine(data_root=self.data_root, exec_root=self.exec_root)

    def environment(self) -> dict[str, str]:
        """For programs that use the engine without naming it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CAIS_", "DOCKER_"))}
        return kept | {
            "CAIS_DATA_ROOT": str(self.data_root),
            "CAIS_EXEC_ROOT": str(self.exec_root),
            host.TEST_ENVIRONMENT: SESSION_MARK,
        }

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line that runs a text of Python. What is deprecated, and what is left open, is an error."""
        return [sys.executable, "-W", "error", "-c", program, *arguments]

    def python(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a text of Python to its end."""
        return subprocess.run(
            self.command(program, *arguments), check=False, capture_output=True, text=True, timeout=90,
            env=self.environment(), cwd=self.root,
        )  # fmt: skip

    def start(self, program: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start a text of Python; it is spoken to through pipes."""
        return subprocess.Popen(
            self.command(program, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=self.environment(), cwd=self.root,
        )  # fmt: skip


@contextmanager
def folders() -> Iterator[Folders]:
    """Folders for engines, which must be closed at the end and leave no process."""
    made = Folders(Path(tempfile.mkdtemp(prefix=host.SESSION_ROOT_PREFIX)))
    try:
        yield made
        wait_until(
            lambda: not host.processes_naming(str(made.root)),
            10,
            lambda: str([host.command_line(pid) for pid in host.processes_naming(str(made.root))]),
        )
    finally:
        shutil.rmtree(made.root)


async def import_busybox(engine: cais.Engine) -> None:
    """Bring the image busybox:latest, without a command, into an engine."""
    await engine.images.import_(busybox_root().finish(), "busybox:latest")


@dataclass(frozen=True, slots=True)
class Example:
    """A program of a document, and what it writes, if that is said."""

    document: str
    line: int
    program: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def waits_at_the_top(self) -> bool:
        """Whether it is a notebook's, which awaits outside a function."""
        try:
            compile(self.program, str(self), "exec")
        except SyntaxError:
            compile(self.program, str(self), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            return True
        return False

    @property
    def is_test(self) -> bool:
        """Whether it is a file of tests."""
        return "\ndef test_" in self.program


def examples(document: str) -> list[Example]:
    """The blocks of Python of a document, in order; a block of text behind one is its output."""
    text = (PROJECT / document).read_text("utf-8")
    found: list[Example] = []
    for block in _BLOCK.finditer(text):
        language, content = block.groups()
        if language == "python":
            found.append(Example(document, text[: block.start()].count("\n") + 2, content, None))
        elif language == "text" and found:
            found[-1] = Example(document, found[-1].line, found[-1].program, content)
    return found
