"""The calls of the Engine API about builds and their cache."""

from __future__ import annotations

from cais.client.codec import loads
from cais.client.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from cais.client.engine import Engine, Query
    from cais.client.http import Response
    from cais.client.model import ContextOffer


def build(engine: Engine, query: Query, context: Iterable[bytes], headers: Mapping[str, str]) -> Response:
    """Build an image of a context, a tar archive; the answer is a stream of progress messages.

    `headers` have the credentials. Raises EngineError where the engine refuses at once.
    """
    return engine.send_blocks("POST", "/build", query, context, "application/x-tar", headers=headers)


def offer_context(engine: Engine, key: str, manifest: bytes) -> ContextOffer:
    """Ask a Cais which files of a context it lacks."""
    answer = engine.send_blocks("POST", "/cais/build/context", {"key": key}, [manifest], "application/octet-stream")
    found: ContextOffer = loads(answer.read())
    return found


def fill_context(engine: Engine, offered: str, archive: Iterable[bytes]) -> str:
    """Send what was lacking; the id of the context."""
    answer = engine.send_blocks("PUT", f"/cais/build/context/{quote(offered)}", {}, archive, "application/x-tar")
    found: dict[str, Any] = loads(answer.read())
    identity: str = found["Id"]
    return identity
