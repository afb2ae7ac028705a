"""The bridges of an engine's networks, on the host's side: made, repaired, taken away.

Each carries an alias that names its engine, by which one that nobody knows any more is found.
"""

import contextlib
import logging
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Final

from cais.linux import rtnetlink
from cais.linux.netlink import NETLINK_ROUTE, Netlink
from cais.network.ipam import Subnet

_log = logging.getLogger("cais.network")

_SYSCTL: Final = "/proc/sys/net"


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge as it should be. addresses: its own, as 172.17.0.1/16; none for one that only makes another larger."""

    name: str
    mac: str
    mtu: int
    addresses: tuple[str, ...]
    ipv6: bool = False


class Bridges:
    """The links of the host, for any thread. Every call is short; none waits for anything but the kernel."""

    def __init__(self, alias: str) -> None:
        """alias: the mark of the links of this engine."""
        self._alias = alias

    def ensure(self, bridge: Bridge) -> bool:
        """Makes a bridge, or sees to it that it is as it should be; True when it had to be made. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink:
            made = bridge.name not in _names(netlink)
            if made:
                netlink.request(rtnetlink.new_bridge(bridge.name, bridge.mac, bridge.mtu))
                netlink.request(rtnetlink.set_alias(bridge.name, self._alias))
            write_sysctl(f"ipv4/conf/{bridge.name}/route_localnet", "1")
            write_sysctl(f"ipv6/conf/{bridge.name}/accept_ra", "0")
            if not bridge.addresses:  # one that only makes another larger must not answer for the host's addresses
                write_sysctl(f"ipv4/conf/{bridge.name}/arp_ignore", "8")
                write_sysctl(f"ipv6/conf/{bridge.name}/disable_ipv6", "1")
            elif bridge.ipv6:
                write_sysctl(f"ipv6/conf/{bridge.name}/disable_ipv6", "0")
            index = rtnetlink.find_link(netlink, bridge.name).index
            netlink.request(
                rtnetlink.set_up(bridge.name), *(rtnetlink.new_address(index, address) for address in bridge.addresses)
            )
            return made

    def join(self, first: str, second: str, ends: tuple[str, str], mtu: int) -> None:
        """Makes one bridge of two, by a pair of links with these names. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink:
            bridges = [rtnetlink.index_of(name) for name in (first, second)]
            if ends[0] not in _names(netlink):
                own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    netlink.request(
                        rtnetlink.new_veth(ends[0], bridges[0], mtu, peer=ends[1], peer_mac="", peer_namespace=own),
                        *(rtnetlink.set_alias(name, self._alias) for name in ends),
                    )
                finally:
                    os.close(own)
            for name, bridge in zip(ends, bridges, strict=True):
                netlink.request(rtnetlink.set_master(rtnetlink.index_of(name), bridge))

    def remove(self, name: str) -> None:
        """Takes a link away; one that is gone already is none the worse for it. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink, contextlib.suppress(OSError):
            netlink.request(rtnetlink.delete_link(name))

    def reattach(self, bridge: str, ports: Iterable[str], isolated: bool) -> None:
        """Makes links ports of a bridge again; those that are gone are passed over. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink:
            indices = {link.name: link.index for link in rtnetlink.links(netlink)}
            for name in ports:
                if name in indices:
                    netlink.request(rtnetlink.set_master(indices[name], indices[bridge]))
                    netlink.request(rtnetlink.set_port(name, hairpin=True, isolated=isolated))

    def names(self) -> set[str]:
        """The names of all links of the host. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink:
            return _names(netlink)

    def sweep(self, keep: Collection[str]) -> None:
        """Takes away the links of this engine that nobody knows any more. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink:
            for link in rtnetlink.links(netlink):
                if link.alias == self._alias and link.name not in keep:
                    _log.warning("the link %s belongs to no network: it is removed", link.name)
                    self.remove(link.name)

    def used(self, besides: Collection[str] = ()) -> list[Subnet]:
        """The ranges that the host has addresses in or routes to, those of the named links apart. Raises OSError."""
        with Netlink(NETLINK_ROUTE) as netlink:
            own = {link.index for link in rtnetlink.links(netlink) if link.name in besides}
            known = [*rtnetlink.addresses(netlink), *rtnetlink.destinations(netlink)]
        return [ip_interface(text).network for index, text in known if index not in own]


def _names(netlink: Netlink) -> set[str]:
    return {link.name for link in rtnetlink.links(netlink)}


def make_room_for_neighbours(count: int) -> None:
    """Has the kernel remember that many neighbours, of all network namespaces together, where it would fewer."""
    for level, share in ((1, 4), (2, 2), (3, 1)):
        name = f"ipv4/neigh/default/gc_thresh{level}"
        try:
            with open(f"{_SYSCTL}/{name}", encoding="ascii") as file:
                known = int(file.read())
        except (OSError, ValueError):
            continue
        if known < count // share:
            write_sysctl(name, str(count // share))


def write_sysctl(name: str, value: str) -> None:
    """Sets a value below /proc/sys/net; what this kernel does not have is left."""
    try:
        fd = os.open(f"{_SYSCTL}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def are_filtered() -> bool:
    """Whether packets that only pass a bridge are shown to the firewall, those of both families."""
    try:
        for family in ("iptables", "ip6tables"):
            with open(f"{_SYSCTL}/bridge/bridge-nf-call-{family}", encoding="ascii") as file:
                if file.read().strip() != "1":
                    return False
    except OSError:
        return False
    return True


def enable_forwarding(version: int) -> None:
    """Has the host pass packets on between its links. Raises OSError."""
    name = "ipv4/ip_forward" if version == 4 else "ipv6/conf/all/forwarding"
    try:
        with open(f"{_SYSCTL}/{name}", encoding="ascii") as file:
            if file.read().strip() != "0":
                return
    except FileNotFoundError:
        return
    write_sysctl(name, "1")
