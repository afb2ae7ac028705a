"""The hash of a configuration, Docker Compose's own: by it what exists is known to be current."""

from __future__ import annotations

from cais.client.codec import dumps_readable
from cais.compose.digests import sha256_hex
from cais.compose.forms import compact, json_service
from cais.compose.shapes import HASHED_SERVICE, NETWORK, SERVICE, VOLUME, ordered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.compose.document import Tree
    from cais.compose.shapes import Shape

_NOT_HASHED = ("build", "pull_policy", "scale", "depends_on", "profiles")


def service_hash(service: Tree) -> str:
    """Of a service in the long form, with references to other services already replaced by containers."""
    kept = {key: value for key, value in compact(service, SERVICE).items() if key not in _NOT_HASHED}
    if "deploy" in kept:
        kept["deploy"] = {key: value for key, value in kept["deploy"].items() if key != "replicas"}
    return _digest(json_service(kept), HASHED_SERVICE)


def network_hash(network: Tree) -> str:
    return _digest({"ipam": {}, **_plain(compact(network, NETWORK))}, NETWORK)


def volume_hash(volume: Tree) -> str:
    return _digest({"driver": "local", **_plain(compact(volume, VOLUME))}, VOLUME)


def _plain(entry: Tree) -> Tree:
    return {key: value for key, value in entry.items() if not key.startswith("x-")}


def _digest(value: Tree, shape: Shape) -> str:
    return sha256_hex(dumps_readable(ordered(value, shape, str)).encode())
