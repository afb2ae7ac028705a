"""The parts of a project without what says nothing, and with what Go's encoder says nevertheless: what is hashed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.shapes import Shape

# What is kept though it says nothing: for these, not to be said is something else.
_KEPT = {
    *("command", "entrypoint", "init", "attach", "scale", "replicas", "required", "create_host_path", "retries"),
    *("parallelism", "max_attempts", "enable_ipv4", "enable_ipv6", "mode"),
}
_OPTIONAL_STRUCTS = {"resources", "placement", "ipam", "exec"}


def compact(value: Any, shape: Shape | None) -> Any:
    """A value without the fields that are as if they had not been said."""
    if isinstance(value, list):
        return [compact(item, shape) for item in value]
    if not isinstance(value, dict) or shape is None:
        return value
    if shape.each is not None:
        return {name: compact(item, shape.each) for name, item in value.items()}
    result: Tree = {}
    for name, item in value.items():
        inner = shape.of.get(name)
        if inner is None and name not in shape.fields:
            result[name] = item
            continue
        small = compact(item, inner)
        if name in _KEPT and small is not None and small != "":
            if name == "create_host_path" and small is True:
                continue
            result[name] = small
        elif small or _is_present_struct(name, small, inner):
            result[name] = small
    return result


def _is_present_struct(name: str, value: Any, shape: Shape | None) -> bool:
    return value == {} and shape is not None and bool(shape.fields) and name not in _OPTIONAL_STRUCTS


def json_service(service: Tree) -> Tree:
    result = {"command": None, "entrypoint": None, **service}
    if "deploy" in result:
        result["deploy"] = {"resources": {}, "placement": {}, **result["deploy"]}
    if blkio := result.get("blkio_config"):
        result["blkio_config"] = {name: _capitalized(entry) for name, entry in blkio.items()}
    watches = (result.get("develop") or {}).get("watch")
    if watches:
        result["develop"] = {"watch": [{"exec": {"command": None}, **without_extensions(watch)} for watch in watches]}
    plain: Tree = without_extensions(result)
    return plain


def _capitalized(value: Any) -> Any:
    """Devices of blkio_config, whose fields have no names of their own in JSON."""
    if not isinstance(value, list):
        return value
    return [{name.capitalize(): item for name, item in entry.items()} for entry in value]


def without_extensions(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_extensions(item) for key, item in value.items() if not key.startswith("x-")}
    if isinstance(value, list):
        return [without_extensions(item) for item in value]
    return value
