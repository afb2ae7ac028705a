"""The networks and volumes of a project: made where they are missing, made anew where they have changed."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.errors import EngineError
from cais.client.http import quote
from cais.compose import labels
from cais.compose.errors import ComposeError
from cais.compose.hashes import network_hash, volume_hash
from cais.compose.report import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project
    from cais.compose.report import Reporter


class Infrastructure:
    """What the engine has of a project's networks and volumes, in one reading of each list."""

    def __init__(self, engines: Engines, project: Project, reporter: Reporter) -> None:
        self._engines = engines
        self._project = project
        self._reporter = reporter
        self._networks: dict[str, list[Tree]] = {}
        self._volumes: dict[str, Tree] = {}

    def observe(self) -> None:
        """Read what exists; nothing is asked for where the project wants nothing."""
        if self._project.networks:
            names = [network["name"] for network in self._project.networks.values()]
            query = {"filters": filters_text({"name": names})}
            for network in self._engines.get("/networks", query):
                self._networks.setdefault(network["Name"], []).append(network)
        if self._project.volumes:
            names = [volume["name"] for volume in self._project.volumes.values()]
            answer = self._engines.get("/volumes", {"filters": filters_text({"name": names})})
            self._volumes = {volume["Name"]: volume for volume in answer.get("Volumes") or ()}

    def check_external(self) -> None:
        """Look for what others should have made, before anything is made here. Raises ComposeError."""
        for key, network in self._project.networks.items():
            if network.get("external"):
                self.ensure_network(key)
        for key, volume in self._project.volumes.items():
            if volume.get("external"):
                self.ensure_volume(key)

    def network_id(self, key: str) -> str:
        """Of a network of the project that exists already, else ""."""
        found = self._networks.get(self._project.networks[key]["name"]) or []
        return found[0]["Id"] if len(found) == 1 else ""

    def changed_networks(self) -> list[str]:
        """The networks that exist as they are not wanted any more."""
        return [key for key in self._project.networks if self._is_changed_network(key)]

    def changed_volumes(self) -> list[str]:
        return [key for key in self._project.volumes if self._is_changed_volume(key)]

    def _is_changed_network(self, key: str) -> bool:
        network = self._project.networks[key]
        found = self._networks.get(network["name"])
        if network.get("external") or not found:
            return False
        known = (found[0].get("Labels") or {}).get(labels.CONFIG_HASH, "")
        return known not in {"", network_hash(network)}

    def _is_changed_volume(self, key: str) -> bool:
        volume = self._project.volumes[key]
        found = self._volumes.get(volume["name"])
        if volume.get("external") or found is None:
            return False
        known = (found.get("Labels") or {}).get(labels.CONFIG_HASH, "")
        return known not in {"", volume_hash(volume)}

    def finds_network(self, key: str) -> bool:
        """Whether a network is there; if so, all is done that `ensure_network` does, and nothing is waited for."""
        if not self._networks.get(self._project.networks[key]["name"]):
            return False
        self.ensure_network(key)
        return True

    def ensure_network(self, key: str) -> None:
        """Raises ComposeError for an external network that does not exist, and EngineError."""
        network = self._project.networks[key]
        found = self._networks.get(network["name"]) or []
        if network.get("external"):
            self._check_external(network, found)
            return
        if found:
            self._check_own_network(key, network, found[0])
            return
        with Step(self._reporter, f"Network {network['name']}", "Creating", "Created"):
            self._create_network(key, network)

    def _check_external(self, network: Tree, found: list[Tree]) -> None:
        name = network["name"]
        if len(found) > 1:
            raise ComposeError(
                f'multiple networks with name "{name}" were found. Use network ID as `name` to avoid ambiguity'
            )
        if not found:
            try:
                self._engines.get(f"/networks/{quote(name)}")  # it may be an id
            except EngineError as error:
                if error.status != 404:
                    raise
                raise ComposeError(f"network {name} declared as external, but could not be found") from None

    def _check_own_network(self, key: str, network: Tree, found: Tree) -> None:
        name, known = network["name"], found.get("Labels") or {}
        owner = known.get(labels.PROJECT)
        if owner is None:
            self._reporter.warn(
                f"a network with name {name} exists but was not created by compose.\n"
                "Set `external: true` to use an existing network"
            )
        elif owner != self._project.name:
            self._reporter.warn(
                f'a network with name {name} exists but was not created for project "{self._project.name}".\n'
                "Set `external: true` to use an existing network"
            )
        if labels.NETWORK in known and known[labels.NETWORK] != key:
            raise ComposeError(
                f"network {name} was found but has incorrect label {labels.NETWORK} set to "
                f'"{known[labels.NETWORK]}" (expected: "{key}")'
            )

    def _create_network(self, key: str, network: Tree) -> None:
        options: dict[str, Any] = {
            "Driver": network.get("driver"),
            "Options": network.get("driver_opts"),
            "Internal": network.get("internal"),
            "Attachable": network.get("attachable"),
            "IPAM": _ipam(network.get("ipam") or {}),
        }
        body = {key: value for key, value in options.items() if value}
        for field, name in (("EnableIPv4", "enable_ipv4"), ("EnableIPv6", "enable_ipv6")):
            if network.get(name) is not None:
                body[field] = network[name]
        body["Labels"] = {
            **(network.get("labels") or {}),
            labels.NETWORK: key,
            labels.PROJECT: self._project.name,
            labels.COMPOSE_VERSION: labels.VERSION,
            labels.CONFIG_HASH: network_hash(network),
        }
        try:
            self._engines.post("/networks/create", None, {"Name": network["name"], "CheckDuplicate": True, **body})
        except EngineError as error:
            raise ComposeError(f"failed to create network {network['name']}: {error}") from error

    def remove_network(self, key: str) -> None:
        name = self._project.networks[key]["name"]
        with Step(self._reporter, f"Network {name}", "Removing", "Removed"):
            self._engines.delete(f"/networks/{quote(name)}")
        self._networks.pop(name, None)

    def remove_volume(self, key: str) -> None:
        name = self._project.volumes[key]["name"]
        with Step(self._reporter, f"Volume {name}", "Removing", "Removed"):
            self._engines.delete(f"/volumes/{quote(name)}", {"force": "1"})
        self._volumes.pop(name, None)

    def finds_volume(self, key: str) -> bool:
        """The same for a volume."""
        if self._project.volumes[key]["name"] not in self._volumes:
            return False
        self.ensure_volume(key)
        return True

    def ensure_volume(self, key: str) -> None:
        """Raises ComposeError for an external volume that does not exist, and EngineError."""
        volume = self._project.volumes[key]
        name = volume["name"]
        found = self._volumes.get(name)
        if volume.get("external"):
            if found is None:
                raise ComposeError(f'external volume "{name}" not found')
            return
        if found is None:
            with Step(self._reporter, f"Volume {name}", "Creating", "Created"):
                self._create_volume(key, volume)
            return
        owner = (found.get("Labels") or {}).get(labels.PROJECT)
        if owner is None:
            self._reporter.warn(
                f'volume "{name}" already exists but was not created by Docker Compose. Use `external: true` to use an '
                "existing volume"
            )
        elif owner != self._project.name:
            self._reporter.warn(
                f'volume "{name}" already exists but was created for project "{owner}" (expected '
                f'"{self._project.name}"). Use `external: true` to use an existing volume'
            )

    def _create_volume(self, key: str, volume: Tree) -> None:
        body: Tree = {
            "Name": volume["name"],
            "Labels": {
                **(volume.get("labels") or {}),
                labels.VOLUME: key,
                labels.PROJECT: self._project.name,
                labels.COMPOSE_VERSION: labels.VERSION,
                labels.CONFIG_HASH: volume_hash(volume),
            },
        }
        if volume.get("driver"):
            body["Driver"] = volume["driver"]
        if volume.get("driver_opts"):
            body["DriverOpts"] = volume["driver_opts"]
        self._engines.post("/volumes/create", None, body)


def _ipam(given: Tree) -> Tree:
    names = {"Subnet": "subnet", "IPRange": "ip_range", "Gateway": "gateway", "AuxiliaryAddresses": "aux_addresses"}
    found: Tree = {"Driver": given["driver"]} if given.get("driver") else {}
    if given.get("config"):
        found["Config"] = [
            {key: pool[name] for key, name in names.items() if pool.get(name)} for pool in given["config"]
        ]
    return found
