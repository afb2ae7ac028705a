"""What an image is to the rest of the engine."""

from dataclasses import dataclass
from functools import cached_property

from cais.distribution.oci import History, ImageConfig
from cais.engine.times import parse_time_ns
from cais.storage.layers import chain_ids


@dataclass(frozen=True)
class Image:
    """An image on this machine. It never changes; naming or removing it makes another object.

    references: "busybox:latest", as people write them, sorted. repo_digests: "busybox@sha256:…".
    parent: the image that it was built from here, or nothing.
    hidden: removed by force, but a container still needs its layers; only `Images.get` finds it.
    """

    id: str
    config: ImageConfig
    references: tuple[str, ...]
    repo_digests: tuple[str, ...]
    size_bytes: int
    parent: str = ""
    last_tagged: str = ""
    hidden: bool = False

    @property
    def created(self) -> str:
        """When it was made, RFC 3339; empty where the image does not say."""
        return self.config.created or ""

    @cached_property
    def created_ns(self) -> int:
        """When it was made, in nanoseconds since 1970; 0 where the image does not say."""
        return parse_time_ns(self.created) or 0

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the configuration."""
        return self.config.defaults.labels or {}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The chainIDs of its layers, bottom first."""
        return tuple(chain_ids(self.config.diff_ids))

    @property
    def top_layer(self) -> str | None:
        """The chainID of its topmost layer; None without layers."""
        return self.layers[-1] if self.layers else None

    @property
    def history(self) -> tuple[History, ...]:
        """The steps that made it, oldest first."""
        return tuple(self.config.history or ())


@dataclass(frozen=True, slots=True)
class ImageUser:
    """A container that was made from an image."""

    container_id: str
    name: str
    running: bool


def short_id(identity: str) -> str:
    """The first twelve digits of an id, as lists and messages show it."""
    return identity.rpartition(":")[2][:12]
