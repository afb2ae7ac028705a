"""Whether a Compose file has the form that the Compose Specification asks for.

The schema, `compose-spec.schema.json`, is the specification's own (github.com/compose-spec/compose-spec, Apache
License 2.0), unchanged. What is read here is the part of JSON Schema that it uses. A general validator would say that a
value is "not valid under any of the given schemas"; this one follows the alternative that was meant and says what is
wrong in it.
"""

from __future__ import annotations

import os
import re
from functools import cache

from cais.client.codec import loads
from cais.compose.document import dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.compose.document import Document, Path, Tree

_SCHEMA = os.path.join(os.path.dirname(__file__), "compose-spec.schema.json")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
    "number": (int, float),
    "integer": int,
}


class Violation:
    """What is wrong, and where."""

    __slots__ = ("path", "what")

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what


@cache
def schema() -> Tree:
    with open(_SCHEMA, "rb") as file:
        loaded: Tree = loads(file.read())
    return loaded


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def validate(document: Document, data: Tree) -> None:
    """Raises FileError for the first thing in `data`, the document's with its variables replaced, that is wrong."""
    found = _check(schema(), data, ())
    if found is not None:
        where = dotted(found.path)
        raise document.error(found.path, f"{where}: {found.what}" if where else found.what)


def _check(rule: Tree, value: Any, path: Path) -> Violation | None:  # noqa: PLR0911 -- one a kind of rule
    if "$ref" in rule:
        return _check(schema()["definitions"][rule["$ref"].rpartition("/")[2]], value, path)
    if "oneOf" in rule:
        return _check_alternatives(rule["oneOf"], value, path)
    if not _has_type(rule, value):
        return Violation(path, f"must be {_type_names(rule)}, not {_spoken(value)}")
    if "enum" in rule and value not in rule["enum"]:
        known = ", ".join(rule["enum"])
        return Violation(path, f"must be one of {known}, not {value!r}{_suggestion(str(value), rule['enum'])}")
    if isinstance(value, dict):
        return _check_object(rule, value, path)
    if isinstance(value, list):
        return _check_array(rule, value, path)
    return _check_scalar(rule, value, path)


def _check_scalar(rule: Tree, value: Any, path: Path) -> Violation | None:
    if isinstance(value, str) and "pattern" in rule and not _pattern(rule["pattern"]).search(value):
        return Violation(path, f"{value!r} does not match pattern {rule['pattern']!r}")
    if isinstance(value, int | float):
        if value < rule.get("minimum", value):
            return Violation(path, f"must be at least {rule['minimum']}, not {value}")
        if value > rule.get("maximum", value):
            return Violation(path, f"must be at most {rule['maximum']}, not {value}")
    return None


def _check_object(rule: Tree, value: Tree, path: Path) -> Violation | None:
    named, patterns = rule.get("properties", {}), rule.get("patternProperties", {})
    for key, item in value.items():
        if key in named:
            rules = [named[key]]
        else:
            rules = [found for pattern, found in patterns.items() if _pattern(pattern).search(key)]
            if not rules and rule.get("additionalProperties", True) is False:
                known = [*named]
                return Violation((*path, key), f"additional property {key!r} is not allowed{_suggestion(key, known)}")
        for each in rules:
            if (found := _check(each, item, (*path, key))) is not None:
                return found
    for key in rule.get("required", ()):
        if key not in value:
            return Violation(path, f"property {key!r} is missing")
    return None


def _check_array(rule: Tree, value: list[Any], path: Path) -> Violation | None:
    items = rule.get("items")
    if items is not None:
        for index, item in enumerate(value):
            if (found := _check(items, item, (*path, index))) is not None:
                return found
    if rule.get("uniqueItems"):
        for index, item in enumerate(value):
            first = value.index(item)
            if first != index and type(value[first]) is type(item):
                return Violation((*path, index), f"items at {first} and {index} are equal")
    return None


def _check_alternatives(rules: list[Tree], value: Any, path: Path) -> Violation | None:
    """One of the rules must be kept. If none is, the complaint is that of the one whose type fits."""
    complaint: Violation | None = None
    weight = (-1, False)
    for rule in rules:
        found = _check(rule, value, path)
        if found is None:
            return None
        if (own := (len(found.path), _fits(rule, value))) > weight:
            complaint, weight = found, own
    if complaint is not None and complaint.path == path and all(not _fits(rule, value) for rule in rules):
        names = dict.fromkeys(name for rule in rules for name in _type_list(rule))
        return Violation(path, f"must be {_one_of([*names])}, not {_spoken(value)}")
    return complaint


def _fits(rule: Tree, value: Any) -> bool:
    if "$ref" in rule:
        return _fits(schema()["definitions"][rule["$ref"].rpartition("/")[2]], value)
    if "oneOf" in rule:
        return any(_fits(each, value) for each in rule["oneOf"])
    return _has_type(rule, value)


def _type_list(rule: Tree) -> list[str]:
    if "$ref" in rule:
        return _type_list(schema()["definitions"][rule["$ref"].rpartition("/")[2]])
    if "oneOf" in rule:
        return [name for each in rule["oneOf"] for name in _type_list(each)]
    given = rule.get("type", [])
    return [given] if isinstance(given, str) else list(given)


def _has_type(rule: Tree, value: Any) -> bool:
    given = rule.get("type")
    if given is None:
        return True
    names = [given] if isinstance(given, str) else given
    if isinstance(value, bool):
        return "boolean" in names
    if isinstance(value, float) and value.is_integer() and "integer" in names:
        return True
    return any(isinstance(value, _TYPES[name]) for name in names)


_SPOKEN = {
    "string": "a string",
    "boolean": "a boolean",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
    "number": "a number",
    "integer": "an integer",
}


def _type_names(rule: Tree) -> str:
    return _one_of(_type_list(rule))


def _one_of(names: list[str]) -> str:
    words = [_SPOKEN[name] for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _spoken(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value!r}"
    return "a list" if isinstance(value, list) else "a mapping"


def _suggestion(word: str, known: list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 -- only to explain

    near = get_close_matches(word, known, 1, 0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
