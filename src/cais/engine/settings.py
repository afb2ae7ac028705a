"""Where an engine keeps what it has, and the few values that a host decides for all its containers."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cais.distribution.registry_settings import RegistrySettings

EXEC_ROOT: Final = Path("/run/cais")


@dataclass(frozen=True, slots=True)
class Settings:
    """`data_root` survives a reboot, `exec_root` does not; both are absolute."""

    data_root: Path = Path("/var/lib/cais")
    exec_root: Path = EXEC_ROOT
    debug: bool = False
    stop_timeout_seconds: int = 10
    shm_size_bytes: int = 64 * 1024 * 1024
    registries: RegistrySettings = field(default_factory=RegistrySettings)

    @property
    def containers(self) -> Path:
        """The folders of all containers: read-write layer, log, files under /etc, exit record."""
        return self.data_root / "containers"

    @property
    def bundles(self) -> Path:
        """The run folders of all containers: OCI config, socket of the monitor."""
        return self.exec_root / "containers"

    @property
    def trash(self) -> Path:
        """Where things are moved to be deleted in peace; emptied at every start."""
        return self.data_root / "tmp"

    @property
    def init_layer(self) -> Path:
        """The bottommost layer of every container: mount points that an image may lack."""
        return self.data_root / "initlayer"

    @property
    def cgroup_parent(self) -> str:
        """The group above those of all containers: one for each exec root, since what is below it is swept."""
        return f"/cais{self._suffix(12)}"

    @property
    def firewall_table(self) -> str:
        """The name of the engine's table of nftables, and the mark of its links: one for each exec root."""
        return f"cais{self._suffix(12)}"

    @property
    def default_bridge(self) -> str:
        """The name of the default bridge; a link's name has at most 15 characters."""
        return f"cais{self._suffix(8) or '0'}"

    def _suffix(self, length: int) -> str:
        """Nothing for the usual exec root, else what tells it from all others."""
        if self.exec_root == EXEC_ROOT:
            return ""
        return f"-{hashlib.sha256(str(self.exec_root).encode()).hexdigest()[:length]}"

    @property
    def database(self) -> Path:
        """The file of the database."""
        return self.data_root / "cais.db"
