"""rtnetlink(7): links, addresses and routes, as messages for `netlink.Netlink.request`, and what there is of them."""

import errno
import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import Final

from cais.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    number,
    text,
)

# <linux/rtnetlink.h>
RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTNLGRP_LINK: Final = 1
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RTN_UNICAST: Final = 1
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5

# <linux/if_link.h>, <linux/veth.h>
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINK: Final = 5
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_IFALIAS: Final = 20
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_INFO_SLAVE_DATA: Final = 5
_VETH_INFO_PEER: Final = 1
_IFLA_BRPORT_MODE: Final = 4
_IFLA_BRPORT_ISOLATED: Final = 33
_IFLA_MACVLAN_MODE: Final = 1
_IFLA_IPVLAN_MODE: Final = 1

# <linux/if_addr.h>
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_IFA_F_NODAD: Final = 0x02

_IFF_UP: Final = 1
_IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDRMSG: Final = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_RTMSG: Final = struct.Struct("=BBBBBBBBI")  # family, dst and src length, tos, table, protocol, scope, type, flags

MACVLAN_MODES: Final = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES: Final = {"l2": 0, "l3": 1, "l3s": 2}


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A link as the kernel shows it. master: the index of the bridge that it is a port of, 0 where it is none."""

    index: int
    name: str
    alias: str
    kind: str
    master: int
    up: bool
    mtu: int


def index_of(name: str) -> int:
    """The index of a link of this network namespace. Raises: OSError where there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), f"link {name}") from error


def mac_bytes(mac: str) -> bytes:
    """`02:42:ac:11:00:02` as six bytes. Raises: ValueError."""
    value = bytes.fromhex(mac.replace(":", ""))
    if len(value) != 6:
        raise ValueError(f"invalid MAC address {mac!r}")
    return value


def new_bridge(name: str, mac: str, mtu: int) -> Message:
    """Make a bridge, up at once."""
    body = _IFINFOMSG.pack(0, 0, 0, _IFF_UP, _IFF_UP) + b"".join(
        (
            text(_IFLA_IFNAME, name),
            attribute(_IFLA_ADDRESS, mac_bytes(mac)),
            number(_IFLA_MTU, mtu),
            nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge")),
        )
    )
    return Message(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL, f"bridge {name}")


def set_alias(name: str, alias: str) -> Message:
    """Give a link a text that says whose it is."""
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + text(_IFLA_IFALIAS, alias)
    return Message(RTM_NEWLINK, body, 0, f"link {name}")


def new_veth(name: str, bridge: int, mtu: int, *, peer: str, peer_mac: str, peer_namespace: int) -> Message:
    """Make a pair of links: one is a port of the bridge with this index and up, the other in another namespace, down.

    peer_mac: empty for any. peer_namespace: a descriptor of the network namespace of the other.
    """
    other = _IFINFOMSG.pack(0, 0, 0, 0, 0) + b"".join(
        (
            text(_IFLA_IFNAME, peer),
            attribute(_IFLA_ADDRESS, mac_bytes(peer_mac)) if peer_mac else b"",
            number(_IFLA_MTU, mtu),
            number(_IFLA_NET_NS_FD, peer_namespace),
        )
    )
    body = _IFINFOMSG.pack(0, 0, 0, _IFF_UP, _IFF_UP) + b"".join(
        (
            text(_IFLA_IFNAME, name),
            number(_IFLA_MTU, mtu),
            number(_IFLA_MASTER, bridge),
            nested(
                _IFLA_LINKINFO,
                text(_IFLA_INFO_KIND, "veth"),
                nested(_IFLA_INFO_DATA, nested(_VETH_INFO_PEER, other)),
            ),
        )
    )
    return Message(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL, f"veth {name}")


def new_sublink(kind: str, mode: int, parent: int, mtu: int, *, name: str, mac: str, namespace: int) -> Message:
    """Make a macvlan or an ipvlan link, up, on the link with the index `parent`, in another namespace.

    An ipvlan link has its parent's MAC address.
    """
    mode_value = number(_IFLA_MACVLAN_MODE, mode) if kind == "macvlan" else attribute(
        _IFLA_IPVLAN_MODE, struct.pack("=H", mode)
    )  # fmt: skip
    body = _IFINFOMSG.pack(0, 0, 0, _IFF_UP, _IFF_UP) + b"".join(
        (
            text(_IFLA_IFNAME, name),
            attribute(_IFLA_ADDRESS, mac_bytes(mac)) if kind == "macvlan" else b"",
            number(_IFLA_MTU, mtu) if mtu else b"",
            number(_IFLA_LINK, parent),
            number(_IFLA_NET_NS_FD, namespace),
            nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, kind), nested(_IFLA_INFO_DATA, mode_value)),
        )
    )
    return Message(RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL, f"{kind} {name}")


def set_port(name: str, *, hairpin: bool, isolated: bool) -> Message:
    """How a link takes part in its bridge: whether frames may go back to it, and not to other isolated ports."""
    values = attribute(_IFLA_BRPORT_MODE, bytes([hairpin])) + attribute(_IFLA_BRPORT_ISOLATED, bytes([isolated]))
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + b"".join(
        (
            text(_IFLA_IFNAME, name),
            nested(_IFLA_LINKINFO, text(_IFLA_INFO_SLAVE_KIND, "bridge"), nested(_IFLA_INFO_SLAVE_DATA, values)),
        )
    )
    return Message(RTM_NEWLINK, body, 0, f"bridge port {name}")


