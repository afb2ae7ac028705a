"""The networks that a new container is to join, from what was asked for."""

import re
from ipaddress import ip_address
from typing import Final

from cais.engine.models import CreateRequest, Endpoint, EndpointSettings
from cais.engine.network import Network
from cais.engine.networks import Networks
from cais.engine.text import printable
from cais.errors import CaisError, InvalidArgument

SHARED: Final = (
    "container sharing network namespace with another container or host cannot be connected to any other network"
)
PRIVATE: Final = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


def endpoints(request: CreateRequest, networks: Networks) -> dict[str, Endpoint]:
    """The endpoints of a new container, its first network's first; none where it shares another's.

    A network that does not exist is none the worse for it: it may be made before the container starts.
    Raises InvalidArgument, in Docker's words.
    """
    mode = request.host_config.NetworkMode
    asked = dict(request.networking.EndpointsConfig or {})
    if isinstance(request.MacAddress, str) and request.MacAddress and not _MAC.fullmatch(request.MacAddress):
        raise InvalidArgument(f"invalid MAC address: {printable(request.MacAddress)}")
    if mode.startswith("container:"):
        return {}
    first = _name(mode, networks)
    by_name: dict[str, EndpointSettings] = {}
    for given, settings in asked.items():
        by_name[_name(given, networks)] = settings
    if first in {"host", "none"} and set(by_name) - {first}:
        raise InvalidArgument(SHARED if first == "host" else PRIVATE)
    found = {}
    for name in dict.fromkeys([first, *sorted(by_name)]):
        wanted = _wanted(by_name.get(name))
        check_settings(name, wanted)
        network_id = ""
        try:
            network = networks.find(name)
        except CaisError:
            pass
        else:
            network_id = network.id
            check_addresses(network, wanted)
        found[name] = Endpoint(network_id=network_id, wanted=wanted)
    return found


def _name(reference: str, networks: Networks) -> str:
    """The name of the network that is meant: itself, unless it is an id."""
    if reference in {"", "default"}:
        return "bridge"
    try:
        return networks.find(reference).name
    except CaisError:
        return reference


def _wanted(settings: EndpointSettings | None) -> EndpointSettings:
    """Of a request what a user may ask for, and nothing of what an engine has answered before."""
    if settings is None:
        return EndpointSettings()
    return EndpointSettings(
        IPAMConfig=settings.IPAMConfig,
        Links=settings.Links,
        Aliases=settings.Aliases,
        MacAddress=settings.MacAddress,
        DriverOpts=settings.DriverOpts,
        GwPriority=settings.GwPriority,
    )


def check_settings(name: str, wanted: EndpointSettings) -> None:
    """Raises InvalidArgument, in Docker's words, for what makes no sense on the network of that name."""
    problems = []
    asked = wanted.IPAMConfig or {}
    predefined = name in {"bridge", "default", "host", "none"}
    if predefined and (asked.get("IPv4Address") or asked.get("IPv6Address")):
        problems.append("user specified IP address is supported on user defined networks only")
    if predefined and wanted.Aliases:
        problems.append("network-scoped alias is supported only for containers in user defined networks")
    for version in (4, 6):
        address = asked.get(f"IPv{version}Address") or ""
        if address and not _is_address(address, version):
            problems.append(f"invalid IPv{version} address: {address}")
    for address in asked.get("LinkLocalIPs") or ():
        if not any(_is_address(address, version) for version in (4, 6)) or ip_address(address).is_unspecified:
            problems.append(f"invalid link-local IP address: {address}")
    if wanted.MacAddress and not _MAC.fullmatch(wanted.MacAddress):
        problems.append(f"invalid MAC address: {wanted.MacAddress}")
    if problems:
        raise InvalidArgument(f"invalid config for network {name}: invalid endpoint settings:\n" + "\n".join(problems))


def check_addresses(network: Network, wanted: EndpointSettings) -> None:
    """Raises InvalidArgument for an address that the network cannot give."""
    asked = wanted.IPAMConfig or {}
    for version in (4, 6):
        address = asked.get(f"IPv{version}Address") or ""
        if not address:
            continue
        if not network.record.own_subnets:
            raise InvalidArgument(
                f"invalid config for network {network.name}: invalid endpoint settings:\n"
                "user specified IP address is supported only when connecting to networks with user configured subnets"
            )
        pool = network.pools.get(version)
        if pool is None or address not in pool:
            raise InvalidArgument(
                f"invalid config for network {network.name}: invalid endpoint settings:\n"
                f"no configured subnet or ip-range contain the IP address {address}"
            )


def link_local(wanted: EndpointSettings) -> list[str]:
    """The addresses of the link alone that were asked for, as 169.254.7.7/16. Raises InvalidArgument for another."""
    found = []
    for text in (wanted.IPAMConfig or {}).get("LinkLocalIPs") or ():
        address = ip_address(text)
        if not address.is_link_local:
            raise InvalidArgument(f"invalid link local IP address: {address}")
        found.append(f"{address}/{16 if address.version == 4 else 64}")
    return found


def _is_address(text: str, version: int) -> bool:
    try:
        return ip_address(text).version == version
    except ValueError:
        return False
