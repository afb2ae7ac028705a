"""What goes wrong with a template."""

from __future__ import annotations

from cais.errors import InvalidArgument


class TemplateError(InvalidArgument):
    """A template cannot be parsed, or not be applied to its data. The message is Go's: `template: NAME:LINE: …`.

    `written` is the text that was made before, which some commands show.
    """

    def __init__(self, message: str, written: str = "") -> None:
        super().__init__(message)
        self.written = written


class CallError(Exception):
    """A function of a template refuses its arguments; where it was called, that becomes a TemplateError."""