def set_master(link: int, master: int) -> Message:
    """Make a link a port of a bridge, both by index."""
    body = _IFINFOMSG.pack(0, 0, link, _IFF_UP, _IFF_UP) + number(_IFLA_MASTER, master)
    return Message(RTM_NEWLINK, body, 0, f"link {link}")


def set_up(name: str) -> Message:
    """Bring a link up."""
    body = _IFINFOMSG.pack(0, 0, 0, _IFF_UP, _IFF_UP) + text(_IFLA_IFNAME, name)
    return Message(RTM_NEWLINK, body, 0, f"link {name}")


def delete_link(name: str) -> Message:
    """Take a link away, and its peer with it."""
    return Message(RTM_DELLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name), 0, f"link {name}")


def new_address(index: int, address: str) -> Message:
    """Give the link with this index an address, as `172.17.0.2/16`; one that it has already stays."""
    given = ip_interface(address)
    packed = given.ip.packed
    broadcast = b""
    if given.version == 4 and given.network.prefixlen < 31:
        broadcast = attribute(_IFA_BROADCAST, given.network.broadcast_address.packed)
    family = socket.AF_INET if given.version == 4 else socket.AF_INET6
    flags = 0 if given.version == 4 else _IFA_F_NODAD
    body = _IFADDRMSG.pack(family, given.network.prefixlen, flags, 0, index) + b"".join(
        (attribute(_IFA_LOCAL, packed), attribute(_IFA_ADDRESS, packed), broadcast)
    )
    return Message(RTM_NEWADDR, body, NLM_F_CREATE | NLM_F_REPLACE, f"address {address}")


def default_route(gateway: str) -> Message:
    """Send what has no other way to a gateway, which is on a link of this namespace."""
    address = ip_address(gateway)
    body = _default_route(address.version) + attribute(_RTA_GATEWAY, address.packed)
    return Message(RTM_NEWROUTE, body, NLM_F_CREATE | NLM_F_REPLACE, f"default route by {gateway}")


def default_route_on(version: int, link: int) -> Message:
    """Send what has no other way out at the link with this index. version: 4 or 6."""
    body = _default_route(version, scope=253) + number(_RTA_OIF, link)  # RT_SCOPE_LINK
    return Message(RTM_NEWROUTE, body, NLM_F_CREATE | NLM_F_REPLACE, "default route")


def delete_default_route(version: int) -> Message:
    """Take the default route away. version: 4 or 6."""
    return Message(RTM_DELROUTE, _default_route(version, scope=255, protocol=0), 0, "default route")


def _default_route(version: int, scope: int = 0, protocol: int = _RTPROT_STATIC) -> bytes:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, protocol, scope, _RTN_UNICAST if scope != 255 else 0, 0)


def find_link(netlink: Netlink, name: str) -> LinkInfo:
    """The link of that name in the socket's namespace. Raises: OSError."""
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name)
    for kind, payload in netlink.ask(Message(RTM_GETLINK, body, 0, f"link {name}")):
        if kind == RTM_NEWLINK:
            return link_info(payload)
    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), f"link {name}")


def links(netlink: Netlink) -> list[LinkInfo]:
    """The links of the socket's namespace. Raises: OSError."""
    return [link_info(payload) for kind, payload in netlink.dump(RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0))
            if kind == RTM_NEWLINK]  # fmt: skip


def link_info(payload: bytes) -> LinkInfo:
    """The link that a message of the kernel's tells of."""
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(payload)
    found = dict(attributes(payload[_IFINFOMSG.size :]))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    return LinkInfo(
        index=index,
        name=_string(found.get(_IFLA_IFNAME, b"")),
        alias=_string(found.get(_IFLA_IFALIAS, b"")),
        kind=_string(info.get(_IFLA_INFO_KIND, b"")),
        master=int.from_bytes(found.get(_IFLA_MASTER, b""), "little"),
        up=bool(flags & _IFF_UP),
        mtu=int.from_bytes(found.get(_IFLA_MTU, b""), "little"),
    )


def addresses(netlink: Netlink) -> list[tuple[int, str]]:
    """The addresses of the socket's namespace: the link's index, and `172.17.0.1/16`. Raises: OSError."""
    found = []
    for kind, payload in netlink.dump(RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0)):
        if kind != RTM_NEWADDR:
            continue
        _, length, _, _, index = _IFADDRMSG.unpack_from(payload)
        values = dict(attributes(payload[_IFADDRMSG.size :]))
        packed = values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS) or b""
        if len(packed) in {4, 16}:
            found.append((index, f"{_address(packed)}/{length}"))
    return found


def destinations(netlink: Netlink) -> list[tuple[int, str]]:
    """Where the routes of the main table lead, the default routes apart: the link's index, and `172.17.0.0/16`."""
    found = []
    for kind, payload in netlink.dump(RTM_GETROUTE, _RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
        if kind != RTM_NEWROUTE:
            continue
        _, length, _, _, table, *_ = _RTMSG.unpack_from(payload)
        values = dict(attributes(payload[_RTMSG.size :]))
        packed = values.get(_RTA_DST, b"")
        if table == _RT_TABLE_MAIN and len(packed) in {4, 16}:
            found.append((int.from_bytes(values.get(_RTA_OIF, b""), "little"), f"{_address(packed)}/{length}"))
    return found


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    return ip_address(packed)


def _string(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
