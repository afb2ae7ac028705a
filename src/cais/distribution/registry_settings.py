"""What an engine is told about registries. Apart from what is done with it, since naming an engine loads this."""

from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = ("::1/128", "127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What the daemon was told about registries: see `parse_insecure` and `parse_mirror` of registry_hosts for the
    forms."""

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    max_downloads: int = 3
    max_uploads: int = 5

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks whose registries are insecure, loopback first."""
        return (*LOOPBACK, *(item for item in self.insecure if "/" in item))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The named insecure registries."""
        return tuple(item for item in self.insecure if "/" not in item)
