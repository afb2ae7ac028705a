"""`cais network ls`, `rm`, `connect` and `disconnect`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import TABLE_FORMAT, Flag, number, strings, switch, text_list
from cais.cli.formats import Columns, Labelled
from cais.cli.output import err, out
from cais.cli.times import go_date
from cais.cli.units import natural, short_id
from cais.cli.values import parse_filter, parse_link
from cais.client import networks
from cais.client.errors import EngineError
from cais.errors import CaisError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import Endpoint, NetworkSummary

_COLUMNS = Columns(
    "network.networkContext",
    {
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
    },
    ("ID", "Name", "Driver", "Scope"),
    "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
)


def _ls(call: Invocation) -> int:
    given = call.flags
    quiet, whole = given.on("quiet"), given.on("no-trunc")
    template = given.text("format") or ("" if quiet else call.settings.text("networksFormat"))
    found = sorted(networks.summaries(call.engine, given.filters()), key=lambda network: natural(network["Name"]))
    rows = [_fields(network, whole=whole) for network in found]
    if quiet and template in {"", "table"}:
        for row in rows:
            out(str(row["ID"]))
        return 0
    shown_as = "network_id: {{.ID}}" if quiet and template == "raw" else template
    out(_COLUMNS.render(shown_as, rows), end="", template=template)
    return 0


def _fields(network: NetworkSummary, *, whole: bool) -> Row:
    labels = network.get("Labels") or {}
    return {
        "CreatedAt": go_date(network.get("Created", "")),
        "Driver": network.get("Driver", ""),
        "ID": network["Id"] if whole else short_id(network["Id"]),
        "IPv4": _word(network.get("EnableIPv4", False)),
        "IPv6": _word(network.get("EnableIPv6", False)),
        "Internal": _word(network.get("Internal", False)),
        "Label": Labelled(labels),
        "Labels": ",".join(f"{name}={value}" for name, value in labels.items()),
        "Name": network["Name"],
        "Scope": network.get("Scope", ""),
    }


def _word(yes: bool) -> str:
    return "true" if yes else "false"


def _rm(call: Invocation) -> int:
    failed = False
    for network in call.arguments:
        try:
            networks.remove(call.engine, network)
        except CaisError as error:
            if call.flags.on("force") and isinstance(error, EngineError) and error.status == 404:
                continue
            err(str(error))
            failed = True
        else:
            out(network)
    if failed:
        raise CommandError("exit status 1")
    return 0


def _connect(call: Invocation) -> int:
    network, container = call.arguments
    networks.connect(call.engine, network, container, _endpoint(call))
    return 0


def _endpoint(call: Invocation) -> Endpoint:
    given = call.flags
    addresses = {
        "IPv4Address": given.text("ip"),
        "IPv6Address": given.text("ip6"),
        "LinkLocalIPs": given.texts("link-local-ip"),
    }
    endpoint: Endpoint = {
        "IPAMConfig": {name: value for name, value in addresses.items() if value},
        "Links": given.texts("link"),
        "Aliases": given.texts("alias"),
        "DriverOpts": dict(map(_driver_option, given.texts("driver-opt"))),
        "GwPriority": given.number("gw-priority"),
    }
    return {name: value for name, value in endpoint.items() if value}


def _driver_option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise CommandError("invalid key/value pair format in driver options")
    return name.strip(), value.strip()


def _disconnect(call: Invocation) -> int:
    network, container = call.arguments
    networks.disconnect(call.engine, network, container, force=call.flags.on("force"))
    return 0


LS = Command(
    "[OPTIONS]",
    "network ls, network list",
    (
        text_list("filter", 'Provide filter values (e.g. "driver=bridge")', "f", parse_filter, "filter"),
        TABLE_FORMAT,
        switch("no-trunc", "Do not truncate the output"),
        switch("quiet", "Only display network IDs", "q"),
    ),
    _ls,
    0,
    0,
)
RM = Command(
    "NETWORK [NETWORK...]",
    "network rm, network remove",
    (switch("force", "Do not error if the network does not exist", "f"),),
    _rm,
    1,
    completes="network",
)
CONNECT = Command(
    "[OPTIONS] NETWORK CONTAINER",
    "",
    (
        strings("alias", "Add network-scoped alias for the container"),
        strings("driver-opt", "driver options for the network"),
        number(
            "gw-priority",
            "Highest gw-priority provides the default gateway. Accepts positive and negative values.",
        ),
        Flag("ip", 'IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", 'IPv6 address (e.g., "2001:db8::33")'),
        text_list("link", "Add link to another container", "", parse_link),
        strings("link-local-ip", "Add a link-local address for the container"),
    ),
    _connect,
    2,
    2,
    completes="network container",
)
DISCONNECT = Command(
    "[OPTIONS] NETWORK CONTAINER",
    "",
    (switch("force", "Force the container to disconnect from a network", "f"),),
    _disconnect,
    2,
    2,
    completes="network container",
)
