"""`cais container prune`, `image prune`, `volume prune`, `network prune` and `system prune`."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import switch, text_list
from cais.cli.output import STDIN, out
from cais.cli.units import human_size
from cais.cli.values import parse_filter
from cais.client import system
from cais.client.errors import EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import Pruned

_NOT_IMPLEMENTED = 501
_QUESTION = "Are you sure you want to continue? [y/N] "


def confirmed(warning: str) -> bool:
    """Ask the user, who may also be a script."""
    out(f"{warning}\n{_QUESTION}", end="")
    typed = b""
    while not typed.endswith(b"\n") and (byte := os.read(STDIN, 1)):
        typed += byte
    return typed.strip().lower() == b"y"


def _prune_containers(call: Invocation) -> int:
    if not call.flags.on("force") and not confirmed("WARNING! This will remove all stopped containers."):
        return 0
    pruned = system.prune(call.engine, "containers", call.flags.filters())
    _tell(removed_of(pruned), pruned.get("SpaceReclaimed", 0))
    return 0


def _prune_images(call: Invocation) -> int:
    given = call.flags
    which = "images without at least one container associated to them" if given.on("all") else "dangling images"
    if not given.on("force") and not confirmed(f"WARNING! This will remove all {which}."):
        return 0
    dangling = "false" if given.on("all") else "true"
    pruned = system.prune(call.engine, "images", {**given.filters(), "dangling": [dangling]})
    _tell(removed_of(pruned), pruned.get("SpaceReclaimed", 0))
    return 0


def _prune_volumes(call: Invocation) -> int:
    given = call.flags
    filters = given.filters()
    which = "anonymous local volumes"
    if given.on("all"):
        if "all" in filters:
            raise CommandError("conflicting options: cannot specify both --all and --filter all=1")
        filters["all"] = ["true"]
        which = "all local volumes"
    warning = f"WARNING! This will remove {which} not used by at least one container."
    if not given.on("force") and not confirmed(warning):
        return 0
    pruned = system.prune(call.engine, "volumes", filters)
    _tell(removed_of(pruned), pruned.get("SpaceReclaimed", 0))
    return 0


def _prune_networks(call: Invocation) -> int:
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not call.flags.on("force") and not confirmed(warning):
        return 0
    out(removed_of(system.prune(call.engine, "networks", call.flags.filters())), end="")
    return 0


def removed_of(pruned: Pruned) -> str:
    """What was removed, a paragraph a kind."""
    paragraphs = [
        _paragraph("Deleted Containers:", pruned.get("ContainersDeleted")),
        _paragraph("Deleted Networks:", pruned.get("NetworksDeleted")),
        _paragraph("Deleted Volumes:", pruned.get("VolumesDeleted")),
        _paragraph(
            "Deleted Images:",
            [
                f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item.get('Deleted', '')}"
                for item in pruned.get("ImagesDeleted") or []
            ],
        ),
        _paragraph("Deleted build cache objects:", pruned.get("CachesDeleted")),
    ]
    return "".join(paragraphs)


def _paragraph(title: str, lines: list[str] | None) -> str:
    return "\n".join([title, *lines, "", ""]) if lines else ""


def _tell(removed: str, space_bytes: int) -> None:
    out(f"{removed}Total reclaimed space: {human_size(space_bytes, 4)}")


def _warning(call: Invocation) -> str:
    everything, volumes = call.flags.on("all"), call.flags.on("volumes")
    lines = ["all stopped containers", "all networks not used by at least one container"]
    if volumes:
        lines.append("all anonymous volumes not used by at least one container")
    lines.append(
        "all images without at least one container associated to them" if everything else "all dangling images"
    )
    lines.append("all build cache" if everything else "unused build cache")
    text = "WARNING! This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    filters = call.flags.texts("filter")
    if filters:
        text += "\n  Items to be pruned will be filtered with:\n" + "".join(f"  - {item}\n" for item in sorted(filters))
    return text


def _prune_all(call: Invocation) -> int:
    given = call.flags
    filters = given.filters()
    if given.on("volumes") and "until" in filters:
        raise CommandError('ERROR: The "until" filter is not supported with "--volumes"')
    if not given.on("force") and not confirmed(_warning(call)):
        return 0
    dangling = "false" if given.on("all") else "true"
    asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = [
        ("containers", filters, {}),
        ("networks", filters, {}),
        *([("volumes", filters, {})] if given.on("volumes") else []),
        ("images", {**filters, "dangling": [dangling]}, {}),
        ("build", {name: values for name, values in filters.items() if name == "until"}, _build_options(call)),
    ]
    space_bytes = 0
    for kind, kept, options in asked:
        try:
            pruned = system.prune(call.engine, kind, kept, **options)
        except EngineError as error:
            if error.status == _NOT_IMPLEMENTED:  # an engine without that kind has nothing of it to remove
                continue
            raise
        out(removed_of(pruned), end="")
        space_bytes += pruned.get("SpaceReclaimed", 0)
    _tell("", space_bytes)
    return 0


def _build_options(call: Invocation) -> dict[str, str]:
    return {"all": "1"} if call.flags.on("all") else {}


_FORCE = switch("force", "Do not prompt for confirmation", "f")
_FILTER = text_list("filter", 'Provide filter values (e.g. "until=<timestamp>")', "", parse_filter, "filter")
PRUNE_CONTAINERS = Command("[OPTIONS]", "", (_FILTER, _FORCE), _prune_containers, 0, 0)
PRUNE_IMAGES = Command(
    "[OPTIONS]",
    "",
    (switch("all", "Remove all unused images, not just dangling ones", "a"), _FILTER, _FORCE),
    _prune_images,
    0,
    0,
)
PRUNE_VOLUMES = Command(
    "[OPTIONS]",
    "",
    (
        switch("all", "Remove all unused volumes, not just anonymous ones", "a"),
        text_list("filter", 'Provide filter values (e.g. "label=<label>")', "", parse_filter, "filter"),
        _FORCE,
    ),
    _prune_volumes,
    0,
    0,
)
PRUNE_NETWORKS = Command("[OPTIONS]", "", (_FILTER, _FORCE), _prune_networks, 0, 0)
PRUNE_ALL = Command(
    "[OPTIONS]",
    "",
    (
        switch("all", "Remove all unused images not just dangling ones", "a"),
        text_list("filter", 'Provide filter values (e.g. "label=<key>=<value>")', "", parse_filter, "filter"),
        _FORCE,
        switch("volumes", "Prune anonymous volumes"),
    ),
    _prune_all,
    0,
    0,
)
