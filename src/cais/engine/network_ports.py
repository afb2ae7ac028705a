"""The ports of a container: which are published where, and how the API shows them."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any, Final

from cais.engine.models import ContainerConfig, HostConfig, PublishedPort, Record
from cais.engine.text import printable
from cais.errors import InvalidArgument
from cais.network.ports import Published, Wanted

_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_HOST_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_LAST: Final = 65535


def check(hc: HostConfig) -> None:
    """Raises InvalidArgument, in Docker's words, for a port or an address that makes no sense."""
    for port, bindings in (hc.PortBindings or {}).items():
        numbers(port)
        for binding in bindings:
            _host_range(binding.get("HostPort") or "")
            address = binding.get("HostIp") or ""
            try:
                ip_address(address or "::")
            except ValueError:
                raise InvalidArgument(f"invalid IP address: {printable(address)}") from None


def numbers(port: str) -> tuple[range, str]:
    """`80/tcp`, `80`, `80-90/udp` as the ports and the protocol. Raises InvalidArgument."""
    match = _PORT.fullmatch(port)
    if match is None:
        raise InvalidArgument(f"invalid port specification: {printable(port)}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last <= _LAST:
        raise InvalidArgument(f"invalid port specification: {printable(port)}")
    return range(first, last + 1), (match[3] or "tcp").lower()


def exposed(config: ContainerConfig) -> Iterator[tuple[int, str]]:
    """The ports that image and user name, with their protocols."""
    given = config.ExposedPorts
    for port in given if isinstance(given, dict) else ():
        ports, protocol = numbers(port)
        for number in ports:
            yield number, protocol


def wanted(record: Record, default_host: str = "") -> list[Wanted]:
    """The ports that are to be published when the container starts."""
    found = []
    bound = set()
    for port, bindings in (record.host_config.PortBindings or {}).items():
        ports, protocol = numbers(port)
        for number in ports:
            bound.add((number, protocol))
            for binding in bindings or [{}]:
                first, last = _host_range(binding.get("HostPort") or "")
                host = binding.get("HostIp") or default_host
                found.append(Wanted(protocol, number, host, first, last))
    if record.host_config.PublishAllPorts:
        found += [
            Wanted(protocol, number, default_host)
            for number, protocol in exposed(record.config)
            if (number, protocol) not in bound
        ]
    return sorted(found, key=lambda item: (item.port, item.protocol))


def to_record(published: Iterable[Published]) -> list[PublishedPort]:
    """What is stored of published ports."""
    return [
        PublishedPort(protocol=item.protocol, port=item.port, host=item.host, host_port=item.host_port)
        for item in published
    ]


def from_record(record: Record) -> list[Published]:
    """The published ports of a container, as the network knows them."""
    return [Published(item.protocol, item.port, item.host, item.host_port) for item in record.published]


def settings(record: Record) -> dict[str, Any]:
    """NetworkSettings.Ports of a container that runs on a network of its own."""
    found: dict[str, list[dict[str, str]] | None] = {
        f"{port}/{protocol}": None for port, protocol in exposed(record.config)
    }
    for item in record.published:
        name = f"{item.port}/{item.protocol}"
        entries = found.get(name) or []
        found[name] = [*entries, {"HostIp": item.host, "HostPort": str(item.host_port)}]
    return found


def summary(record: Record) -> list[dict[str, Any]]:
    """The Ports of a container in a list of containers: what is published, and what is only exposed."""
    found: list[dict[str, Any]] = [
        {"IP": item.host, "PrivatePort": item.port, "PublicPort": item.host_port, "Type": item.protocol}
        for item in record.published
    ]
    public = {(item.port, item.protocol) for item in record.published}
    found += [
        {"PrivatePort": port, "Type": protocol}
        for port, protocol in exposed(record.config)
        if (port, protocol) not in public
    ]
    return found


def _host_range(text: str) -> tuple[int, int]:
    """`8080`, `8000-8010` or nothing as the first and the last port; 0 is any. Raises InvalidArgument."""
    if not text or text == "0":
        return 0, 0
    match = _HOST_PORT.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if not 0 < first <= last <= _LAST:
        raise InvalidArgument(f'invalid port specification: "{printable(text)}"')
    return first, last
