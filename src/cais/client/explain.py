"""The calls that Cais has beyond Docker's API: explaining containers. Another engine has no such page."""

from __future__ import annotations

from cais.client.errors import EngineError
from cais.client.http import quote
from cais.errors import InvalidArgument, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cais.client.engine import Engine
    from cais.client.model import ContainerConfig

_NO_SUCH_PAGE = frozenset({400, 404, 405, 501})
_SERVER = "Cais/"


def container(engine: Engine, name: str) -> bytes:
    """The JSON that explains a container. Raises InvalidArgument, and Unsupported for an engine that is not Cais."""
    if not name.strip():
        raise InvalidArgument("invalid container name or ID: value is empty")
    return _asked(engine, "GET", f"/cais/containers/{quote(name)}/explain")


def run(engine: Engine, config: ContainerConfig, query: Mapping[str, str]) -> bytes:
    """The JSON of what running a container would do. Raises Unsupported for an engine that is not Cais."""
    return _asked(engine, "POST", "/cais/containers/explain", query, config)


def _asked(
    engine: Engine, method: str, path: str, query: Mapping[str, str] | None = None, content: object = None
) -> bytes:
    try:
        return engine.call(method, path, query, content).read()
    except EngineError as error:
        if error.status not in _NO_SUCH_PAGE:
            raise
        answer = engine.call("GET", "/_ping")
        answer.read()
        server = answer.headers.get("server", "")
        if server.startswith(_SERVER):
            raise
        called = f", which calls itself {server!r}" if server else ""
        raise Unsupported(
            f"only Cais can explain, and the engine at {engine.endpoint.url}{called}, is not Cais"
        ) from None
