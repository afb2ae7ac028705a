"""A template: parsed once, applied to any number of values."""

from __future__ import annotations

from cais.cli.gotemplate.errors import TemplateError
from cais.cli.gotemplate.evaluate import Evaluation
from cais.cli.gotemplate.functions import FUNCTIONS
from cais.cli.gotemplate.parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cais.cli.gotemplate.values import Function, Value


class Template:
    """A parsed template. Errors of parsing and applying are TemplateErrors, in Go's words."""

    def __init__(self, text: str, name: str = "") -> None:
        self.name = name
        self.text = text
        self._trees = parse(name, text, FUNCTIONS)

    def apply(self, value: Value, *, strict: bool = False) -> str:
        """The text made of a value. `strict`: a key that a map lacks is an error."""
        return Evaluation(self.name, self.text, self._trees, FUNCTIONS, strict=strict).run(value)

    def apply_partly(self, value: Value, functions: Mapping[str, Function]) -> str:
        """With other functions; where an error comes, the text before it."""
        try:
            return Evaluation(self.name, self.text, self._trees, functions).run(value)
        except TemplateError as error:
            return error.written
