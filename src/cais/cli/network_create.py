"""`cais network create`: the flags, and the ranges of addresses that belong together among them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag, strings, switch, text_list
from cais.cli.output import out
from cais.cli.values import parse_label
from cais.client import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cais.cli.flags import Parsed
    from cais.client.model import IpamConfig, NetworkConfig

_MAP = "(default map[])"


def _create(call: Invocation) -> int:
    given = call.flags
    try:
        ranges = _ranges(given)
    except ValueError as error:
        raise CommandError(str(error)) from None
    config: NetworkConfig = {
        "Name": call.arguments[0],
        "Driver": given.text("driver"),
        "Scope": given.text("scope"),
        "IPAM": {"Driver": given.text("ipam-driver"), "Options": given.pairs("ipam-opt"), "Config": ranges},
        "Internal": given.on("internal"),
        "Attachable": given.on("attachable"),
        "Ingress": given.on("ingress"),
        "ConfigOnly": given.on("config-only"),
        "Options": given.pairs("opt"),
        "Labels": given.pairs("label"),
    }
    for flag, field in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if flag in given.given:
            config[field] = given.on(flag)
    if given.text("config-from"):
        config["ConfigFrom"] = {"Network": given.text("config-from")}
    out(networks.create(call.engine, config))
    return 0


def _ranges(given: Parsed) -> list[IpamConfig]:
    """What the flags say of each subnet. Raises ValueError."""
    subnets, ranges, gateways = (given.texts(name) for name in ("subnet", "ip-range", "gateway"))
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise ValueError("every ip-range or gateway must have a corresponding subnet")
    made: dict[str, IpamConfig] = {}
    for subnet in subnets:
        if any(_within(other, subnet) or _within(subnet, other) for other in made):
            raise ValueError("multiple overlapping subnet configuration is not supported")
        made[subnet] = {"Subnet": subnet}
    for text in ranges:
        _check_cidr(text)
        for subnet in _around(text, made, "range"):
            _refuse_second("ranges", text, made[subnet].get("IPRange"), f"on the same subnet ({subnet})")
            made[subnet]["IPRange"] = text
    for text in gateways:
        for subnet in _around(text, made, "gateway"):
            _refuse_second("gateways", text, made[subnet].get("Gateway"), f"for the same subnet ({subnet})")
            made[subnet]["Gateway"] = text
    for name, text in given.pairs("aux-address").items():
        for subnet in _around(text, made, "aux-address"):
            made[subnet]["AuxiliaryAddresses"] = {**(made[subnet].get("AuxiliaryAddresses") or {}), name: text}
    return list(made.values())


def _refuse_second(what: str, text: str, first: str | None, where: str) -> None:
    if first is not None:
        raise ValueError(f"cannot configure multiple {what} ({text}, {first}) {where}")


def _around(text: str, subnets: Iterable[str], what: str) -> list[str]:
    """The subnets that an address or a range is in: at least one. Raises ValueError."""
    found = [subnet for subnet in subnets if _within(text, subnet)]
    if not found:
        raise ValueError(f"no matching subnet for {what} {text}")
    return found


def _within(text: str, subnet: str) -> bool:
    """Whether an address, or where a range begins, is in a subnet. Raises ValueError for what is no subnet or range."""
    try:
        around = _check_cidr(subnet)
    except ValueError as error:
        raise ValueError(f"invalid subnet: {error}") from None
    if "/" in text:
        _check_cidr(text)
    try:
        return ip_address(text.partition("/")[0]) in around
    except ValueError:
        return False


def _check_cidr(text: str) -> IPv4Network | IPv6Network:
    """ADDRESS/BITS, of which the address may have bits behind the first ones. Raises ValueError."""
    bits = text.partition("/")[2]
    try:
        if not (bits.isascii() and bits.isdigit()) or "%" in text:
            raise ValueError
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"invalid CIDR address: {text}") from None


def _options(name: str, text: str, short: str = "") -> Flag:
    return Flag(name, text, short, "map", many=True, default_text=_MAP)


CREATE = Command(
    "[OPTIONS] NETWORK",
    "",
    (
        switch("attachable", "Enable manual container attachment"),
        _options("aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver"),
        Flag("config-from", "The network from which to copy the configuration"),
        switch("config-only", "Create a configuration only network"),
        Flag("driver", "Driver to manage the Network", "d", default="bridge", default_text='(default "bridge")'),
        strings("gateway", "IPv4 or IPv6 Gateway for the master subnet"),
        switch("ingress", "Create swarm routing-mesh network"),
        switch("internal", "Restrict external access to the network"),
        strings("ip-range", "Allocate container ip from a sub-range"),
        Flag("ipam-driver", "IP Address Management Driver", default="default", default_text='(default "default")'),
        _options("ipam-opt", "Set IPAM driver specific options"),
        switch("ipv4", "Enable or disable IPv4 address assignment", default=True),
        switch("ipv6", "Enable or disable IPv6 address assignment"),
        text_list("label", "Set metadata on a network", "", parse_label),
        _options("opt", "Set driver specific options", "o"),
        Flag("scope", "Control the network's scope"),
        strings("subnet", "Subnet in CIDR format that represents a network segment"),
    ),
    _create,
    1,
    1,
)
