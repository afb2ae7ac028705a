"""Networks, and containers on them, as the API shows them."""

from typing import Any

import msgspec

from cais.engine import joining, network_ports
from cais.engine.container import Container
from cais.engine.models import Endpoint, EndpointSettings, timestamp
from cais.engine.network import Network
from cais.engine.network_models import IpamConfig
from cais.engine.network_names import names_of
from cais.engine.networks import Networks

Json = dict[str, Any]


def settings(container: Container, known: Networks) -> Json:
    """NetworkSettings of a container. The fields that repeat an endpoint are those of the default bridge."""
    record = container.record
    shown = endpoints(container, known)
    default = shown.get("bridge") or EndpointSettings()
    own = container.running and record.host_config.NetworkMode != "host" and not joining.partner(
        record.host_config.NetworkMode
    )  # fmt: skip
    return {
        "Bridge": "",
        "SandboxID": record.sandbox_id,
        "SandboxKey": f"/proc/{record.state.pid}/ns/net" if own else "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": network_ports.settings(record) if own else {},
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": default.EndpointID,
        "Gateway": default.Gateway,
        "GlobalIPv6Address": default.GlobalIPv6Address,
        "GlobalIPv6PrefixLen": default.GlobalIPv6PrefixLen,
        "IPAddress": default.IPAddress,
        "IPPrefixLen": default.IPPrefixLen,
        "IPv6Gateway": default.IPv6Gateway,
        "MacAddress": default.MacAddress,
        "Networks": shown,
    }


def endpoints(container: Container, known: Networks) -> dict[str, EndpointSettings]:
    """The networks of a container; none of its own when it shares another container's."""
    return {
        name: _endpoint(container, endpoint, known.known(endpoint.network_id))
        for name, endpoint in container.record.endpoints.items()
    }


def _endpoint(container: Container, endpoint: Endpoint, network: Network | None) -> EndpointSettings:
    wanted, live = endpoint.wanted, endpoint.live
    names = names_of(container, endpoint) if network is not None and network.record.user_defined else None
    shown = msgspec.structs.replace(wanted, NetworkID=endpoint.network_id, DNSNames=names)
    if live is None or network is None:
        return shown
    four, six = network.pools.get(4), network.pools.get(6)
    internal = network.record.internal
    return msgspec.structs.replace(
        shown,
        MacAddress=live.mac,
        EndpointID=live.endpoint_id,
        Gateway="" if internal or not live.ipv4 else network.gateways.get(4, ""),
        IPAddress=live.ipv4,
        IPPrefixLen=four.subnet.prefixlen if live.ipv4 and four else 0,
        IPv6Gateway="" if internal or not live.ipv6 else network.gateways.get(6, ""),
        GlobalIPv6Address=live.ipv6,
        GlobalIPv6PrefixLen=six.subnet.prefixlen if live.ipv6 and six else 0,
    )


def network(shown: Network, members: bool = True) -> Json:
    """A network as inspect shows it; in a list it has no members."""
    record = shown.record
    return {
        "Name": record.name,
        "Id": record.id,
        "Created": timestamp(record.created_ns),
        "Scope": "local",
        "Driver": record.driver,
        "EnableIPv4": record.ipv4,
        "EnableIPv6": record.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": record.ipam_options,
            "Config": [_range(item) for item in record.ranges] or (None if record.predefined else []),
        },
        "Internal": record.internal,
        "Attachable": record.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": _members(shown) if members else {},
        "Options": record.options,
        "Labels": record.labels,
    }


def _range(item: IpamConfig) -> Json:
    shown: Json = {"Subnet": item.Subnet}
    if item.IPRange:
        shown["IPRange"] = item.IPRange
    if item.Gateway:
        shown["Gateway"] = item.Gateway
    if item.AuxiliaryAddresses:
        shown["AuxiliaryAddresses"] = item.AuxiliaryAddresses
    return shown


def _members(shown: Network) -> Json:
    return {
        container_id: {
            "Name": member.container.name,
            "EndpointID": member.attached.endpoint_id,
            "MacAddress": member.attached.mac,
            "IPv4Address": _with_length(shown, 4, member.attached.ipv4),
            "IPv6Address": _with_length(shown, 6, member.attached.ipv6),
        }
        for container_id, member in shown.members.items()
    }


def _with_length(shown: Network, version: int, address: str) -> str:
    return shown.pools[version].with_length(address) if address else ""
