"""What the engine knows of a network, in the field names of Docker's API, and how it is stored."""

from typing import Final

import msgspec

from cais.engine.models import EndpointSettings
from cais.gotext import FALSE, TRUE

RECORD_VERSION: Final = 1
PREDEFINED: Final = ("bridge", "host", "none")
DRIVERS: Final = {"bridge": "bridge", "host": "host", "none": "null"}

ICC: Final = "com.docker.network.bridge.enable_icc"
MASQUERADE: Final = "com.docker.network.bridge.enable_ip_masquerade"
HOST_BINDING: Final = "com.docker.network.bridge.host_binding_ipv4"
BRIDGE_NAME: Final = "com.docker.network.bridge.name"
DEFAULT_BRIDGE: Final = "com.docker.network.bridge.default_bridge"
GATEWAY_MODES: Final = {
    4: "com.docker.network.bridge.gateway_mode_ipv4",
    6: "com.docker.network.bridge.gateway_mode_ipv6",
}
ISOLATED: Final = "isolated"
UNPROTECTED: Final = "nat-unprotected"
LINK_PREFIX: Final = "com.docker.network.container_iface_prefix"
MTU: Final = "com.docker.network.driver.mtu"
PARENT: Final = "parent"
DEFAULT_MTU: Final = 1500


class IpamConfig(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One range of a network."""

    Subnet: str = ""
    IPRange: str = ""
    Gateway: str = ""
    AuxiliaryAddresses: dict[str, str] = msgspec.field(default_factory=dict, name="AuxiliaryAddresses")


class Ipam(msgspec.Struct, kw_only=True):
    """The ranges of a network, and who gives out its addresses."""

    Driver: str = "default"
    Options: dict[str, str] | None = None
    Config: list[IpamConfig] | None = None


class ConfigFrom(msgspec.Struct):
    """The network whose configuration another one takes."""

    Network: str = ""


class NetworkRequest(msgspec.Struct, kw_only=True):
    """The body of a request to create a network."""

    Name: str = ""
    CheckDuplicate: bool = False
    Driver: str = ""
    Scope: str = ""
    EnableIPv4: bool = True
    EnableIPv6: bool = False
    IPAM: Ipam | None = None
    Internal: bool = False
    Attachable: bool = False
    Ingress: bool = False
    ConfigOnly: bool = False
    config_from: ConfigFrom | None = msgspec.field(default=None, name="ConfigFrom")
    Options: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


class ConnectRequest(msgspec.Struct, kw_only=True):
    """The body of a request to connect a container to a network."""

    Container: str = ""
    endpoint: EndpointSettings | None = msgspec.field(default=None, name="EndpointConfig")


class DisconnectRequest(msgspec.Struct, kw_only=True):
    """The body of a request to disconnect a container from a network."""

    Container: str = ""
    Force: bool = False


class NetworkRecord(msgspec.Struct, kw_only=True):
    """Everything that is stored of a network. own_subnets: its ranges were asked for.

    link: the bridge, or the parent of macvlan and ipvlan links; owns_link: it goes with the network.
    """

    version: int = RECORD_VERSION
    id: str
    name: str
    created_ns: int
    driver: str = "bridge"
    ipv4: bool = True
    ipv6: bool = False
    ranges: list[IpamConfig] = []
    own_subnets: bool = False
    ipam_options: dict[str, str] | None = None
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    link: str = ""
    owns_link: bool = True

    @property
    def predefined(self) -> bool:
        """Whether it is there from the start, for ever."""
        return self.name in PREDEFINED

    @property
    def user_defined(self) -> bool:
        """Whether it has names, and whatever else Docker gives only to networks of the user's."""
        return not self.predefined

    @property
    def icc(self) -> bool:
        """Whether its containers may talk with each other."""
        return is_true(self.options.get(ICC, "true"))

    @property
    def masquerade(self) -> bool:
        """Whether its packets to elsewhere get the host's address."""
        return is_true(self.options.get(MASQUERADE, "true"))

    @property
    def unprotected(self) -> tuple[int, ...]:
        """The families (4, 6) by which every port of its containers is reached, published or not."""
        return tuple(version for version, name in GATEWAY_MODES.items() if self.options.get(name) == UNPROTECTED)

    @property
    def mtu(self) -> int:
        """The greatest packet."""
        return int(self.options.get(MTU) or DEFAULT_MTU)


_decoder: Final = msgspec.json.Decoder(NetworkRecord)
_encoder: Final = msgspec.json.Encoder()


def is_true(text: str) -> bool:
    """A boolean as Go's strconv reads it."""
    return text in TRUE


def is_boolean(text: str) -> bool:
    """Whether Go's strconv takes it for a boolean."""
    return text in TRUE or text in FALSE


def encode(record: NetworkRecord) -> bytes:
    """A record as it is stored."""
    return _encoder.encode(record)


def decode(stored: bytes) -> NetworkRecord:
    """A record as it was stored, by this version or another. Raises msgspec.MsgspecError."""
    return _decoder.decode(stored)
