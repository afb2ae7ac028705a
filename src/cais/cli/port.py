"""`cais port`: where the ports of a container are published."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.container_rows import host_and_port
from cais.cli.output import out
from cais.cli.units import natural
from cais.client import containers
from cais.gotext import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import PortBinding

_HIGHEST = 65535


def _port(call: Invocation) -> int:
    container, *wanted = call.arguments
    published = containers.detail(call.engine, container)["NetworkSettings"].get("Ports") or {}
    if not wanted:
        pairs = [(port, binding) for port, bindings in published.items() for binding in bindings or []]
        lines = [f"{port} -> {_address(binding)}" for port, binding in pairs]
    else:
        bindings = published.get(_port_and_protocol(wanted[0])) or []
        if not bindings:
            raise CommandError(f"Error: No public port '{wanted[0]}' published for {container}")
        lines = [_address(binding) for binding in bindings]
    for line in sorted(lines, key=natural):
        out(line)
    return 0


def _port_and_protocol(text: str) -> str:
    port, _, protocol = text.partition("/")
    wrong = ""
    if not (port.isascii() and port.isdigit()):
        wrong = "invalid syntax"
    elif int(port) > _HIGHEST:
        wrong = "value out of range"
    if wrong:
        raise CommandError(f"Error: invalid port ({port}): strconv.ParseUint: parsing {go_quote(port)}: {wrong}")
    return f"{port}/{protocol or 'tcp'}"


def _address(binding: PortBinding) -> str:
    return host_and_port(binding.get("HostIp", ""), binding.get("HostPort", ""))


PORT = Command("CONTAINER [PRIVATE_PORT[/PROTO]]", "container port, port", (), _port, 1, 2, completes="container")
