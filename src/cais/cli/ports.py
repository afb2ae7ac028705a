"""The values of --publish and --expose: [[IP:][HOSTPORTS]:]PORTS[/PROTOCOL], where PORTS is a port or a range."""

from __future__ import annotations

from cais.cli.values import parse_address, parse_uint16
from cais.gotext import go_quote

Exposed = dict[str, dict[str, str]]
Bindings = dict[str, list[dict[str, str]]]

_PROTOCOLS = frozenset(["tcp", "udp", "sctp"])


def published(specs: list[str]) -> tuple[Exposed, Bindings]:
    """The ports that are exposed and where each is published. Raises ValueError."""
    exposed: Exposed = {}
    bindings: Bindings = {}
    for spec in specs:
        for port, binding in _bindings(_plain(spec)):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return exposed, bindings


def _plain(spec: str) -> str:
    """The short form of target=PORT,published=PORT,protocol=NAME."""
    if "=" not in spec:
        return spec
    parameters = {"protocol": "tcp"}
    for parameter in spec.split(","):
        name, separator, value = parameter.partition("=")
        if not separator:
            raise ValueError(f"invalid publish opts format (should be name=value but got '{parameter}')")
        parameters[name] = value.partition("=")[0]
    return f"{parameters.get('published', '')}:{parameters.get('target', '')}/{parameters['protocol']}"


def _bindings(spec: str) -> list[tuple[str, dict[str, str]]]:
    address, host_ports, ports = _three_parts(spec)
    ports, *more = ports.split("/")
    if not ports:
        raise ValueError(f"no port specified: {spec}<empty>")
    try:
        first, last = _range(ports)
    except ValueError:
        raise ValueError(f"invalid containerPort: {ports}") from None
    host_first, host_last = 0, 0
    if host_ports:
        try:
            host_first, host_last = _range(host_ports)
        except ValueError:
            raise ValueError(f"invalid hostPort: {host_ports}") from None
        if host_last - host_first != last - first and last != first:
            raise ValueError(f"invalid ranges specified for container and host Ports: {ports} and {host_ports}")
    protocol = _protocol(more)
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    made = []
    for offset in range(last - first + 1):
        host_port = str(host_first + offset) if host_ports else ""
        if host_ports and last == first and host_last != host_first:
            host_port = f"{host_first}-{host_last}"  # any one of these
        made.append((f"{first + offset}/{protocol}", {"HostIp": address, "HostPort": host_port}))
    return made


def _protocol(parts: list[str]) -> str:
    """The one behind a port, "tcp" where there is none; what is behind it in turn does not count."""
    return parts[0].lower() if parts and parts[0] else "tcp"


def _three_parts(spec: str) -> tuple[str, str, str]:
    """Address, ports of the host, ports of the container; the first two may be empty."""
    head, separator, ports = spec.rpartition(":")
    if not separator:
        return "", "", ports
    address, separator, host_ports = head.rpartition(":")
    if not separator or not address:
        return "", host_ports, ports
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        return parse_address(bare), host_ports, ports
    except ValueError:
        raise ValueError(f"invalid IP address: {bare}") from None


def _range(text: str) -> tuple[int, int]:
    """The ends of "80" or "80-90"."""
    if not text:
        raise ValueError("empty string specified for ports")
    first_text, dash, last_text = text.partition("-")
    first = parse_uint16(first_text)
    last = parse_uint16(last_text) if dash else first
    if last < first:
        raise ValueError(f"invalid range specified for port: {text}")
    return first, last


def exposed(specs: list[str]) -> Exposed:
    """The ports that --expose names. Raises ValueError."""
    found: Exposed = {}
    for spec in specs:
        if ":" in spec:
            raise ValueError(f"invalid port format for --expose: {spec}")
        ports, *more = spec.split("/")
        protocol = _protocol(more)
        try:
            first, last = _range(ports)
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {spec}, error: {error}") from None
        if protocol not in _PROTOCOLS:
            raise ValueError(f"invalid range format for --expose: {spec}, error: unknown protocol {go_quote(protocol)}")
        found.update({f"{port}/{protocol}": {} for port in range(first, last + 1)})
    return found
