"""`cais network map`: a picture of networks, the containers on them, their addresses and published ports."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.container_rows import displayed_ports
from cais.cli.flags import FORMAT, switch
from cais.cli.formats import parsed_template
from cais.cli.output import STDOUT, out, printable, terminal_size, write_all
from cais.cli.units import ellipsis, natural
from cais.client import containers, networks
from cais.client.codec import dumps_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypedDict

    from cais.client.model import ContainerSummary, IpamConfig, NetworkSummary, Port

    class Station(TypedDict):
        """A container on a network.

        `Networks` are all that it is on, internal ones last; its ports are published through the first. `SharedBy` are
        the names of containers that have joined its networks.
        """

        Name: str
        Id: str
        State: str
        Addresses: list[str]
        Ports: list[Port]
        Networks: list[str]
        SharedBy: list[str]

    class Line(TypedDict):
        """A network, and who is on it."""

        Name: str
        Id: str
        Driver: str
        Internal: bool
        Ranges: list[IpamConfig]
        Containers: list[Station]

    class Map(TypedDict):
        Networks: list[Line]


_JOINED = "container:"
_WIDE = 1 << 20
_GAP = "   "
_BOLD, _FAINT, _ADDRESS, _PORT, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[32m", "\x1b[0m"


def _map(call: Invocation) -> int:
    template = call.flags.text("format")
    apply = parsed_template(template) if template not in {"", "json"} else None
    found = survey(
        networks.summaries(call.engine, {}),
        containers.summaries(call.engine, everything=call.flags.on("all"), limit=0, size=False, filters={}),
    )
    if call.arguments:
        found = _only(found, call.arguments)
    if template == "json":
        out(dumps_readable(found))
    elif apply is not None:
        from cais.cli.gotemplate.values import held  # noqa: PLC0415 -- only for templates

        out(apply.apply(held(found), strict=True), template=template)
    else:
        size = terminal_size(STDOUT)
        picture = _Picture(_WIDE if call.flags.on("no-trunc") or not size or not size[0] else size[0])
        write_all(STDOUT, "".join(f"{line}\n" for line in picture.lines(found)).encode("utf-8", "replace"))
    return 0


def survey(all_networks: list[NetworkSummary], all_containers: list[ContainerSummary]) -> Map:
    """Who is on which network; both in the order of their names."""
    sharing = _sharing(all_containers)
    internal = {network["Name"] for network in all_networks if network.get("Internal")}
    on_network: dict[str, list[Station]] = {}
    for container in sorted(all_containers, key=lambda container: natural(_name(container))):
        endpoints = (container.get("NetworkSettings") or {}).get("Networks") or {}
        for network, endpoint in endpoints.items():
            addresses = [(endpoint or {}).get("IPAddress", ""), (endpoint or {}).get("GlobalIPv6Address", "")]
            station: Station = {
                "Name": _name(container),
                "Id": container["Id"],
                "State": container.get("State", ""),
                "Addresses": [address for address in addresses if address],
                "Ports": container.get("Ports") or [],
                "Networks": sorted(endpoints, key=lambda name: (name in internal, natural(name))),
                "SharedBy": sharing.get(container["Id"], []),
            }
            on_network.setdefault(network, []).append(station)
    return {
        "Networks": [
            {
                "Name": network["Name"],
                "Id": network["Id"],
                "Driver": network.get("Driver", ""),
                "Internal": network.get("Internal", False),
                "Ranges": (network.get("IPAM") or {}).get("Config") or [],
                "Containers": on_network.get(network["Name"], []),
            }
            for network in sorted(all_networks, key=lambda network: natural(network["Name"]))
        ]
    }


def _sharing(all_containers: list[ContainerSummary]) -> dict[str, list[str]]:
    """By the id of a container: the names of those that have joined its networks."""
    found: dict[str, list[str]] = {}
    for container in all_containers:
        mode = (container.get("HostConfig") or {}).get("NetworkMode", "")
        if mode.startswith(_JOINED):
            found.setdefault(mode.removeprefix(_JOINED), []).append(_name(container))
    return {identifier: sorted(names, key=natural) for identifier, names in found.items()}


def _name(container: ContainerSummary) -> str:
    bare = (name.removeprefix("/") for name in container.get("Names") or [])
    return next((name for name in bare if "/" not in name), container["Id"][:12])


def _only(found: Map, wanted: list[str]) -> Map:
    """The networks with these names, or ids that begin so. Raises CommandError."""
    kept: list[Line] = []
    for text in wanted:
        named = [line for line in found["Networks"] if line["Name"] == text]
        fitting = named or [line for line in found["Networks"] if text and line["Id"].startswith(text)]
        if len(fitting) != 1:
            raise CommandError(f"network {text} not found" if not fitting else f"network {text} is ambiguous")
        kept += fitting
    return {"Networks": kept}


class _Picture:
    """Draws for a width of so many columns, with colours if standard output is a terminal."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._styled = os.isatty(STDOUT) and not os.environ.get("NO_COLOR")

    def lines(self, found: Map) -> Iterator[str]:
        for number, network in enumerate(found["Networks"]):
            if number:
                yield ""
            yield from self._network(network)

    def _network(self, network: Line) -> Iterator[str]:
        kind = [network["Driver"]] if network["Driver"] not in {"", "null", network["Name"]} else []
        kind += ["internal"] if network["Internal"] else []
        about = [" ".join(kind), ", ".join(map(_range_text, network["Ranges"]))]
        yield self._line("▣ ", [(_BOLD, network["Name"]), *(("", text) for text in about if text)])
        stations = network["Containers"]
        names = max((len(station["Name"]) for station in stations), default=0)
        addresses = max((len(", ".join(station["Addresses"])) for station in stations), default=0)
        for station in stations:
            is_last = station is stations[-1]
            mark = "●" if station["State"] == "running" else "○"
            yield self._line(f"{'└' if is_last else '├'}─{mark} ", self._station(network, station, names, addresses))
            for name in station["SharedBy"]:
                yield self._line(f"{' ' if is_last else '│'}    ", [("", f"└ {name}"), (_FAINT, "in the same network")])

    def _station(self, network: Line, station: Station, names: int, addresses: int) -> list[tuple[str, str]]:
        """The parts of a container's line: style and text. Ports are told once, on the first of its networks."""
        address = ", ".join(station["Addresses"])
        parts = [("", station["Name"].ljust(names)), (_ADDRESS, address.ljust(addresses))]
        if station["State"] not in {"", "running"}:
            parts.append((_FAINT, station["State"]))
        if network["Name"] == station["Networks"][0] and station["Ports"]:
            parts.append((_PORT, displayed_ports(station["Ports"])))
        others = [name for name in station["Networks"] if name != network["Name"]]
        if others:
            parts.append((_FAINT, f"also on {', '.join(others)}"))
        return [(style, text) for style, text in parts if text]

    def _line(self, before: str, parts: list[tuple[str, str]]) -> str:
        """One line of the screen, without anything in it that a terminal would obey."""
        plain = [printable(text).replace("\n", " ").replace("\t", " ") for _, text in parts]
        whole = before + _GAP.join(plain).rstrip()
        cut = ellipsis(whole, self._columns)
        if cut != whole or not self._styled:
            return cut
        styled = [f"{style}{text}{_RESET}" if style else text for (style, _), text in zip(parts, plain, strict=True)]
        return before + _GAP.join(styled).rstrip()


def _range_text(one: IpamConfig) -> str:
    gateway = one.get("Gateway", "")
    return one.get("Subnet", "") + (f" by {gateway}" if gateway else "")


MAP = Command(
    "[OPTIONS] [NETWORK...]",
    "",
    (
        switch("all", "Show all containers (default shows just running)", "a"),
        FORMAT,
        switch("no-trunc", "Don't truncate output"),
    ),
    _map,
    completes="network",
    long_help="Draw networks, the containers on them, their addresses and the ports that they publish",
)
