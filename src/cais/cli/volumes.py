"""`cais volume create`, `ls` and `rm`."""

from __future__ import annotations

from cais.cli import values
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import TABLE_FORMAT, Flag, switch, text_list
from cais.cli.key_values import labels
from cais.cli.output import err, out
from cais.cli.volume_rows import COLUMNS, fields
from cais.client import volumes
from cais.client.errors import EngineError

_NO_CLUSTER = "cluster volumes are not supported by Cais"


def _create(call: Invocation) -> int:
    given = call.flags
    name = call.arguments[0] if call.arguments else ""
    if given.text("name"):
        if name:
            words = "cannot specify a volume name through both --name and as a positional arg"
            raise CommandError(f"conflicting options: {words}")
        name = given.text("name")
    made = volumes.create(call.engine, name, given.text("driver"), given.pairs("opt"), labels([], given.texts("label")))
    out(made["Name"])
    return 0


def _list(call: Invocation) -> int:
    given = call.flags
    if given.on("cluster"):
        raise CommandError(_NO_CLUSTER)
    found = sorted(volumes.select(call.engine, given.filters()), key=lambda volume: _natural(volume.get("Name", "")))
    template = given.text("format") or call.settings.text("volumesFormat")
    if given.on("quiet") and template in {"", "table"}:
        for volume in found:
            out(volume.get("Name", ""))
        return 0
    if template == "raw" and given.on("quiet"):
        template = "name: {{.Name}}"
    out(COLUMNS.render(template, map(fields, found)), end="", template=template)
    return 0


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that puts v2 before v10."""
    parts: list[tuple[int, int, str]] = []
    word = ""
    for char in name:
        if char.isdecimal() != word[-1:].isdecimal() and word:
            parts.append(_part(word))
            word = ""
        word += char
    return [*parts, _part(word)]


def _part(word: str) -> tuple[int, int, str]:
    return (0, int(word), word) if word.isdecimal() else (1, 0, word)


def _remove(call: Invocation) -> int:
    force = call.flags.on("force")
    failed = False
    for name in call.arguments:
        try:
            volumes.remove(call.engine, name, force=force)
        except EngineError as error:
            err(str(error))
            failed = True
            continue
        out(name)
    return int(failed)


CREATE = Command(
    "[OPTIONS] [VOLUME]",
    "",
    (
        Flag("driver", "Specify volume driver name", "d", default="local", default_text='(default "local")'),
        text_list("label", "Set metadata for a volume", "", values.parse_label),
        Flag("name", "Specify volume name", hidden=True),
        Flag(
            "opt",
            "Set driver specific options",
            "o",
            "map",
            str,
            many=True,
            default_text="(default map[])",
        ),
    ),
    _create,
    0,
    1,
)
LIST = Command(
    "[OPTIONS]",
    "volume ls, volume list",
    (
        switch("cluster", "Display only cluster volumes, and use cluster volume list formatting", hidden=True),
        text_list("filter", 'Provide filter values (e.g. "dangling=true")', "f", values.parse_filter, "filter"),
        TABLE_FORMAT,
        switch("quiet", "Only display volume names", "q"),
    ),
    _list,
    0,
    0,
)
REMOVE = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "volume rm, volume remove",
    (switch("force", "Force the removal of one or more volumes", "f"),),
    _remove,
    1,
    completes="volume",
    long_help="Remove one or more volumes. You cannot remove a volume that is in use by a container.",
)
