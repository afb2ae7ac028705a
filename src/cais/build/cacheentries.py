"""One thing that builds have kept for the next one, as it is listed."""

from dataclasses import dataclass
from typing import Final

CACHE_MOUNT: Final = "exec.cachemount"
KEPT_CONTEXT: Final = "source.local"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is kept. Times in nanoseconds since 1970. shared: an image has it too."""

    id: str
    parent: str
    kind: str
    description: str
    size_bytes: int
    created_ns: int
    last_used_ns: int
    uses: int
    in_use: bool
    shared: bool

    @property
    def is_mutable(self) -> bool:
        """Whether a build may still change it, as the folder of a cache mount."""
        return self.kind == CACHE_MOUNT
