"""The network of a container, as its own side sees it: links, addresses, routes, and the sockets of its name server.

It is set up by whoever is in the container's network namespace: its first process before it executes the command, or
a helper that the spawner forks when a running container changes networks. The other ends are ports of bridges of the
host, reached by a socket that was made before the namespace was entered.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cais.linux import namespaces, nfnetlink, rtnetlink
from cais.linux.netlink import NETLINK_ROUTE, Message, Netlink
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Record

RESOLVER_ADDRESS: Final = "127.0.0.11"
_RESOLVER_TABLE: Final = "cais-names"
_RESOLVER_PORT: Final = 53
_FAILED: Final = "failed to set up container networking"
_SYSCTL: Final = "/proc/sys/net/ipv6/conf"


@dataclass(frozen=True, slots=True)
class Link(Record):
    """One link of a container.

    kind: "veth", with its other end `host_name` a port of `parent`, a bridge; or "macvlan" or "ipvlan" of `mode` on
    `parent`, a link of the host. addresses: as 172.17.0.2/16. ipv6: whether it has anything to do with IPv6.
    hairpin: frames may come back to it from the bridge. isolated: they reach no other isolated port of the bridge.
    """

    name: str
    host_name: str
    parent: str
    mac: str
    addresses: tuple[str, ...]
    mtu: int
    ipv6: bool = False
    hairpin: bool = False
    isolated: bool = False
    kind: str = "veth"
    mode: str = ""


@dataclass(frozen=True, slots=True)
class NetworkPlan(Record):
    """What is to be there. gateways: of the default routes, one of each family at most: an address, or "dev4 LINK",
    "dev6 LINK". drop_routes: families (4, 6) whose default route is to go. drop_links: links that are to go.
    resolver: sockets are made at which the names of the container's networks are asked for.
    """

    links: tuple[Link, ...] = ()
    gateways: tuple[str, ...] = ()
    drop_routes: tuple[int, ...] = ()
    drop_links: tuple[str, ...] = ()
    resolver: bool = False

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "NetworkPlan":
        """The plan of a JSON object."""
        return cls(
            links=tuple(Link.from_json(item) for item in raw.get("links", ())),
            gateways=tuple(raw.get("gateways", ())),
            drop_routes=tuple(raw.get("drop_routes", ())),
            drop_links=tuple(raw.get("drop_links", ())),
            resolver=bool(raw.get("resolver", False)),
        )


class HostSide:
    """What carrying out a plan needs of the host's network, made before another network namespace is entered."""

    def __init__(self, plan: NetworkPlan) -> None:
        """Raises: StartFailed."""
        try:
            self.indices = {link.parent: rtnetlink.index_of(link.parent) for link in plan.links}
            self.netlink = Netlink(NETLINK_ROUTE)
        except OSError as error:
            raise StartFailed(Reason.INTERNAL, f"{_FAILED}: {_text(error)}") from error


def set_up(plan: NetworkPlan, host: HostSide) -> list[socket.socket]:
    """Carry out a plan in the network namespace that the process is in.

    Returns: the sockets of the resolver, for UDP and TCP, or nothing. Raises: StartFailed.
    """
    try:
        with Netlink(NETLINK_ROUTE) as inside:
            for name in plan.drop_links:
                inside.request(rtnetlink.delete_link(name))
            if plan.links:
                _add_links(plan.links, host, inside)
            _route(plan, inside)
        return _resolver_sockets() if plan.resolver else []
    except (OSError, ValueError) as error:
        raise StartFailed(Reason.INTERNAL, f"{_FAILED}: {_text(error)}") from error
    finally:
        host.netlink.close()


def serve(namespace: int, plan: NetworkPlan) -> list[socket.socket]:
    """As `set_up`, from the host's network namespace, in that of `namespace`, a descriptor. Raises: StartFailed."""
    host = HostSide(plan)
    try:
        namespaces.setns(namespace, namespaces.CLONE_NEWNET)
    except OSError as error:
        raise StartFailed(Reason.INTERNAL, f"enter the container's network: {_text(error)}") from error
    return set_up(plan, host)


def _add_links(links: Sequence[Link], host: HostSide, inside: Netlink) -> None:
    namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    # A link without IPv6 has no address of that kind at all, as in Docker. The value for new links needs no lock of the
    # kernel's, for which there is a queue where other containers end.
    ipv6 = any(link.ipv6 for link in links)
    try:
        _write(f"{_SYSCTL}/default/disable_ipv6", "0" if ipv6 else "1")
        for link in links:
            host.netlink.request(*_creation(link, host.indices[link.parent], namespace))
    finally:
        os.close(namespace)
    wanted: list[Message] = []
    for link in links:
        index = rtnetlink.index_of(link.name)
        if link.ipv6 is not ipv6:
            _write(f"{_SYSCTL}/{link.name}/disable_ipv6", "1")
        wanted.append(rtnetlink.set_up(link.name))
        wanted += [rtnetlink.new_address(index, address) for address in link.addresses]
    inside.request(*wanted)


def _creation(link: Link, parent: int, namespace: int) -> list[Message]:
    if link.kind == "veth":
        made = rtnetlink.new_veth(
            link.host_name, parent, link.mtu, peer=link.name, peer_mac=link.mac, peer_namespace=namespace
        )
        if not (link.hairpin or link.isolated):
            return [made]
        return [made, rtnetlink.set_port(link.host_name, hairpin=link.hairpin, isolated=link.isolated)]
    modes = rtnetlink.MACVLAN_MODES if link.kind == "macvlan" else rtnetlink.IPVLAN_MODES
    return [
        rtnetlink.new_sublink(
            link.kind, modes[link.mode], parent, link.mtu, name=link.name, mac=link.mac, namespace=namespace
        )
    ]


def _route(plan: NetworkPlan, inside: Netlink) -> None:
    for family in plan.drop_routes:
        with contextlib.suppress(OSError):  # there is none
            inside.request(rtnetlink.delete_default_route(family))
    wanted = []
    for gateway in plan.gateways:
        if gateway.startswith("dev"):
            wanted.append(rtnetlink.default_route_on(int(gateway[3]), rtnetlink.index_of(gateway[5:])))
        else:
            wanted.append(rtnetlink.default_route(gateway))
    if wanted:
        inside.request(*wanted)


def _resolver_sockets() -> list[socket.socket]:
    """Sockets at ports that the container does not use; what it sends to port 53 of the same address arrives there."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        for item in (udp, tcp):
            item.bind((RESOLVER_ADDRESS, 0))
        tcp.listen(64)
        ports = {socket.IPPROTO_UDP: udp.getsockname()[1], socket.IPPROTO_TCP: tcp.getsockname()[1]}
        nfnetlink.redirect(_RESOLVER_TABLE, RESOLVER_ADDRESS, _RESOLVER_PORT, ports)
    except BaseException:
        udp.close()
        tcp.close()
        raise
    return [udp, tcp]


def _write(path: str, value: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        what = f"{error.filename}: " if error.filename else ""
        return what + error.strerror.lower()
    return str(error)
