"""How one Compose file overrides another, and a service the one that it extends.

Mappings are merged and lists joined; of items that stand for the same thing (the same container port, the same mount
point) the later one counts. Commands, and tests of health, are replaced as a whole.
"""

from __future__ import annotations

from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cais.compose.document import Path, Tree


class Pairs(dict[str, object]):
    """A mapping that could as well be written as a list of NAME=VALUE, in a project in which variables are left."""


_PAIRS = {"annotations", "args", "environment", "extra_hosts", "labels", "sysctls"}
_REPLACED = {"command", "entrypoint"}


def merge(base: Tree, over: Tree, path: Path = ()) -> Tree:
    """`base` with what `over`, another tree in the long form, says. Neither is changed."""
    result = dict(base)
    for key, value in over.items():
        if key not in base or key.startswith("x-"):
            result[key] = value
        else:
            result[key] = _merge_value(base[key], value, (*path, key))
    return result


def _merge_value(base: Any, over: Any, path: Path) -> Any:  # noqa: PLR0911 -- one a kind of value
    key = path[-1]
    if base is None or over is None:
        return base if over is None and isinstance(base, dict) else over
    if key in _REPLACED or (len(path) > 1 and path[-2:] == ("healthcheck", "test")):
        return over
    if key in _PAIRS and isinstance(base, list | Pairs) and isinstance(over, list | Pairs):
        return _merge_items(base, over, key)
    if isinstance(base, dict):
        if not isinstance(over, dict):
            return over
        if key == "logging" and _differ(base, over):
            return over
        return merge(base, over, path)
    if isinstance(base, list) and isinstance(over, list):
        return _unique([*base, *over], path)
    if isinstance(base, list) != isinstance(over, list):
        if isinstance(base, str) or isinstance(over, str):
            return [*([base] if isinstance(base, str) else base), *([over] if isinstance(over, str) else over)]
        raise ComposeError(f"cannot override {'.'.join(map(str, path))}")
    return over


def _merge_items(base: Any, over: Any, key: str | int) -> list[str]:
    """The same of lists of NAME=VALUE; a host may have several addresses."""
    items = [*_items(base), *_items(over)]
    if key == "extra_hosts":
        return [*dict.fromkeys(items)]
    return [*{item.partition("=")[0]: item for item in items}.values()]


def _items(value: Any) -> list[str]:
    """NAME=VALUE items of a list or of a mapping."""
    if isinstance(value, dict):
        return [name if item is None else f"{name}={item}" for name, item in value.items()]
    return [str(item) for item in value]


def _differ(base: Tree, over: Tree) -> bool:
    """Whether logs go elsewhere: then the options of the one are none of the other's."""
    return "driver" in base and "driver" in over and base["driver"] != over["driver"]


def _same(item: Any) -> object:
    return str(item)


def _port(item: Tree) -> object:
    address = item.get("host_ip") or "0.0.0.0"  # noqa: S104 -- what is meant where none is said
    return address, item.get("published", ""), item.get("target"), item.get("protocol")


def _target(item: Tree) -> object:
    return item.get("target") or item.get("source")


def _config(item: Tree) -> object:
    return item.get("target") or f"/{item.get('source')}"


def _path(item: Any) -> object:
    return item.get("path")


def _host(item: str) -> object:
    return item


_IDENTITIES: dict[str, Callable[[Any], object]] = {
    "cap_add": _same,
    "cap_drop": _same,
    "configs": _config,
    "device_cgroup_rules": _same,
    "devices": _target,
    "dns": _same,
    "dns_opt": _same,
    "dns_search": _same,
    "env_file": _path,
    "expose": _same,
    "extra_hosts": _host,
    "label_file": _same,
    "links": _same,
    "aliases": _same,
    "link_local_ips": _same,
    "platforms": _same,
    "tags": _same,
    "ports": _port,
    "profiles": _same,
    "secrets": _target,
    "tmpfs": _same,
    "volumes": _target,
}


def _unique(items: list[Any], path: Path) -> list[Any]:
    identity = _IDENTITIES.get(str(path[-1]))
    if path[:1] != ("services",) or identity is None:
        return items
    # A text among mappings is one that a variable keeps from being understood.
    plain = identity in {_same, _host}
    return [*{identity(item) if plain or isinstance(item, dict) else item: item for item in items}.values()]


def without_repetitions(service: Tree) -> Tree:
    """A service with its lists as if each of their items had overridden the ones before."""
    return {
        key: _unique(value, ("services", "", key)) if isinstance(value, list) else value
        for key, value in service.items()
    }


def remove(data: Tree, path: Path) -> None:
    """Take out what stands at a path, if anything does."""
    at: Any = data
    for part in path[:-1]:
        if isinstance(at, dict) and part in at:
            at = at[part]
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            at = at[part]
        else:
            return
    if isinstance(at, dict):
        at.pop(path[-1], None)
