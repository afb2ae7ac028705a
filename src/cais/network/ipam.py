"""Ranges of addresses for networks, and the addresses in them: none is given twice.

https://docs.docker.com/engine/network/#subnet-allocation tells of the ranges that Docker chooses from.
"""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from cais.errors import Conflict, Forbidden, NotFound

Subnet = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_IN_USE: Final = "Address already in use"
_OVERLAPS: Final = "invalid pool request: Pool overlaps with other one on this address space"
_EXHAUSTED: Final = "all predefined address pools have been fully subnetted"


def default_subnets() -> Iterator[IPv4Network]:
    """The ranges that a network may get by itself, in the order in which they are tried."""
    for second in range(17, 32):
        yield IPv4Network(f"172.{second}.0.0/16")
    yield from IPv4Network("192.168.0.0/16").subnets(new_prefix=20)


def local_prefix(seed: str) -> IPv6Network:
    """A unique local prefix (RFC 4193), always the same for the same seed."""
    return IPv6Network((bytes([0xFD]) + hashlib.sha256(seed.encode()).digest()[:5] + bytes(10), 48))


def overlaps(subnet: Subnet, others: Iterable[Subnet]) -> bool:
    """Whether a range has an address in common with one of the others."""
    return any(_overlap(subnet, other) for other in others)


def choose(candidates: Iterable[Subnet], used: Iterable[Subnet]) -> Subnet:
    """The first range that has nothing in common with those in use. Raises NotFound."""
    taken = list(used)
    for candidate in candidates:
        if not overlaps(candidate, taken):
            return candidate
    raise NotFound(_EXHAUSTED)


def check_free(subnet: Subnet, used: Iterable[Subnet]) -> None:
    """Raises Forbidden, in Docker's words, when the range overlaps one of those that other networks have."""
    if overlaps(subnet, used):
        raise Forbidden(_OVERLAPS)


class Pool:
    """The addresses of one range that are handed out: those of `within`, the first and the last of IPv4 excepted."""

    def __init__(self, subnet: Subnet, within: Subnet | None = None) -> None:
        self.subnet = subnet
        chosen = within or subnet
        low, high = int(chosen.network_address), int(chosen.broadcast_address)
        if subnet.version == 6 or subnet.prefixlen < 31:
            low = max(low, int(subnet.network_address) + 1)
        if subnet.version == 4 and subnet.prefixlen < 31:
            high = min(high, int(subnet.broadcast_address) - 1)
        self._low, self._high, self._next = low, high, low
        self._taken: set[int] = set()

    def take(self, address: str) -> None:
        """Takes one address. Raises Forbidden where somebody has it."""
        value = int(ip_address(address))
        if value in self._taken:
            raise Forbidden(_IN_USE)
        self._taken.add(value)

    def take_next(self) -> str:
        """Takes the lowest address that is free. Raises Conflict where there is none."""
        while self._next in self._taken:
            self._next += 1
        if self._next > self._high:
            raise Conflict(f"no available IPv{self.subnet.version} addresses on this network's address pools")
        self._taken.add(self._next)
        return str(type(self.subnet.network_address)(self._next))

    def give_back(self, address: str) -> None:
        """Lets somebody else have the address; one that is not taken already is."""
        value = int(ip_address(address))
        self._taken.discard(value)
        if self._low <= value < self._next:
            self._next = value

    def __contains__(self, address: str) -> bool:
        return ip_address(address) in self.subnet

    def with_length(self, address: str) -> str:
        """An address with the length of the range's prefix, as 172.17.0.2/16."""
        return f"{address}/{self.subnet.prefixlen}"


def mac_of(address: str) -> str:
    """The MAC address that a container with this address gets: always the same, so that no neighbour is mistaken."""
    packed = ip_address(address).packed
    tail = packed if len(packed) == 4 else hashlib.sha256(packed).digest()[:4]
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *tail))


def _overlap(one: Subnet, other: Subnet) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)
