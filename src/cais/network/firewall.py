"""The firewall of an engine: one nftables table of its own.

Networks and published ports are elements of its sets and maps, so that the thousandth port costs what the first one
did. Besides, a firewall of somebody else's that passes nothing on by default (as Docker's is) gets a rule for each
bridge that lets its packets through: what they may do has been decided in our own table.
"""

import logging
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from cais.linux import conntrack, nfnetlink
from cais.linux.libnftables import Nftables, NftError
from cais.linux.netlink import NETLINK_NETFILTER, Netlink
from cais.linux.nfnetlink import Element

_log = logging.getLogger("cais.network")

_DOCKER_CHAIN: Final = "DOCKER-USER"
PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104

# What a published port is: first by the address that it is published at, then by any address of the host.
_TABLE: Final = """
table inet {name} {{
    set bridges {{ type ifname; }}
    set internal {{ type ifname; }}
    set joined {{ type ifname; }}
    set unprotected4 {{ type ifname; }}
    set unprotected6 {{ type ifname; }}
    set within {{ type ifname . ifname; }}
    set subnets4 {{ type ipv4_addr; flags interval; }}
    set subnets6 {{ type ipv6_addr; flags interval; }}
    set masquerade4 {{ type ipv4_addr; flags interval; }}
    set masquerade6 {{ type ipv6_addr; flags interval; }}
    map ports4 {{ type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }}
    map ports6 {{ type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }}
    map any4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
    map any6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}

    chain raw {{
        type filter hook prerouting priority raw; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
        iifname @joined notrack
    }}
    chain published {{
        fib daddr type != local return
        dnat ip to meta l4proto . ip daddr . th dport map @ports4
        dnat ip6 to meta l4proto . ip6 daddr . th dport map @ports6
        meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
        meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 127.0.0.0/8 return
        ip6 daddr ::1 return
        iifname @internal return
        jump published
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        ip6 daddr ::1 return
        jump published
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname @bridges ip saddr 127.0.0.0/8 masquerade
        oifname @bridges ct status dnat ip saddr @subnets4 masquerade
        oifname @bridges ct status dnat ip6 saddr @subnets6 masquerade
        oifname @bridges return
        ip saddr @masquerade4 masquerade
        ip6 saddr @masquerade6 masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname . oifname @within accept
        iifname @internal drop
        oifname @internal drop
        oifname @bridges ct state established,related accept
        oifname @bridges ct status dnat accept
        iifname != @bridges meta nfproto ipv4 oifname @unprotected4 accept
        iifname != @bridges meta nfproto ipv6 oifname @unprotected6 accept
        oifname @bridges drop
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the firewall knows of a network: its bridge, its ranges, and what is allowed.

    masquerade: packets to elsewhere get the host's address. within: its containers may talk with each other.
    unprotected: the families (4, 6) by which all ports of its containers are reached, published or not.
    joined: the bridge only makes another one larger. What passes it is bridged to the other, where it is judged; with
    `bridge-nf-call-iptables` it would be translated, or not, at the first of both.
    """

    bridge: str
    subnets: tuple[str, ...]
    internal: bool = False
    masquerade: bool = True
    within: bool = True
    joined: bool = False
    unprotected: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A published port: what arrives at `host` goes to `target`, each an address and a port."""

    protocol: str
    host: tuple[str, int]
    target: tuple[str, int]


@dataclass(slots=True)
class _State:
    networks: dict[str, Rules] = field(default_factory=dict)
    forwards: dict[tuple[str, str, int], Forward] = field(default_factory=dict)


class Firewall:
    """The table of one engine. `add_networks`, `remove_networks`, `rebuild` and `check` block, for a thread;
    `publish` and `withdraw` are short."""

    def __init__(self, table: str) -> None:
        """Raises OSError where the library is missing, or the kernel has no nf_tables."""
        self._table = table
        self._nft = Nftables()
        self._netlink = Netlink(NETLINK_NETFILTER)
        self._state = _State()
        self._lock = threading.Lock()  # between published ports and the table's being made anew
        self._built = ""

    def close(self) -> None:
        """Lets go of the kernel; the rules stay."""
        self._nft.close()
        self._netlink.close()

    def rebuild(self, networks: Iterable[Rules], forwards: Iterable[Forward]) -> None:
        """Makes the table anew, as one transaction. Raises NftError."""
        self._state = _State(
            {rules.bridge: rules for rules in networks},
            {_key(item): item for item in forwards},
        )
        self._apply()

    def add_networks(self, networks: Iterable[Rules]) -> None:
        """Bridges more. Raises NftError."""
        for rules in networks:
            self._state.networks[rules.bridge] = rules
            self._nft.run("\n".join(self._elements("add", rules)))
        self._open_others()

    def remove_networks(self, names: Iterable[str]) -> None:
        """Bridges less. Raises NftError."""
        for bridge in names:
            rules = self._state.networks.pop(bridge, None)
            if rules is not None:
                self._close_others(bridge)
                self._nft.run("\n".join(self._elements("delete", rules)))

    def publish(self, forwards: Sequence[Forward]) -> None:
        """Ports more, all or none. Raises OSError."""
        if forwards:
            with self._lock:
                nfnetlink.change_elements(self._netlink, self._table, add=[_element(item) for item in forwards])
                self._state.forwards.update((_key(item), item) for item in forwards)

    def withdraw(self, forwards: Sequence[Forward]) -> None:
        """Ports less; those that are not there are passed over. Raises OSError."""
        if not forwards:
            return
        with self._lock:
            known = [item for item in forwards if self._state.forwards.pop(_key(item), None) is not None]
            if known:
                nfnetlink.change_elements(self._netlink, self._table, remove=[_element(item) for item in known])

    @staticmethod
    def forget(forwards: Iterable[Forward]) -> None:
        """Has the kernel forget the flows of datagrams to these ports: what has changed counts for them too.

        Blocks, for a thread. Raises OSError.
        """
        ports = {item.host[1] for item in forwards if item.protocol == "udp"}
        if ports:
            conntrack.forget(socket.IPPROTO_UDP, ports)

    def check(self) -> bool:
        """Rebuilds what somebody else has taken away; True when something was missing. Raises NftError."""
        try:
            intact = self._nft.rules(f"list table inet {self._table}") == self._built
        except NftError:
            intact = False
        if not intact:
            self._apply()
            return True
        return self._open_others()

    def remove(self) -> None:
        """Takes away the table and every rule elsewhere. Raises NftError."""
        for bridge in list(self._state.networks):
            self._close_others(bridge)
        self._nft.run(f"table inet {self._table}\ndelete table inet {self._table}")

    def _apply(self) -> None:
        with self._lock:
            self._write()
        self._open_others()

    def _write(self) -> None:
        commands = [f"table inet {self._table}", f"delete table inet {self._table}", _TABLE.format(name=self._table)]
        for rules in self._state.networks.values():
            commands += self._elements("add", rules)
        self._nft.run("\n".join(commands))
        forwards = list(self._state.forwards.values())
        if forwards:
            try:
                nfnetlink.change_elements(self._netlink, self._table, add=[_element(item) for item in forwards])
            except OSError as error:
                raise NftError(f"publish ports: {error}") from error
        self._built = self._nft.rules(f"list table inet {self._table}")

    def _elements(self, verb: str, rules: Rules) -> list[str]:
        """The commands that make a network known, or forget it."""
        name = f'"{rules.bridge}"'
        entries = [("bridges", name)]
        if rules.joined:
            entries.append(("joined", name))
        if rules.internal:
            entries.append(("internal", name))
        if rules.within:
            entries.append(("within", f"{name} . {name}"))
        entries += [(f"unprotected{version}", name) for version in rules.unprotected]
        for subnet in rules.subnets:
            version = "6" if ":" in subnet else "4"
            entries.append((f"subnets{version}", subnet))
            if rules.masquerade and not rules.internal:
                entries.append((f"masquerade{version}", subnet))
        return [f"{verb} element inet {self._table} {place} {{ {entry} }}" for place, entry in entries]

    # Others' firewalls

    def _open_others(self) -> bool:
        """Has closed firewalls of others let our bridges' packets through; whether one had to be told."""
        commands = []
        for family, table, chain in self._closed_chains():
            present = {rule.get("comment", "") for rule in self._rules(family, table, chain)}
            for bridge in self._state.networks:
                if self._mark(bridge) not in present:
                    commands += [
                        f'insert rule {family} {table} {chain} {side} "{bridge}" counter accept comment '
                        f'"{self._mark(bridge)}"'
                        for side in ("iifname", "oifname")
                    ]
        if commands:
            self._nft.run("\n".join(commands))
        return bool(commands)

    def _close_others(self, bridge: str) -> None:
        commands = [
            f"delete rule {family} {table} {chain} handle {rule['handle']}"
            for family, table, chain in self._closed_chains()
            for rule in self._rules(family, table, chain)
            if rule.get("comment") == self._mark(bridge)
        ]
        if commands:
            self._nft.run("\n".join(commands))

    def sweep_others(self, keep: Iterable[str]) -> None:
        """Takes away the rules for bridges that are none of the engine's any more. Raises NftError."""
        marks = {self._mark(bridge) for bridge in keep}
        prefix = self._mark("")
        commands = [
            f"delete rule {family} {table} {chain} handle {rule['handle']}"
            for family, table, chain in self._closed_chains()
            for rule in self._rules(family, table, chain)
            if rule.get("comment", "").startswith(prefix) and rule["comment"] not in marks
        ]
        if commands:
            self._nft.run("\n".join(commands))

    def _mark(self, bridge: str) -> str:
        return f"{self._table} {bridge}"

    def _closed_chains(self) -> list[tuple[str, str, str]]:
        """Where rules must be: family, table and chain, for each chain of others that passes nothing on by default.

        Docker has a chain for rules like these, which it leaves alone.
        """
        chains = [item["chain"] for item in self._nft.listed("list chains") if "chain" in item]
        names = {(chain["family"], chain["table"], chain["name"]) for chain in chains}
        found = []
        for chain in chains:
            if chain.get("hook") != "forward" or chain.get("policy") != "drop" or chain["table"] == self._table:
                continue
            family, table, name = chain["family"], chain["table"], chain["name"]
            if family in {"ip", "ip6", "inet"}:
                preferred = (family, table, _DOCKER_CHAIN)
                found.append(preferred if preferred in names else (family, table, name))
        return found

    def _rules(self, family: str, table: str, chain: str) -> list[dict[str, Any]]:
        try:
            listed = self._nft.listed(f"list chain {family} {table} {chain}")
        except NftError:  # somebody has removed it meanwhile
            return []
        return [item["rule"] for item in listed if "rule" in item]


def _key(item: Forward) -> tuple[str, str, int]:
    return item.protocol, *item.host


def _element(item: Forward) -> Element:
    """The map's element of a published port: each part padded to four bytes, as the registers of nf_tables are."""
    address, port = _packed(item.host[0]), item.host[1]
    version = "4" if len(address) == 4 else "6"
    service = struct.pack("!H2x", port)
    protocol = struct.pack("B3x", PROTOCOLS[item.protocol])
    target = _packed(item.target[0]) + struct.pack("!H2x", item.target[1])
    if item.host[0] in _ANY:
        return Element(f"any{version}", protocol + service, target)
    return Element(f"ports{version}", protocol + address + service, target)


def _packed(address: str) -> bytes:
    parsed: IPv4Address | IPv6Address = ip_address(address)
    return parsed.packed
