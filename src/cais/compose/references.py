"""References of services to one another, replaced by the containers that they mean."""

from __future__ import annotations

from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.compose.document import Tree

_MODES = ("network_mode", "ipc", "pid")


def resolve(service: Tree, container_of: Callable[[str], str]) -> Tree:
    """The service with `service:NAME` and its like replaced by the container that `container_of` tells the id of.

    Raises what `container_of` raises.
    """
    changed: Tree = {}
    for key in _MODES:
        value: str = service.get(key) or ""
        if value.startswith("service:"):
            changed[key] = f"container:{container_of(value.removeprefix('service:'))}"
    if sources := service.get("volumes_from"):
        changed["volumes_from"] = [_volumes_from(source, container_of) for source in sources]
    return {**service, **changed} if changed else service


def _volumes_from(source: str, container_of: Callable[[str], str]) -> str:
    if source.startswith("container:"):
        return source.removeprefix("container:")
    name, separator, mode = source.partition(":")
    return container_of(name) + separator + mode


def missing(name: str) -> ComposeError:
    return ComposeError(f"cannot share with service {name!r}: no container of it exists")
