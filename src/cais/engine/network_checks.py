"""Is what was asked of a new network possible? Checked, and refused in Docker's words."""

from ipaddress import ip_address, ip_network

from cais.engine.network_models import (
    GATEWAY_MODES,
    ICC,
    ISOLATED,
    LINK_PREFIX,
    MASQUERADE,
    MTU,
    PARENT,
    PREDEFINED,
    UNPROTECTED,
    IpamConfig,
    NetworkRequest,
    is_boolean,
)
from cais.engine.text import printable
from cais.errors import Forbidden, Internal, InvalidArgument, NotFound, Unsupported
from cais.linux.rtnetlink import IPVLAN_MODES, MACVLAN_MODES
from cais.network.ipam import Subnet

_BRIDGE_MODES = frozenset({"", "nat", UNPROTECTED, ISOLATED})
_SUBLINKS = {"macvlan": ("macvlan_mode", MACVLAN_MODES), "ipvlan": ("ipvlan_mode", IPVLAN_MODES)}


def check(request: NetworkRequest) -> None:
    """Raises InvalidArgument, Forbidden, NotFound, Unsupported."""
    name = request.Name
    if not name.strip():
        raise InvalidArgument("invalid name: name is empty")
    if name in PREDEFINED or name in {"default", "container"}:
        raise Forbidden(f"operation is not permitted on predefined {name} network")
    if any(ord(character) < 32 for character in name) or "/" in name:
        raise InvalidArgument(f"invalid name: {printable(name)}")
    request.Driver = request.Driver or "bridge"
    _check_driver(request)
    for label in request.Labels or {}:
        if not label:
            raise InvalidArgument("invalid label: empty name")
    problems = [problem for item in ranges(request) for problem in _problems(item, request)]
    if problems:
        raise InvalidArgument("invalid network config:\n" + "\n".join(problems))
    _check_families(request)
    _check_options(request.Driver, request.Options or {})
    if request.Driver == "bridge":
        _check_gateway_modes(request.Options or {}, request.Internal)


def ranges(request: NetworkRequest) -> list[IpamConfig]:
    """The ranges that were asked for. As with Docker, one of IPv6 says nothing where the network has no IPv6."""
    asked = (request.IPAM.Config if request.IPAM else None) or []
    return [item for item in asked if request.EnableIPv6 or not _is_of_ipv6(item)]


def subnet_of(item: IpamConfig) -> Subnet:
    """The range of a configuration that has been checked."""
    return ip_network(item.Subnet)


def _check_driver(request: NetworkRequest) -> None:
    driver = request.Driver
    if driver in {"host", "null"}:
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver == "overlay" or request.Scope == "swarm" or request.Ingress:
        raise Unsupported("networks of a swarm are not supported by Cais")
    if driver not in {"bridge", "macvlan", "ipvlan"}:
        raise NotFound(
            f'could not find plugin {printable(driver)} in v1 plugin registry: plugin "{printable(driver)}" not found'
        )
    if request.ConfigOnly or (request.config_from and request.config_from.Network):
        raise Unsupported("networks that are only a configuration are not supported by Cais")
    if request.IPAM and request.IPAM.Driver not in {"", "default"}:
        raise NotFound(f'could not find IPAM driver "{printable(request.IPAM.Driver)}"')


def _problems(item: IpamConfig, request: NetworkRequest) -> list[str]:
    """What is wrong with one range."""
    if not item.Subnet:
        return ["invalid subnet : invalid CIDR block notation"] if item.Gateway or item.IPRange else []
    subnet = _network(item.Subnet, strict=False)
    if subnet is None:
        return [f"invalid subnet {printable(item.Subnet)}: invalid CIDR block notation"]
    found = []
    if _network(item.Subnet, strict=True) is None:
        found.append(f"invalid subnet {item.Subnet}: it should be {subnet}")
    if item.IPRange:
        found += _range_problems(item.IPRange, subnet)
    if item.Gateway:
        found += _address_problems("gateway", item.Gateway, subnet)
    for address in item.AuxiliaryAddresses.values():
        found += _address_problems("auxiliary address", address, subnet)
    return found


