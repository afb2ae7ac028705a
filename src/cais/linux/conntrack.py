"""What the kernel remembers of connections: entries forgotten by the port that they were made to. nfnetlink, ctnetlink.

A datagram of a known flow is treated as the first one was, whatever the rules have become; so rules for UDP count at
once only when the flows that they are about are forgotten.
"""

import contextlib
import socket
import struct
from collections.abc import Collection
from typing import Final

from cais.linux.netlink import NETLINK_NETFILTER, Message, Netlink, attribute, attributes

# <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
_SUBSYS: Final = 1
_IPCTNL_MSG_CT_GET: Final = 1
_IPCTNL_MSG_CT_DELETE: Final = 2
_CTA_TUPLE_ORIG: Final = 1
_CTA_TUPLE_PROTO: Final = 2
_CTA_PROTO_NUM: Final = 1
_CTA_PROTO_DST_PORT: Final = 3
_CTA_ID: Final = 12
_CTA_ZONE: Final = 18
_NLA_F_NESTED: Final = 0x8000
_NFGENMSG: Final = struct.Struct("=BBH")


def forget(protocol: int, ports: Collection[int]) -> int:
    """Forget the flows of a protocol that were made to one of the ports, of both families; how many there were.

    Raises: OSError.
    """
    forgotten = 0
    with Netlink(NETLINK_NETFILTER) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            header = _NFGENMSG.pack(family, 0, 0)
            for _, payload in netlink.dump(_SUBSYS << 8 | _IPCTNL_MSG_CT_GET, header):
                entry = dict(attributes(payload[_NFGENMSG.size :]))
                flow = entry.get(_CTA_TUPLE_ORIG, b"")
                proto = dict(attributes(dict(attributes(flow)).get(_CTA_TUPLE_PROTO, b"")))
                if proto.get(_CTA_PROTO_NUM) != bytes([protocol]):
                    continue
                if int.from_bytes(proto.get(_CTA_PROTO_DST_PORT, b""), "big") not in ports:
                    continue
                body = header + attribute(_CTA_TUPLE_ORIG | _NLA_F_NESTED, flow)
                body += b"".join(attribute(kind, entry[kind]) for kind in (_CTA_ZONE, _CTA_ID) if kind in entry)
                with contextlib.suppress(OSError):  # it has ended meanwhile
                    netlink.request(Message(_SUBSYS << 8 | _IPCTNL_MSG_CT_DELETE, body, 0, "conntrack"))
                    forgotten += 1
    return forgotten
