"""The calls of the Engine API about networks."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.http import quote
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.client.engine import Engine
    from cais.client.model import Created, Endpoint, NetworkConfig, NetworkSummary

_FINDS_DUPLICATES = (1, 44)  # the API in which the engine refuses a second network of a name unasked


def _path(network: str, verb: str = "") -> str:
    """Where the API has a network, or what can be done with it. Raises InvalidArgument for an empty name."""
    if not network.strip():
        raise InvalidArgument("invalid network name or ID: value is empty")
    return f"/networks/{quote(network)}{verb}"


def create(engine: Engine, config: NetworkConfig) -> str:
    """The id of a new network."""
    if engine.negotiated() < _FINDS_DUPLICATES:
        config = {**config, "CheckDuplicate": True}
    created: Created = engine.fetch("POST", "/networks/create", None, config)
    return created["Id"]


def summaries(engine: Engine, filters: Mapping[str, Iterable[str]]) -> list[NetworkSummary]:
    query = {"filters": filters_text(filters)} if filters else None
    found: list[NetworkSummary] | None = engine.fetch("GET", "/networks", query)
    return found or []


def raw_detail(engine: Engine, network: str, *, verbose: bool) -> bytes:
    """The JSON that describes a network, as the engine wrote it. Raises InvalidArgument."""
    return engine.call("GET", _path(network), {"verbose": "true"} if verbose else None).read()


def remove(engine: Engine, network: str) -> None:
    engine.call("DELETE", _path(network)).read()


def connect(engine: Engine, network: str, container: str, endpoint: Endpoint) -> None:
    content = {"Container": _named(container), **({"EndpointConfig": endpoint} if endpoint else {})}
    engine.call("POST", _path(network, "/connect"), None, content).read()


def disconnect(engine: Engine, network: str, container: str, *, force: bool) -> None:
    content = {"Container": _named(container), "Force": force}
    engine.call("POST", _path(network, "/disconnect"), None, content).read()


def _named(container: str) -> str:
    if not container.strip():
        raise InvalidArgument("invalid container name or ID: value is empty")
    return container
