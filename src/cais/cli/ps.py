"""`cais ps`: the list of containers."""

from __future__ import annotations

from cais.cli.command import Command, Invocation
from cais.cli.flags import TABLE_FORMAT, filter_flag, number, switch
from cais.cli.formats import json_line, table, wants_json
from cais.cli.output import out
from cais.cli.units import age, ellipsis, go_quote, human_size, local_time, short_id
from cais.client import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import ContainerSummary, Port

_HEADER = ("CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES")
_COMMAND_COLUMNS = 20
_MOUNT_COLUMNS = 15


def _ps(call: Invocation) -> int:
    given = call.flags
    as_json = wants_json(given.text("format"))
    limit = 1 if given.on("latest") else given.number("last")
    found = containers.summaries(
        call.engine,
        everything=given.on("all") or limit > 0,
        limit=limit,
        size=given.on("size"),
        filters=given.filters(),
    )
    whole = given.on("no-trunc")
    if given.on("quiet") and not as_json:
        for container in found:
            out(container["Id"] if whole else short_id(container["Id"]))
    elif as_json:
        for container in found:
            out(json_line(_fields(container, whole=whole)))
    else:
        out(_table(found, whole=whole, size=given.on("size")))
    return 0


def _table(found: list[ContainerSummary], *, whole: bool, size: bool) -> str:
    names = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
    header = list(_HEADER)
    if size:
        names.append("Size")
        header.append("SIZE")
    rows = [header]
    for container in found:
        fields = _fields(container, whole=whole)
        rows.append([str(fields[name]) for name in names])
    return table(rows)


def _fields(container: ContainerSummary, *, whole: bool) -> dict[str, object]:
    """What is shown of a container, under the names that templates use."""
    command = container.get("Command", "")
    created = container.get("Created", 0)
    mounts = container.get("Mounts") or []
    labels = container.get("Labels") or {}
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    sources = [mount.get("Name") or mount.get("Source", "") for mount in mounts]
    return {
        "Command": go_quote(command if whole else ellipsis(command, _COMMAND_COLUMNS)),
        "CreatedAt": local_time(created),
        "ID": container["Id"] if whole else short_id(container["Id"]),
        "Image": _image(container, whole=whole),
        "Labels": ",".join(sorted(f"{name}={value}" for name, value in labels.items())),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in mounts)),
        "Mounts": ",".join(source if whole else ellipsis(source, _MOUNT_COLUMNS) for source in sources),
        "Names": _names(container.get("Names") or [], whole=whole),
        "Networks": ",".join(networks),
        "Platform": None,
        "Ports": displayed_ports(container.get("Ports") or []),
        "RunningFor": age(created),
        "Size": _size(container),
        "State": container.get("State", ""),
        "Status": container.get("Status", ""),
    }


def _names(names: list[str], *, whole: bool) -> str:
    """All names, or the container's own: those of links have a slash inside."""
    bare = [name.removeprefix("/") for name in names]
    return ",".join(bare) if whole else next((name for name in bare if "/" not in name), "")


def _image(container: ContainerSummary, *, whole: bool) -> str:
    image = container.get("Image", "")
    if not image:
        return "<no image>"
    if whole:
        return image
    if short_id(container.get("ImageID", "")) == short_id(image):
        return short_id(image)
    name, separator, _ = image.partition("@")
    return name if separator and name else image


def _size(container: ContainerSummary) -> str:
    own = human_size(container.get("SizeRw", 0))
    whole = container.get("SizeRootFs", 0)
    return f"{own} (virtual {human_size(whole)})" if whole > 0 else own


def _host_and_port(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def displayed_ports(ports: list[Port]) -> str:
    """Published and exposed ports, neighbours joined: 0.0.0.0:8080->80/tcp, 9000-9002/tcp."""
    runs: dict[tuple[str, str], list[int]] = {}  # by address and protocol: the first and last port of the current run
    finished: list[str] = []
    mapped: list[str] = []
    ordered = sorted(
        ports,
        key=lambda port: (
            port.get("PrivatePort", 0),
            ":" in port.get("IP", ""),
            port.get("IP", ""),
            port.get("PublicPort", 0),
            port.get("Type", ""),
        ),
    )
    for port in ordered:
        private, address, protocol = port.get("PrivatePort", 0), port.get("IP", ""), port.get("Type", "")
        if address and port.get("PublicPort", 0) != private:
            mapped.append(f"{_host_and_port(address, str(port.get('PublicPort', 0)))}->{private}/{protocol}")
            continue
        run = runs.get((address, protocol))
        if run is not None and private == run[1] + 1:
            run[1] = private
            continue
        if run is not None:
            finished.append(_run_of_ports(address, protocol, run))
        runs[address, protocol] = [private, private]
    finished += [_run_of_ports(address, protocol, run) for (address, protocol), run in runs.items()]
    return ", ".join(finished + mapped)


def _run_of_ports(address: str, protocol: str, run: list[int]) -> str:
    first, last = run
    text = str(first) if first == last else f"{first}-{last}"
    return f"{_host_and_port(address, text)}->{text}/{protocol}" if address else f"{text}/{protocol}"


PS = Command(
    "[OPTIONS]",
    "container ls, container list, container ps, ps",
    (
        switch("all", "Show all containers (default shows just running)", "a"),
        filter_flag(),
        TABLE_FORMAT,
        number("last", "Show n last created containers (includes all states)", "n", -1),
        switch("latest", "Show the latest created container (includes all states)", "l"),
        switch("no-trunc", "Don't truncate output"),
        switch("quiet", "Only display container IDs", "q"),
        switch("size", "Display total file sizes", "s"),
    ),
    _ps,
    0,
    0,
)
