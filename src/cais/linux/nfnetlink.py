"""nf_tables over netlink, as far as it must be quick or small: elements of maps and sets, and one fixed table.

What is written once and is to be read by people goes through `cais.linux.libnftables`.
"""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cais.linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    Netlink,
    attribute,
    nested,
    text,
)

NFPROTO_INET: Final = 1
NFPROTO_IPV4: Final = 2
NFNLGRP_NFTABLES: Final = 7

# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>
_NFNL_MSG_BATCH_BEGIN: Final = 0x10
_NFNL_MSG_BATCH_END: Final = 0x11
_SUBSYS: Final = 10
_NFT_MSG_NEWTABLE: Final = 0
NFT_MSG_DELTABLE: Final = 2
NFT_MSG_NEWCHAIN: Final = 3
NFT_MSG_DELCHAIN: Final = 5
_NFT_MSG_NEWRULE: Final = 6
NFT_MSG_DELRULE: Final = 8
NFT_MSG_DELSET: Final = 11
_NFT_MSG_NEWSETELEM: Final = 12
_NFT_MSG_DELSETELEM: Final = 14
_NF_INET_LOCAL_OUT: Final = 3
_NFGENMSG: Final = struct.Struct("=BBH")

# registers: NFT_REG_1 and NFT_REG_2 hold 16 bytes each
_REG_1, _REG_2 = 1, 2


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a map or set. key, data: bytes as the kernel holds them, each part padded to four."""

    container: str
    key: bytes
    data: bytes | None = None


def change_elements(
    netlink: Netlink, table: str, *, add: Sequence[Element] = (), remove: Sequence[Element] = ()
) -> None:
    """Change elements of an inet table in one transaction. Raises: OSError; nothing has changed then."""
    _transact(
        netlink,
        [_element(_NFT_MSG_DELSETELEM, table, item, 0) for item in remove]
        + [_element(_NFT_MSG_NEWSETELEM, table, item, NLM_F_CREATE) for item in add],
        NFPROTO_INET,
    )


def redirect(table: str, address: str, port: int, ports: dict[int, int]) -> None:
    """Send what this network namespace sends to `address` and `port` to other ports there.

    ports: by the number of the protocol. A table of that name is replaced. Raises: OSError.
    """
    with Netlink(NETLINK_NETFILTER) as netlink:
        family = NFPROTO_IPV4
        name = text(1, table)  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE
        chain = b"".join(
            (
                name,
                text(3, "output"),  # NFTA_CHAIN_NAME
                nested(4, _be32(1, _NF_INET_LOCAL_OUT), _be32(2, -100 & 0xFFFFFFFF)),  # NFTA_CHAIN_HOOK: -100 is dstnat
                text(7, "nat"),  # NFTA_CHAIN_TYPE
            )
        )
        rules = [_redirection(name, address, port, protocol, to) for protocol, to in ports.items()]
        _transact(
            netlink,
            [
                _message(_NFT_MSG_NEWTABLE, family, name, NLM_F_CREATE),
                _message(NFT_MSG_DELTABLE, family, name),
                _message(_NFT_MSG_NEWTABLE, family, name, NLM_F_CREATE),
                _message(NFT_MSG_NEWCHAIN, family, chain, NLM_F_CREATE),
                *(_message(_NFT_MSG_NEWRULE, family, rule, NLM_F_CREATE | NLM_F_APPEND) for rule in rules),
            ],
            family,
        )  # fmt: skip


def message_kind(netlink_type: int) -> int:
    """NFT_MSG_… of the type of a notification."""
    return netlink_type & 0xFF


def _transact(netlink: Netlink, wanted: Sequence[Message], family: int) -> None:
    limits = struct.pack("=BBH", 0, 0, socket.htons(_SUBSYS))
    netlink.request(
        Message(_NFNL_MSG_BATCH_BEGIN, limits), *wanted, Message(_NFNL_MSG_BATCH_END, limits),
    )  # fmt: skip


def _message(kind: int, family: int, body: bytes, flags: int = 0) -> Message:
    return Message(_SUBSYS << 8 | kind, _NFGENMSG.pack(family, 0, 0) + body, flags, "nf_tables")


def _element(kind: int, table: str, element: Element, flags: int) -> Message:
    content = nested(1, attribute(1, element.key))  # NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
    if element.data is not None and kind == _NFT_MSG_NEWSETELEM:
        content += nested(2, attribute(1, element.data))  # NFTA_SET_ELEM_DATA
    body = b"".join((text(1, table), text(2, element.container), nested(3, nested(1, content))))
    message = _message(kind, NFPROTO_INET, body, flags)
    return Message(message.type, message.payload, flags, f"element of {element.container}")


def _redirection(table: bytes, address: str, port: int, protocol: int, to: int) -> bytes:
    """A rule: meta l4proto PROTOCOL ip daddr ADDRESS th dport PORT dnat to ADDRESS:TO."""
    packed = socket.inet_aton(address)
    expressions = (
        _expression("meta", _be32(2, 16), _be32(1, _REG_1)),  # NFT_META_L4PROTO
        _equals(bytes([protocol])),
        _expression("payload", _be32(1, _REG_1), _be32(2, 1), _be32(3, 16), _be32(4, 4)),  # network header, daddr
        _equals(packed),
        _expression("payload", _be32(1, _REG_1), _be32(2, 2), _be32(3, 2), _be32(4, 2)),  # transport header, dport
        _equals(struct.pack("!H", port)),
        _expression("immediate", _be32(1, _REG_1), nested(2, attribute(1, packed))),
        _expression("immediate", _be32(1, _REG_2), nested(2, attribute(1, struct.pack("!H", to)))),
        _expression("nat", _be32(1, 1), _be32(2, NFPROTO_IPV4), _be32(3, _REG_1), _be32(5, _REG_2)),  # NFT_NAT_DNAT
    )
    return table + text(2, "output") + nested(4, *expressions)  # NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS


def _equals(value: bytes) -> bytes:
    return _expression("cmp", _be32(1, _REG_1), _be32(2, 0), nested(3, attribute(1, value)))


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))  # NFTA_LIST_ELEM: NFTA_EXPR_NAME, NFTA_EXPR_DATA


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))
