"""What the lists of containers show of one: the fields of `ps` and of `system df`."""

from __future__ import annotations

from cais.cli.formats import Columns, Labelled
from cais.cli.units import age, ellipsis, human_size, local_time, short_id
from cais.gotext import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.formats import Row
    from cais.client.model import ContainerSummary, Port

_COMMAND_COLUMNS = 20
_MOUNT_COLUMNS = 15

_RAW = """container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""
COLUMNS = Columns(
    "formatter.ContainerContext",
    {
        "ID": "CONTAINER ID",
        "Names": "NAMES",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED",
        "Ports": "PORTS",
        "State": "STATE",
        "Status": "STATUS",
        "Size": "SIZE",
        "Labels": "LABELS",
        "Mounts": "MOUNTS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Networks": "NETWORKS",
        "Platform": "PLATFORM",
    },
    ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"),
    _RAW,
)
RAW_WITH_SIZE = f"{_RAW}size: {{{{.Size}}}}\n"


def fields(container: ContainerSummary, *, whole: bool) -> Row:
    """What is shown of a container, under the names that templates use. `whole`: nothing is shortened."""

    def later(show: Callable[[ContainerSummary, bool], str]) -> Callable[[], str]:
        return lambda: show(container, whole)

    return {
        "Command": later(_command),
        "CreatedAt": lambda: local_time(container.get("Created", 0)),
        "ID": container["Id"] if whole else short_id(container["Id"]),
        "Image": later(_image),
        "Label": Labelled(container.get("Labels") or {}),
        "Labels": lambda: _labels(container),
        "LocalVolumes": lambda: _local_volumes(container),
        "Mounts": later(_mounts),
        "Names": later(_names),
        "Networks": lambda: _networks(container),
        "Platform": None,
        "Ports": lambda: displayed_ports(container.get("Ports") or []),
        "RunningFor": lambda: age(container.get("Created", 0)),
        "Size": lambda: _size(container),
        "State": container.get("State", ""),
        "Status": container.get("Status", ""),
    }


def _command(container: ContainerSummary, whole: bool) -> str:
    command = container.get("Command", "")
    return go_quote(command if whole else ellipsis(command, _COMMAND_COLUMNS))


def _labels(container: ContainerSummary) -> str:
    return ",".join(sorted(f"{name}={value}" for name, value in (container.get("Labels") or {}).items()))


def _local_volumes(container: ContainerSummary) -> str:
    return str(sum(mount.get("Driver") == "local" for mount in container.get("Mounts") or []))


def _mounts(container: ContainerSummary, whole: bool) -> str:
    sources = [mount.get("Name") or mount.get("Source", "") for mount in container.get("Mounts") or []]
    return ",".join(source if whole else ellipsis(source, _MOUNT_COLUMNS) for source in sources)


def _names(container: ContainerSummary, whole: bool) -> str:
    """All names, or the container's own: those of links have a slash inside."""
    bare = [name.removeprefix("/") for name in container.get("Names") or []]
    return ",".join(bare) if whole else next((name for name in bare if "/" not in name), "")


def _networks(container: ContainerSummary) -> str:
    return ",".join((container.get("NetworkSettings") or {}).get("Networks") or {})


def _image(container: ContainerSummary, whole: bool) -> str:
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


def host_and_port(host: str, port: str) -> str:
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
            mapped.append(f"{host_and_port(address, str(port.get('PublicPort', 0)))}->{private}/{protocol}")
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
    return f"{host_and_port(address, text)}->{text}/{protocol}" if address else f"{text}/{protocol}"
