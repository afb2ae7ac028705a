"""One network: what is stored of it, its addresses, its bridges, and who is on it now."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cais.engine import network_checks
from cais.engine.container import Container
from cais.engine.models import Attached
from cais.engine.network_models import IpamConfig, NetworkRecord
from cais.network import bridges
from cais.network.bridges import Bridge
from cais.network.firewall import Rules
from cais.network.ipam import Pool

PORTS: Final = 1000
"""How many containers a bridge has at most; Linux ends it at 1,024 ports (BR_MAX_PORTS)."""
EXTENSIONS: Final = 9


@dataclass(slots=True, eq=False)
class Member:
    """A running container on a network. names: what it answers to there, in small letters."""

    container: Container
    attached: Attached
    names: tuple[str, ...] = ()


class Network:
    """A network of the engine: what is stored of it, its addresses, and who is on it now.

    members: by the id of the container. by_name: who answers to a name, in the order of coming.
    """

    def __init__(self, record: NetworkRecord) -> None:
        self.record = record
        self.pools: dict[int, Pool] = {}
        self.gateways: dict[int, str] = {}
        self.members: dict[str, Member] = {}
        self.by_name: dict[str, list[Member]] = {}
        self.by_address: dict[str, Member] = {}
        self.extensions = 0
        self._ports: dict[str, int] = {}
        for item in record.ranges:
            self._add_range(item)

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name."""
        return self.record.name

    def _add_range(self, item: IpamConfig) -> None:
        subnet = network_checks.subnet_of(item)
        within = network_checks.subnet_of(IpamConfig(Subnet=item.IPRange)) if item.IPRange else None
        pool = self.pools[subnet.version] = Pool(subnet, within)
        for address in {*item.AuxiliaryAddresses.values(), *([item.Gateway] if item.Gateway else [])}:
            pool.take(address)
        if item.Gateway:
            self.gateways[subnet.version] = item.Gateway

    def join(self, member: Member) -> None:
        """A container has come."""
        self.members[member.container.id] = member
        bridge = member.attached.bridge or self.record.link
        self._ports[bridge] = self._ports.get(bridge, 0) + 1
        for name in member.names:
            self.by_name.setdefault(name, []).append(member)
        for address in filter(None, (member.attached.ipv4, member.attached.ipv6)):
            self.by_address[address] = member

    def rename(self, container_id: str, names: tuple[str, ...]) -> None:
        """A container answers to other names."""
        member = self.members[container_id]
        for name in member.names:
            self.by_name[name] = [other for other in self.by_name[name] if other is not member]
        member.names = names
        for name in names:
            self.by_name.setdefault(name, []).append(member)
        self.by_name = {name: members for name, members in self.by_name.items() if members}

    def leave(self, container_id: str) -> None:
        """A container has gone, if it was here; its addresses are free."""
        member = self.members.pop(container_id, None)
        if member is None:
            return
        self._ports[member.attached.bridge or self.record.link] -= 1
        for name in member.names:
            others = self.by_name[name] = [other for other in self.by_name.get(name, ()) if other is not member]
            if not others:
                del self.by_name[name]
        for version, address in ((4, member.attached.ipv4), (6, member.attached.ipv6)):
            if address:
                self.by_address.pop(address, None)
                self.pools[version].give_back(address)

    def free_bridge(self) -> str:
        """A bridge that has room for a port; empty where another one is needed."""
        for bridge in self.bridge_names():
            if self._ports.get(bridge, 0) < PORTS:
                return bridge
        return ""

    def adopt_bridge(self, name: str) -> None:
        """A container of an earlier engine is on this bridge of the network's."""
        for number in range(self.extensions + 1, EXTENSIONS + 1):
            if name == self.extension_names(number)[0]:
                self.extensions = number

    def bridge_names(self) -> list[str]:
        """The names of its bridges, the one with the addresses first."""
        return [self.record.link, *(self.extension_names(number)[0] for number in range(1, self.extensions + 1))]

    def extension_names(self, number: int) -> tuple[str, str, str]:
        """The names of a further bridge, and of the ends of the pair of links that joins it to the first."""
        short = self.record.id[:12]
        return f"x{number}-{short}", f"y{number}-{short}", f"z{number}-{short}"

    def bridges(self) -> list[Bridge]:
        """Its bridges, as they should be. Linux ends a bridge at 1,024 ports: a larger network has several, joined."""
        record = self.record
        addresses = tuple(self.pools[version].with_length(gateway) for version, gateway in self.gateways.items())
        return [
            Bridge(name, _mac(f"{record.id}{number or ''}"), record.mtu, () if number else addresses, record.ipv6)
            for number, name in enumerate(self.bridge_names())
        ]

    def rules(self) -> list[Rules]:
        """What the firewall is to know of it, a bridge each."""
        record = self.record
        first = Rules(
            bridge=record.link,
            subnets=tuple(str(pool.subnet) for pool in self.pools.values()),
            internal=record.internal,
            masquerade=record.masquerade,
            within=record.icc,
            unprotected=record.unprotected,
        )
        further = [
            Rules(bridge=name, subnets=(), internal=record.internal, within=record.icc, joined=True)
            for name in self.bridge_names()[1:]
        ]
        return [first, *further]

    def event_attributes(self, **extra: str) -> dict[str, str]:
        """What every event about this network tells."""
        return {"name": self.name, "type": self.record.driver, **extra}


def _mac(seed: str) -> str:
    return "02:42:" + ":".join(f"{byte:02x}" for byte in sha256(seed.encode()).digest()[:4])


def isolated(network: Network) -> bool:
    """Whether the ports of a bridge must keep frames from each other, since its containers may not talk.

    Where the kernel has the firewall look at bridged packets, that is its matter: it knows published ports, for which
    such a packet is no less bridged.
    """
    return not network.record.icc and not bridges.are_filtered()
