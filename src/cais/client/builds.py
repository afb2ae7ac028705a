"""The calls of the Engine API about builds and their cache."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cais.client.engine import Engine, Query
    from cais.client.http import Response


def build(engine: Engine, query: Query, context: Iterable[bytes], registries: Mapping[str, str]) -> Response:
    """Build an image of a context, a tar archive; the answer is a stream of progress messages.

    `registries` are the headers with the credentials. Raises EngineError where the engine refuses at once.
    """
    return engine.send_blocks("POST", "/build", query, context, "application/x-tar", headers=registries)
