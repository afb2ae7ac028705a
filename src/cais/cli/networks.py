"""The value of --network, NAME or name=NAME,alias=…,ip=…,driver-opt=K=V, and the endpoints that a container gets."""

from __future__ import annotations

from itertools import pairwise

from cais.cli.values import parse_decimal
from cais.gotext import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.flags import Parsed

Endpoint = dict[str, object]

DEFAULT = "default"
_MAC_DIGITS = frozenset([12, 16, 40])
_BUILT_IN = frozenset([DEFAULT, "bridge", "host", "none"])


class Attachment:
    """One network that a container is to be attached to."""

    __slots__ = ("addresses", "aliases", "driver_options", "link_local", "links", "mac_address", "name", "priority")

    def __init__(self, name: str) -> None:
        self.name = name
        self.aliases: list[str] = []
        self.links: list[str] = []
        self.addresses: dict[str, object] = {}  # IPAMConfig of the API
        self.link_local: list[str] = []
        self.mac_address = ""
        self.priority: int | None = None
        self.driver_options: dict[str, str] = {}

    @property
    def is_user_defined(self) -> bool:
        return self.name not in _BUILT_IN and not self.name.startswith("container:")

    def endpoint(self) -> Endpoint:
        """The settings of the API; empty where nothing but the name was given. Raises ValueError."""
        if not self.name.strip():
            raise ValueError("no name set for network")
        if self.aliases and not self.is_user_defined:
            raise ValueError("network-scoped aliases are only supported for user-defined networks")
        if self.links and not self.is_user_defined:
            raise ValueError("links are only supported for user-defined networks")
        made: Endpoint = {}
        if self.aliases:
            made["Aliases"] = self.aliases
        if self.links:
            made["Links"] = self.links
        if self.addresses:
            made["IPAMConfig"] = self.addresses
        if self.driver_options:
            made["DriverOpts"] = self.driver_options
        if self.mac_address:
            _check_mac(self.mac_address)
            made["MacAddress"] = self.mac_address
        if self.priority is not None:
            made["GwPriority"] = self.priority
        return made


def parse_network(text: str) -> Attachment:
    """Read one value of --network. Raises ValueError."""
    if not _is_long(text):
        return Attachment(text)
    from cais.cli.mounts import split_fields  # noqa: PLC0415 -- seldom needed

    made = Attachment("")
    for field in split_fields(text):
        key, separator, value = field.partition("=")
        if not separator:
            raise ValueError(f"invalid field {field}")
        _take_field(made, key.strip().lower(), value.strip())
    if not made.name:
        raise ValueError("network name/id is not specified")
    return made


def _is_long(text: str) -> bool:
    """Whether a letter, a digit or an underscore stands on both sides of an equals sign: it is no plain name."""
    parts = text.split("=")
    return any(_is_word(left[-1:]) and _is_word(right[:1]) for left, right in pairwise(parts))


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _take_field(made: Attachment, key: str, value: str) -> None:
    if key == "name":
        made.name = value
    elif key == "alias":
        made.aliases.append(value)
    elif key == "driver-opt":
        option, equals, setting = value.partition("=")
        if not equals:
            raise ValueError("invalid key value pair format in driver options")
        made.driver_options[option.strip().lower()] = setting.strip()
    elif key in {"ip", "ip6"}:
        made.addresses["IPv4Address" if key == "ip" else "IPv6Address"] = value
    elif key == "mac-address":
        made.mac_address = value
    elif key == "link-local-ip":
        made.link_local.append(value)
        made.addresses["LinkLocalIPs"] = made.link_local
    elif key == "gw-priority":
        try:
            made.priority = parse_decimal(value)
        except ValueError as error:
            raise ValueError(f"invalid gw-priority ({value}): {str(error).rpartition(': ')[2]}") from None
    else:
        raise ValueError(f"invalid field key {key}")


def attachments(given: Parsed) -> tuple[str, dict[str, Endpoint]]:
    """The network mode and the endpoints, out of --network and the flags that are about its first value.

    Raises ValueError.
    """
    networks = [item for item in given.items("network") if isinstance(item, Attachment)]
    mode = networks[0].name if networks else DEFAULT
    if not networks:
        networks = [Attachment(DEFAULT)]
    _apply_flags(networks[0], given)
    if len({network.is_user_defined for network in networks}) > 1:
        raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    endpoints: dict[str, Endpoint] = {}
    for network in networks:
        made = network.endpoint()
        if network.name in endpoints:
            raise ValueError(f"network {go_quote(network.name)} is specified multiple times")
        endpoints[network.name] = made
    if len(endpoints) == 1 and not endpoints[networks[0].name]:
        endpoints = {}
    return mode, endpoints


def _apply_flags(network: Attachment, given: Parsed) -> None:
    aliases, links = given.texts("network-alias"), given.texts("link")
    for flag, old, new in (("--network-alias", network.aliases, aliases), ("--link", network.links, links)):
        if old and new:
            what = "alias" if flag == "--network-alias" else "links"
            raise ValueError(f"conflicting options: cannot specify both {flag} and per-network {what}")
    network.aliases = network.aliases or aliases
    if network.is_user_defined:  # elsewhere links are the host configuration's
        network.links = network.links or links
    _apply_addresses(network, given)
    mac_address = given.text("mac-address")
    if mac_address:
        if network.mac_address:
            raise ValueError("conflicting options: cannot specify both --mac-address and per-network MAC address")
        _check_mac(mac_address)
        network.mac_address = mac_address


def _apply_addresses(network: Attachment, given: Parsed) -> None:
    for flag, key in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if given.text(flag):
            if key in network.addresses:
                raise ValueError(f"conflicting options: cannot specify both --{flag} and per-network {key[:4]} address")
            network.addresses[key] = given.text(flag)
    if given.texts("link-local-ip"):
        if network.link_local:
            raise ValueError(
                "conflicting options: cannot specify both --link-local-ip and per-network link-local IP addresses"
            )
        network.addresses["LinkLocalIPs"] = given.texts("link-local-ip")


def _check_mac(text: str) -> None:
    """Six, eight or twenty bytes, in the forms 00:00:5e:00:53:01, 00-00-5e-00-53-01 and 0000.5e00.5301."""
    digits = frozenset("0123456789abcdefABCDEF")
    for separator, length in ((":", 2), ("-", 2), (".", 4)):
        parts = text.split(separator)
        if (
            all(len(part) == length and digits.issuperset(part) for part in parts)
            and len(parts) * length in _MAC_DIGITS
            and separator in text
        ):
            return
    raise ValueError(f"{text} is not a valid mac address")