def _range_problems(text: str, subnet: Subnet) -> list[str]:
    what = f"invalid ip-range {printable(text)}"
    within = _network(text, strict=False)
    if within is None:
        return [f"{what}: invalid CIDR block notation"]
    if within.version != subnet.version:
        return [f"{what}: parent subnet is an IPv{subnet.version} block"]
    if within.prefixlen < subnet.prefixlen:
        return [f"{what}: CIDR block is bigger than its parent subnet {subnet}"]
    if within.network_address not in subnet:
        return [f"{what}: parent subnet {subnet} doesn't contain ip-range"]
    if _network(text, strict=True) is None:
        return [f"{what}: it should be {within}"]
    return []


def _address_problems(kind: str, text: str, subnet: Subnet) -> list[str]:
    what = f"invalid {kind} {printable(text)}"
    try:
        address = ip_address(text)
    except ValueError:
        return [f"{what}: invalid address"]
    if address.version != subnet.version:
        return [f"{what}: parent subnet is an IPv{subnet.version} block"]
    if address not in subnet:
        return [f"{what}: parent subnet {subnet} doesn't contain this address"]
    return []


def _network(text: str, strict: bool) -> Subnet | None:
    if "/" not in text:
        return None
    try:
        return ip_network(text, strict=strict)
    except ValueError:
        return None


def _is_of_ipv6(item: IpamConfig) -> bool:
    subnet = _network(item.Subnet, strict=False)
    return subnet is not None and subnet.version == 6


def _check_families(request: NetworkRequest) -> None:
    versions = [subnet_of(item).version for item in ranges(request) if item.Subnet]
    if not request.EnableIPv4:
        raise Unsupported("networks without IPv4 are not supported yet by Cais")
    for version in (4, 6):
        if versions.count(version) > 1:
            raise Forbidden(f"{request.Driver} driver doesn't support multiple subnets")


def _check_gateway_modes(options: dict[str, str], internal: bool) -> None:
    modes = {name: options[name] for name in GATEWAY_MODES.values() if options.get(name)}
    for name, mode in modes.items():
        if mode == "routed":
            raise Unsupported(f"{name}=routed is not supported yet by Cais")
        if mode not in _BRIDGE_MODES:
            text = printable(mode)
            raise InvalidArgument(f"failed to parse {name} value: {text} (unknown gateway mode {text})")
    if ISOLATED in modes.values() and not internal:
        raise Internal("gateway mode 'isolated' can only be used for an internal network")


def _check_options(driver: str, options: dict[str, str]) -> None:
    for name in (ICC, MASQUERADE):
        if name in options and not is_boolean(options[name]):
            raise InvalidArgument(
                f"failed to parse {name} value: {printable(options[name])} "
                f'(strconv.ParseBool: parsing "{printable(options[name])}": invalid syntax)'
            )
    mtu = options.get(MTU, "")
    if mtu and not (mtu.isascii() and mtu.isdigit() and len(mtu) < 9):
        text = printable(mtu)
        raise InvalidArgument(
            f'failed to parse {MTU} value: {text} (strconv.Atoi: parsing "{text}": invalid syntax)'
        )  # fmt: skip
    if len(options.get(LINK_PREFIX, "")) > 11:
        raise InvalidArgument(f"invalid {LINK_PREFIX}: {printable(options[LINK_PREFIX])}")
    if driver in _SUBLINKS:
        option, modes = _SUBLINKS[driver]
        mode = options.get(option, "")
        if mode and mode not in modes:
            raise InvalidArgument(f"requested {driver} mode '{printable(mode)}' is not valid")
        if not options.get(PARENT):
            raise Unsupported(f'a {driver} network without a parent link (option "{PARENT}") is not supported by Cais')
