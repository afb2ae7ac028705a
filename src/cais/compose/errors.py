"""What can be wrong with a project.

CaisError
└── ComposeError      the project cannot be read, or something cannot be done with it
    └── FileError     a Compose file is wrong: it names the file, the line and the key
"""

from __future__ import annotations

from cais.errors import CaisError


class ComposeError(CaisError):
    """A project cannot be read, or something cannot be done with it."""


class FileError(ComposeError):
    """A Compose file is wrong."""

    def __init__(self, path: str, line: int, what: str) -> None:
        """`line` counts from 1; 0 is unknown."""
        super().__init__(f"{path}:{line}: {what}" if line else f"{path}: {what}")
        self.path = path
        self.line = line
        self.what = what
