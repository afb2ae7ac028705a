"""`cais compose ps`, `ls`, `images`, `volumes`, `port` and `version`: what there is."""

from __future__ import annotations

import cais
from cais.cli.command import Command, CommandError
from cais.cli.compose.call import for_compose
from cais.cli.container_rows import COLUMNS as CONTAINER_COLUMNS
from cais.cli.container_rows import displayed_ports, fields
from cais.cli.flags import TABLE_FORMAT, Flag, filter_flag, number, switch, text_list
from cais.cli.formats import Columns, table
from cais.cli.output import out
from cais.cli.units import age, human_size, short_id
from cais.client.codec import dumps_readable
from cais.client.engine import filters_text
from cais.client.http import quote
from cais.compose import labels
from cais.compose.errors import ComposeError
from cais.compose.observed import EXCLUDED, INCLUDED, Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cais.cli.compose.call import Call
    from cais.cli.formats import Row
    from cais.client.model import ContainerSummary
    from cais.compose.document import Tree

_LIVE = {"running", "paused", "restarting"}
_PS_COLUMNS = Columns(
    "formatter.ContainerContext",
    {
        **CONTAINER_COLUMNS.titles,
        "Name": "NAME",
        "Service": "SERVICE",
        "Project": "PROJECT",
    },
    ("Name", "Image", "Command", "Service", "RunningFor", "Status", "Ports"),
)


