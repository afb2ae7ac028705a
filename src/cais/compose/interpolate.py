"""Variables in the values of a Compose file, with the operators of the Compose Specification.

    $NAME  ${NAME}      the value, or nothing, with a warning, where the variable is not set
    ${NAME-word}        the word where it is not set          ${NAME:-word}   ... or empty
    ${NAME?word}        an error where it is not set          ${NAME:?word}   ... or empty
    ${NAME+word}        the word where it is set              ${NAME:+word}   ... and not empty
    $$                  a dollar sign

A word may have variables in it.
"""

from __future__ import annotations

from cais.compose.document import dotted
from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from cais.compose.document import Path

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_REST = _FIRST | frozenset("0123456789")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class InvalidTemplate(ComposeError):
    """A dollar sign that begins nothing."""


class MissingVariable(ComposeError):
    """A variable that has to be set is not."""


class Variable:
    """A variable that a template asks for."""

    __slots__ = ("name", "operator", "word")

    def __init__(self, name: str, operator: str = "", word: str = "") -> None:
        self.name = name
        self.operator = operator
        self.word = word


def substitute(template: str, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    """The template with its variables replaced; `unset` is told the name of each that is missing without a default.

    Raises InvalidTemplate and MissingVariable.
    """
    if "$" not in template:
        return template
    return "".join(part if isinstance(part, str) else _replacement(part, variables, unset) for part in parts(template))


def parts(template: str) -> Iterator[str | Variable]:
    """A template taken apart, in order. Raises InvalidTemplate."""
    at = 0
    while (dollar := template.find("$", at)) >= 0:
        if dollar > at:
            yield template[at:dollar]
        following = template[dollar + 1 : dollar + 2]
        if following == "$":
            yield "$"
            at = dollar + 2
        elif following == "{":
            end = _closing(template, dollar + 2)
            yield _braced(template[dollar + 2 : end], template)
            at = end + 1
        elif following in _FIRST and following:
            at = _name_end(template, dollar + 1)
            yield Variable(template[dollar + 1 : at])
        else:
            raise InvalidTemplate(template)
    if at < len(template):
        yield template[at:]


def _name_end(template: str, at: int) -> int:
    while at < len(template) and template[at] in _REST:
        at += 1
    return at


def _closing(template: str, at: int) -> int:
    """Where the brace is closed whose content begins at `at`."""
    depth = 1
    while at < len(template):
        if template.startswith("${", at):
            depth += 1
            at += 1
        elif template[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise InvalidTemplate(template)


def _braced(content: str, template: str) -> Variable:
    end = _name_end(content, 0)
    if not end or content[0] not in _FIRST:
        raise InvalidTemplate(template)
    name, rest = content[:end], content[end:]
    if not rest:
        return Variable(name)
    for operator in _OPERATORS:
        if rest.startswith(operator):
            return Variable(name, operator, rest[len(operator) :])
    raise InvalidTemplate(template)


def _replacement(variable: Variable, variables: Mapping[str, str], unset: Callable[[str], None]) -> str:
    value = variables.get(variable.name)
    operator = variable.operator
    if not operator:
        if value is None:
            unset(variable.name)
        return value or ""
    # With a colon, empty is as good as not set.
    present = bool(value) if operator.startswith(":") else value is not None
    kind = operator[-1]
    if kind == "+":
        return substitute(variable.word, variables, unset) if present else ""
    if present:
        return value or ""
    if kind == "-":
        return substitute(variable.word, variables, unset)
    reason = substitute(variable.word, variables, unset)
    missing = f"required variable {variable.name} is missing a value"
    raise MissingVariable(f"{missing}: {reason}" if reason else missing)


def interpolate(data: Any, variables: Mapping[str, str], unset: Callable[[str], None], path: Path = ()) -> Any:
    """A tree with the variables in all its texts replaced. Raises ComposeError that names the path."""
    if isinstance(data, dict):
        return {key: interpolate(value, variables, unset, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [interpolate(value, variables, unset, (*path, index)) for index, value in enumerate(data)]
    if not isinstance(data, str) or "$" not in data:
        return data
    try:
        return substitute(data, variables, unset)
    except InvalidTemplate:
        raise ComposeError(
            f"invalid interpolation format for {dotted(path)}.\nYou may need to escape any $ with another $.\n{data}"
        ) from None
    except MissingVariable as error:
        raise ComposeError(f"error while interpolating {dotted(path)}: {error.message}") from None


def variables_of(data: Any) -> Iterator[Variable]:
    """The variables that a tree asks for, with those in their words."""
    if isinstance(data, dict):
        for value in data.values():
            yield from variables_of(value)
    elif isinstance(data, list):
        for value in data:
            yield from variables_of(value)
    elif isinstance(data, str) and "$" in data:
        for part in parts(data):
            if isinstance(part, Variable):
                yield part
                yield from variables_of(part.word)
