"""A document as it is written, for `config --no-interpolate`: variables stand where they stand.

Only what names other parts of the project, or paths, has its long form; a value that a variable keeps from being
understood stays as it is.
"""

from __future__ import annotations

from cais.compose.canonical import (
    Each,
    Table,
    converted,
    depends_on,
    device_uses,
    env_files,
    labels,
    mounted,
    network_uses,
    pairs,
    published,
    text,
    texts,
)
from cais.compose.merge import Pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cais.compose.document import Document, Tree


def as_written(document: Document, data: Tree) -> Tree:
    """`data`, valid by the schema, with its variables in it. Raises FileError."""
    return converted(document, data, _PROJECT)


def _if_possible(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def attempt(value: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, TypeError, KeyError):
            return value

    return attempt


def _ports(value: Any) -> Any:
    """Ports in the long form, or, where one cannot be understood, all of them as they are but for what is implied."""
    given = [[{"mode": "ingress", "protocol": "tcp", **item} if isinstance(item, dict) else item] for item in value]
    try:
        long = [one if isinstance(one[0], dict) else published(one) for one in given]
    except ValueError:
        long = given
    return [port for one in long for port in one]


def _pairs(value: Any) -> Any:
    return Pairs(value) if isinstance(value, dict) else value


def _contexts(value: Any) -> Tree:
    return value if isinstance(value, dict) else labels(value)


def _keys(value: Any) -> Tree:
    return value if isinstance(value, dict) else pairs(value)


def _requests(value: Any) -> Any:
    return [{"count": value}] if isinstance(value, str) else value


def _file_uses(value: Any) -> list[Tree]:
    return [dict(item) if isinstance(item, dict) else {"source": item} for item in value]


_BUILD = Table(
    additional_contexts=_contexts, args=_pairs, labels=_pairs, provenance=text, sbom=text, secrets=_file_uses, ssh=_keys
)


def _secret_uses(value: Any) -> list[Tree]:
    return [{"target": f"/run/secrets/{item['source']}", **item} for item in _file_uses(value)]


def _volumes(value: Any) -> list[Any]:
    """Mounts in the long form, but for those that cannot be understood."""
    found = []
    for item in value:
        try:
            mount = dict(item) if isinstance(item, dict) else mounted([item])[0]
        except ValueError:
            found.append(item)
            continue
        if isinstance(item, str) and mount["type"] == "bind":
            mount["bind"] = {**mount.get("bind", {}), "create_host_path": True}
        found.append(mount)
    return found


_PROJECT = Table(
    services=Each(
        Table(
            annotations=_pairs,
            build=_BUILD,
            configs=_file_uses,
            depends_on=_if_possible(depends_on),
            devices=_if_possible(device_uses),
            dns=texts,
            environment=_pairs,
            extra_hosts=_pairs,
            gpus=_requests,
            labels=_pairs,
            sysctls=_pairs,
            env_file=_if_possible(env_files),
            label_file=texts,
            networks=_if_possible(network_uses),
            ports=_ports,
            secrets=_secret_uses,
            volumes=_volumes,
        )
    ),
    **{kind: Each(Table(labels=_pairs)) for kind in ("networks", "volumes", "secrets", "configs", "models")},
)