def _ps(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    states = _wanted_states(call)
    everything = given.on("all") or bool(states)
    found = call.containers(name, call.arguments, stopped=everything, one_off=INCLUDED if given.on("all") else EXCLUDED)
    if project is not None and not given.on("orphans"):
        found = [one for one in found if one.service in project.services]
    if states:
        found = [one for one in found if one.state in states]
    found.sort(key=lambda one: one.name)
    if given.on("quiet"):
        for one in found:
            out(one.identity)
        return 0
    if given.on("services"):
        for service in dict.fromkeys(one.service for one in found):
            out(service)
        return 0
    template = given.text("format")
    rows = [_container_row(call, one, whole=given.on("no-trunc")) for one in found]
    out(_PS_COLUMNS.render(template, rows), end="", template=template)
    return 0


def _wanted_states(call: Call) -> list[str]:
    states = call.flags.texts("status")
    for item in call.flags.texts("filter"):
        key, separator, value = item.partition("=")
        if not separator:
            raise CommandError("arguments to --filter should be in form KEY=VAL")
        if key != "status":
            raise CommandError(f"unknown filter {key}")
        states = [*states, value]
    return states


def _container_row(call: Call, container: Container, *, whole: bool) -> Row:
    summary: ContainerSummary = container.summary  # type: ignore[assignment]
    row = dict(fields(summary, whole=whole))
    status = container.summary.get("Status", "")
    health = next((word for word in ("unhealthy", "healthy", "starting") if word in status), "")
    code = 0
    if status.startswith("Exited ("):
        code = int(status.removeprefix("Exited (").partition(")")[0])
    row.update(
        {
            "Name": container.name,
            "Service": container.service,
            "Engine": "",
            "Project": container.labels.get(labels.PROJECT, ""),
            "ExitCode": code,
            "Health": health,
            "Publishers": _publishers(container.summary.get("Ports") or []),
            "Ports": lambda: displayed_ports(container.summary.get("Ports") or []),
        }
    )
    row.pop("Platform", None)
    return row


def _publishers(ports: Iterable[Tree]) -> list[Tree]:
    found = [
        {
            "URL": port.get("IP", ""),
            "TargetPort": port.get("PrivatePort", 0),
            "PublishedPort": port.get("PublicPort", 0),
            "Protocol": port.get("Type", ""),
        }
        for port in ports
    ]
    return sorted(found, key=lambda one: (one["TargetPort"], one["PublishedPort"], one["URL"]))


def _ls(call: Call) -> int:
    given = call.flags
    query = {"all": "1", "filters": filters_text({"label": [labels.PROJECT]})}
    found = [Container(summary) for summary in call.engines.get("/containers/json", query)]
    projects: dict[str, list[Container]] = {}
    for one in found:
        projects.setdefault(one.labels.get(labels.PROJECT, ""), []).append(one)
    rows = []
    names = [_part_of_name(item) for item in given.texts("filter")]
    for name in sorted(projects):
        running = [one for one in projects[name] if one.state in _LIVE]
        shown = projects[name] if given.on("all") else running
        if shown and all(part in name for part in names):
            files = list(dict.fromkeys(one.labels.get(labels.FILES, "N/A") for one in projects[name]))
            rows.append({"Name": name, "Status": _combined_status(shown), "ConfigFiles": ",".join(files)})
    if given.on("quiet"):
        for row in rows:
            out(row["Name"])
    elif given.text("format") == "json":
        out(dumps_readable(rows))
    else:
        out(table([["NAME", "STATUS", "CONFIG FILES"], *([*row.values()] for row in rows)], 20))
    return 0


def _part_of_name(item: str) -> str:
    key, _, value = item.partition("=")
    if key != "name":
        raise CommandError(f"invalid filter '{key}'")
    return value


def _combined_status(found: list[Container]) -> str:
    counts: dict[str, int] = {}
    for one in found:
        counts[one.state] = counts.get(one.state, 0) + 1
    return ", ".join(f"{state}({counts[state]})" for state in sorted(counts))


def _images(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    found = call.containers(name, call.arguments)
    if given.on("quiet"):
        for identity in dict.fromkeys(one.summary["ImageID"] for one in found):
            out(identity.removeprefix("sha256:"))
        return 0
    rows = [_image_row(call, one) for one in sorted(found, key=lambda one: one.name)]
    if given.text("format") == "json":
        out(dumps_readable(rows))
        return 0
    titles = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]
    lines = [
        [
            row["ContainerName"],
            row["Repository"] or "<none>",
            row["Tag"] or "<none>",
            row["Platform"],
            short_id(row["ID"]),
            human_size(row["Size"]),
            row["Age"],
        ]
        for row in rows
    ]
    out(table([titles, *lines], 20))
    return 0


def _image_row(call: Call, container: Container) -> Tree:
    from cais.compose.times import seconds_of  # noqa: PLC0415

    image = call.engines.get(f"/images/{quote(container.summary['ImageID'])}/json")
    names = image.get("RepoTags") or []
    own = container.summary.get("Image", "")
    chosen = next((name for name in names if name in {own, f"{own}:latest"}), names[0] if names else "")
    repository, _, tag = chosen.rpartition(":")
    platform = "/".join(image[key] for key in ("Os", "Architecture", "Variant") if image.get(key))
    row = {
        "ID": image["Id"],
        "ContainerName": container.name,
        "Repository": repository,
        "Tag": tag,
        "Platform": platform,
        "Size": image["Size"],
        "Created": image["Created"],
        "LastTagTime": (image.get("Metadata") or {}).get("LastTagTime", "0001-01-01T00:00:00Z"),
    }
    if call.flags.text("format") != "json":
        row["Age"] = age(seconds_of(image["Created"]))
    return row


def _volumes(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    used: set[str] | None = None
    if call.arguments:
        mounts = [mount for one in call.containers(name, call.arguments) for mount in one.mounts]
        used = {mount.get("Name") for mount in mounts if mount.get("Type") == "volume"}
    query = {"filters": filters_text({"label": [f"{labels.PROJECT}={name}"]})}
    found = call.engines.get("/volumes", query).get("Volumes") or []
    chosen = [volume for volume in found if used is None or volume["Name"] in used]
    if given.on("quiet"):
        for volume in chosen:
            out(volume["Name"])
        return 0
    rows = [_volume_row(volume) for volume in chosen]
    out(_VOLUME_COLUMNS.render(given.text("format"), rows), end="", template=given.text("format"))
    return 0


_VOLUME_COLUMNS = Columns(
    "formatter.volumeContext",
    {
        "Availability": "AVAILABILITY",
        "Driver": "DRIVER",
        "Group": "GROUP",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Mountpoint": "MOUNTPOINT",
        "Name": "VOLUME NAME",
        "Scope": "SCOPE",
        "Size": "SIZE",
        "Status": "STATUS",
    },
    ("Driver", "Name"),
)


def _volume_row(volume: Tree) -> Row:
    known = ",".join(sorted(f"{name}={value}" for name, value in (volume.get("Labels") or {}).items()))
    absent = dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A")
    own = {key: volume.get(key, "") for key in ("Driver", "Mountpoint", "Name", "Scope")}
    return {**absent, **own, "Labels": known}


def _port(call: Call) -> int:
    service, *wanted = call.arguments
    if wanted and not wanted[0].isdigit():
        raise CommandError(f'invalid port "{wanted[0]}"')
    found = call.one_container(service, call.flags.number("index"))
    listed = _publishers(found.summary.get("Ports") or ())
    if not wanted:
        for port in listed:
            out(f"{_inner(port)} -> {_outer(port)}")
        return 0
    chosen = f"{wanted[0]}/{call.flags.text('protocol').lower()}"
    for port in listed:
        if _inner(port) == chosen:
            out(_outer(port))
            return 0
    known = ", ".join(_inner(port) for port in listed)
    raise ComposeError(f"no port {chosen} for container {found.name}" + (f": {known}" if known else ""))


def _inner(port: Tree) -> str:
    return f"{port['TargetPort']}/{port['Protocol']}"


def _outer(port: Tree) -> str:
    address = port["URL"]
    return f"[{address}]:{port['PublishedPort']}" if ":" in address else f"{address}:{port['PublishedPort']}"


def _version(call: Call) -> int:
    given = call.flags.given
    if "short" in given and call.flags.on("short"):
        out(cais.__version__)
    elif "format" in given and call.flags.text("format") == "json":
        out(dumps_readable({"version": f"v{cais.__version__}", "compatible": f"v{labels.VERSION}"}))
    else:
        out(f"Cais Compose version v{cais.__version__} (as Docker Compose v{labels.VERSION})")
    return 0


_FORMAT = Flag("format", "Format the output. Values: [table | json]", default="table", default_text='(default "table")')
PS = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("all", "Show all stopped containers (including those created by the run command)", "a"),
        text_list("filter", "Filter services by a property (supported filters: status)", kind="string"),
        TABLE_FORMAT,
        switch("no-trunc", "Don't truncate output"),
        switch("orphans", "Include orphaned services (not declared by project)", default=True),
        switch("quiet", "Only display IDs", "q"),
        switch("services", "Display services"),
        text_list("status", "Filter services by status.", kind="stringArray"),
    ),
    for_compose(_ps),
)
LS = Command(
    "[OPTIONS]",
    "",
    (
        switch("all", "Show all stopped Compose projects", "a"),
        filter_flag(),
        _FORMAT,
        switch("quiet", "Only display project names", "q"),
    ),
    for_compose(_ls),
    0,
    0,
)
IMAGES = Command(
    "[OPTIONS] [SERVICE...]", "", (_FORMAT, switch("quiet", "Only display IDs", "q")), for_compose(_images)
)
VOLUMES = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (TABLE_FORMAT, switch("quiet", "Only display volume names", "q")),
    for_compose(_volumes),
)
PORT = Command(
    "[OPTIONS] SERVICE [PRIVATE_PORT]",
    "",
    (
        number("index", "Index of the container if service has multiple replicas"),
        Flag("protocol", "tcp or udp", default="tcp", default_text='(default "tcp")'),
    ),
    for_compose(_port),
    1,
    2,
)
VERSION = Command(
    "[OPTIONS]",
    "",
    (
        Flag("format", "Format the output. Values: [pretty | json]. (Default: pretty)", "f"),
        switch("short", "Shows only Compose's version number"),
    ),
    for_compose(_version),
    0,
    0,
)
