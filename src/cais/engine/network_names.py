"""The names that one container can call the others by: what its resolver answers at once."""

import socket

from cais.engine.container import Container
from cais.engine.etcfiles import HOST_NAME
from cais.engine.models import Endpoint
from cais.engine.network import Member
from cais.engine.networks import Networks


def names_of(container: Container, endpoint: Endpoint) -> list[str]:
    """What a container is called on a network of the user's, each name once: its own first, as in Docker."""
    record = container.record
    names = [record.name, *(endpoint.wanted.Aliases or ()), record.id[:12], record.config.Hostname]
    return list(dict.fromkeys(name for name in names if name))


class ContainerNames:
    """The names of a container's networks, as they are when they are asked for."""

    def __init__(self, container: Container, networks: Networks) -> None:
        self._container = container
        self._networks = networks

    def addresses(self, name: str, family: int) -> tuple[str, ...] | None:
        """The addresses of a container, alias or link by this name; None where nobody has it."""
        members = self._members(name)
        if members is None:
            return self._of_host(family) if name == HOST_NAME else None
        if family == socket.AF_INET6:
            return tuple(member.attached.ipv6 for member in members if member.attached.ipv6)
        return tuple(member.attached.ipv4 for member in members if member.attached.ipv4)

    def name_of(self, address: str) -> str | None:
        """The name of the container with this address, with that of the network behind it."""
        for name, endpoint in self._container.record.endpoints.items():
            network = self._networks.known(endpoint.network_id)
            member = network.by_address.get(address) if network is not None else None
            if member is not None:
                return f"{member.container.name}.{name}"
        return None

    def _of_host(self, family: int) -> tuple[str, ...]:
        """Where the container reaches the host: the gateway of a network that has a way out."""
        version = 6 if family == socket.AF_INET6 else 4
        for endpoint in self._container.record.endpoints.values():
            network = self._networks.known(endpoint.network_id)
            if network is not None and not network.record.internal and version in network.gateways:
                return (network.gateways[version],)
        return ()

    def _members(self, name: str) -> list[Member] | None:
        own, _, last = name.rpartition(".")
        for network_name, endpoint in self._container.record.endpoints.items():
            network = self._networks.known(endpoint.network_id)
            if network is None or not network.record.user_defined:
                continue
            wanted = self._linked(endpoint.wanted.Links, name)
            members = network.by_name.get(wanted)
            if members is None and own and last == network_name.lower():
                members = network.by_name.get(self._linked(endpoint.wanted.Links, own))
            if members is not None:
                return members
        return None

    @staticmethod
    def _linked(links: list[str] | None, name: str) -> str:
        """The container that a name stands for in the links of a network, `CONTAINER:ALIAS`; else the name itself."""
        for link in links or ():
            container, colon, alias = link.partition(":")
            if colon and alias.lower() == name:
                return container.lstrip("/").lower()
        return name
