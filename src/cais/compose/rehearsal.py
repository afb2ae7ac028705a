"""An engine to which nothing happens: `--dry-run` goes through all that a command would do, and changes nothing."""

from __future__ import annotations

from cais.compose.engines import Engines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cais.client.engine import Query

_IDENTITY_LENGTH = 64


class Rehearsal(Engines):
    """Reads what there is. What would change something is not sent, and answered as if it had gone well."""

    rehearses = True
    _made = 0

    def post(
        self, path: str, query: Query | None = None, content: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        if path.endswith("/wait"):
            return {"StatusCode": 0}
        with self._lock:
            self._made += 1
            return {"Id": f"{self._made:0{_IDENTITY_LENGTH}x}"}

    def delete(self, path: str, query: Query | None = None) -> Any:
        return None
