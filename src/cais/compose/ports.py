"""The short form of a published port: [[IP:]HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL]."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.compose.document import Tree

_PROTOCOLS = {"tcp", "udp", "sctp"}


def parse(text: str) -> list[Tree]:
    """The long form: one entry for each port of the container. Raises ValueError."""
    rest, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    address, host, container = _split(rest)
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    first, last = _range(container, "containerPort")
    host_first, host_last = _range(host, "hostPort") if host else (0, 0)
    if host and last - first != host_last - host_first and last != first:
        raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
    if address:
        from ipaddress import ip_address  # noqa: PLC0415 -- few ports have one

        try:
            ip_address(address)
        except ValueError:
            raise ValueError(f"invalid IP address: {address}") from None
    entries = []
    for port in sorted(range(first, last + 1), key=lambda port: f"{port}/{protocol}"):
        entry: Tree = {"mode": "ingress", "target": port, "protocol": protocol}
        if address:
            entry["host_ip"] = address
        if host:
            many_hosts = last == first and host_first != host_last
            entry["published"] = host if many_hosts else str(host_first + port - first)
        entries.append(entry)
    return entries


def _split(text: str) -> tuple[str, str, str]:
    """The address, the port of the host and that of the container."""
    if text.startswith("["):
        address, separator, rest = text[1:].partition("]")
        if not separator or (rest and not rest.startswith(":")):
            raise ValueError(f"invalid IP address: {text}")
        host, _, container = rest[1:].rpartition(":")
        return address, host, container
    before, _, container = text.rpartition(":")
    address, _, host = before.rpartition(":")
    return address, host, container


def _range(text: str, what: str) -> tuple[int, int]:
    first, separator, last = text.partition("-")
    if not first.isdigit() or (separator and not last.isdigit()):
        raise ValueError(f"invalid {what}: {text}")
    low, high = int(first), int(last) if separator else int(first)
    if high < low or high > 65535:
        raise ValueError(f"invalid {what}: {text}")
    return low, high
