"""YAML made into documents. Scalars are read as Docker Compose's parser reads them (YAML 1.2, with the octal numbers of
1.1): `yes` is text, `0440` a number. Anchors, aliases and merge keys are resolved here.
"""

from __future__ import annotations

import re

import yaml

from cais.compose.document import Document, dotted
from cais.compose.errors import FileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.compose.document import Path, Tree

_QUOTED = ("'", '"', "|", ">")
_MOST_NODES = 1_000_000
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_TIMESTAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})[Zz])?$")
_SPECIAL_FLOATS = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read(file: str, text: str) -> list[Document]:
    """The documents of a file. Raises FileError."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found: list[Any] = list(yaml.compose_all(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise FileError(file, mark.line + 1 if mark else 0, _problem(error)) from None
    except yaml.YAMLError as error:
        raise FileError(file, 0, str(error)) from None
    nodes = [node for node in found if node is not None]
    if not nodes:
        raise FileError(file, 0, "empty compose file")
    return [_Builder(file).document(node) for node in nodes]


def _problem(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


class _Builder:
    """Makes values of the nodes of one document."""

    def __init__(self, file: str) -> None:
        self._result = Document(file, {})
        self._open: set[int] = set()  # the nodes around the one that is read: an alias to one of them has no end
        self._count = 0

    def document(self, node: yaml.Node) -> Document:
        result = self._result
        result.lines[()] = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            raise result.error((), "top-level object must be a mapping")
        data = self._value(node, ())
        assert isinstance(data, dict)  # noqa: S101 -- what a mapping node is made into
        result.data.update(data)
        return result

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._count += 1
        if self._count > _MOST_NODES:
            raise self._result.error(path, "the document contains excessive aliasing")
        if node.tag == "!reset":
            self._result.resets.append(path)
            return None
        if node.tag == "!override":
            self._result.overrides.append(path)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise self._result.error(path, f"cycle detected: node at path {dotted(path)} references itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return self._sequence(node, path)
        finally:
            self._open.discard(id(node))

    def _sequence(self, node: yaml.Node, path: Path) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            self._result.lines[(*path, index)] = item.start_mark.line + 1
            values.append(self._value(item, (*path, index)))
        return values

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Tree:
        merged: Tree = {}
        own: Tree = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise FileError(self._result.file, line, f"a key of {dotted(path) or 'the file'} is not text")
            key = key_node.value
            if key == "<<" and key_node.style not in _QUOTED:
                self._merge(merged, value_node, path)
                continue
            if key in own:
                what = f'mapping key "{key}" already defined at line {first[key]}'
                raise FileError(self._result.file, line, what)
            first[key] = line
            self._result.lines[(*path, key)] = line
            own[key] = self._value(value_node, (*path, key))
        return {**merged, **own}

    def _merge(self, into: Tree, node: yaml.Node, path: Path) -> None:
        """Take in what a merge key names; what comes first wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                line = source.start_mark.line + 1
                raise FileError(self._result.file, line, "map merge requires map or sequence of maps as the value")
            for key, value in self._value(source, path).items():
                into.setdefault(key, value)


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in _QUOTED:
        return text
    if node.tag == _TAG + "str" and not text.lstrip("+-")[:1].isdigit():
        return text  # said to be text, or nothing that either version of YAML reads as anything else
    return plain_value(text)


def plain_value(text: str) -> Any:
    """What an unquoted scalar stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        return float(text)
    if match := _TIMESTAMP.match(text):
        return f"{match[1]} {match[2] or '00:00:00'} +0000 UTC"  # as a time is written in Go
    special = _SPECIAL_FLOATS.get(text.lower())
    return float(special) if special is not None else text


def _integer(text: str) -> int | float | str:
    digits = text.replace("_", "")
    sign, bare = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if bare.startswith("0") and bare.isdigit() and len(bare) > 1:
        if not set(bare) <= set("01234567"):
            return float(digits)  # 08 is no octal number
        return sign * int(bare, 8)
    return sign * int(bare, 0)
