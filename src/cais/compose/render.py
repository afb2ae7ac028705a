"""A project as text: YAML or JSON, byte for byte as `docker compose config` writes it."""

from __future__ import annotations

import re

import yaml

from cais.client.codec import dumps_readable
from cais.compose.forms import compact, json_service, without_extensions
from cais.compose.natural import natural
from cais.compose.reading import plain_value
from cais.compose.shapes import (
    FILE_OBJECT,
    NETWORK,
    PROJECT,
    PROJECT_JSON,
    SERVICE,
    VOLUME,
    ordered,
)
from cais.compose.units import number_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.model import Project
    from cais.compose.shapes import (
        Shape,
    )

_OLD_BOOLEANS = {
    *("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"),
    *("n", "N", "no", "No", "NO", "off", "Off", "OFF"),
}
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?)?$"
)
_WIDTH = 80


def tree(project: Project) -> Tree:
    """A project as one tree, without what says nothing."""
    kinds = {
        "services": (project.services, SERVICE),
        "networks": (project.networks, NETWORK),
        "volumes": (project.volumes, VOLUME),
        "secrets": (project.secrets, FILE_OBJECT),
        "configs": (project.configs, FILE_OBJECT),
        "models": (project.models, None),
    }
    result: Tree = {"name": project.name}
    for kind, (entries, shape) in kinds.items():
        if entries or kind == "services":
            result[kind] = {name: compact(entry, shape) for name, entry in entries.items()}
    result.update(project.extensions)
    return result


def tree_as_written(project: Project) -> Tree:
    """A project whose variables were not replaced, as one tree, in the order of its keys."""
    kinds = ("services", "networks", "volumes", "secrets", "configs", "models")
    found = {kind: entries for kind in kinds if (entries := getattr(project, kind)) or kind == "services"}
    result: Tree = ordered({"name": project.name, **found, **project.extensions}, None, natural)
    return result


def to_yaml(value: Tree, shape: Shape | None = PROJECT) -> str:
    text: str = yaml.dump(
        ordered(value, shape, natural),
        Dumper=_Dumper,
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
    )
    return text


def to_json(value: Tree) -> str:
    """With the fields that Go's encoder writes though they say nothing."""
    return indented(ordered(_with_structs(value), PROJECT_JSON, str))


def _with_structs(value: Tree) -> Tree:
    result = {**value, "services": {name: json_service(entry) for name, entry in value.get("services", {}).items()}}
    if "networks" in value:
        result["networks"] = {name: {"ipam": {}, **(entry or {})} for name, entry in value["networks"].items()}
    kept = {key: entry for key, entry in result.items() if key != "models"}
    return {key: entry if key.startswith("x-") else without_extensions(entry) for key, entry in kept.items()}


def indented(value: Any, depth: int = 0) -> str:
    """JSON as Go indents it by two spaces."""
    inner, outer = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, dict) and value:
        items = (f"{dumps_readable(name)}: {indented(item, depth + 1)}" for name, item in value.items())
        return "{" + inner + ("," + inner).join(items) + outer + "}"
    if isinstance(value, list) and value:
        return "[" + inner + ("," + inner).join(indented(item, depth + 1) for item in value) + outer + "]"
    return dumps_readable(value)


def escaped(value: Any) -> Any:
    """A tree whose texts can be read as a Compose file again: with two dollar signs for each."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {name.replace("$", "$$"): escaped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """PyYAML's emitter with the habits of Go's: lists are indented, nothing is an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style: str | None = None
    if text in _OLD_BOOLEANS or text == "<<" or _BASE_60.match(text):
        style = "'"
    elif plain_value(text) is None or not isinstance(plain_value(text), str) or _needs_escapes(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar(_TEXT_TAG, text, style=style)


def _needs_escapes(text: str) -> bool:
    return "\r" in text or "\x85" in text or bool(_TIMESTAMP.match(text))


def _represent_none(dumper: _Dumper, _value: None) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT_TAG, "null")


def _represent_number(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    return dumper.represent_scalar(_TEXT_TAG, number_text(value))


_TEXT_TAG = "tag:yaml.org,2002:str"
_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(type(None), _represent_none)
for _kind in (int, float, bool):
    _Dumper.add_representer(_kind, _represent_number)
# Everything goes as text: which plain texts would be read as something else is decided above, by the rules of YAML 1.2.
_Dumper.yaml_implicit_resolvers = {}
