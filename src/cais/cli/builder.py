"""`cais builder prune` and `du`: the build cache."""

from __future__ import annotations

from cais.cli import values
from cais.cli.command import Command, Invocation
from cais.cli.flags import TABLE_FORMAT, Flag, switch, text_list
from cais.cli.formats import Columns
from cais.cli.output import out
from cais.cli.prune import confirmed, removed_of
from cais.cli.times import age_of_date, go_date
from cais.cli.units import human_size
from cais.client import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import BuildCacheRecord

_RECORDS = Columns(
    "formatter.buildCacheContext",
    {"ID": "ID", "Reclaimable": "RECLAIMABLE", "Size": "SIZE", "LastUsedSince": "LAST ACCESSED"},
    ("ID", "Reclaimable", "Size", "LastUsedSince"),
)
_SPACES = {
    "keep-storage": "keep-storage",
    "max-used-space": "max-used-space",
    "min-free-space": "min-free-space",
    "reserved-space": "reserved-space",
}


def _prune(call: Invocation) -> int:
    given = call.flags
    which = "all build cache" if given.on("all") else "all dangling build cache"
    if not given.on("force") and not confirmed(f"WARNING! This will remove {which}."):
        return 0
    options = {"all": "1"} if given.on("all") else {}
    options |= {field: str(given.number(flag)) for flag, field in _SPACES.items() if given.number(flag)}
    pruned = system.prune(call.engine, "build", given.filters(), **options)
    out(f"{removed_of(pruned)}Total reclaimed space: {human_size(pruned.get('SpaceReclaimed', 0), 4)}")
    return 0


def _du(call: Invocation) -> int:
    template = call.flags.text("format")
    records = system.disk_usage(call.engine).get("BuildCache") or []
    records.sort(key=lambda record: (record.get("LastUsedAt") or "", record["ID"]), reverse=True)
    if call.flags.on("verbose"):
        out("".join(map(_described, records)), end="")
    else:
        out(_RECORDS.render(template, [_row(record) for record in records]), end="", template=template)
    if not template:
        out(_totals(records), end="")
    return 0


def _row(record: BuildCacheRecord) -> Row:
    return {
        "ID": record["ID"] + ("*" if record.get("InUse") else ""),
        "Reclaimable": "false" if record.get("InUse") else "true",
        "Size": human_size(record.get("Size", 0)),
        "LastUsedSince": age_of_date(record.get("LastUsedAt") or record.get("CreatedAt", "")),
        "CreatedAt": go_date(record.get("CreatedAt", "")),
        "Description": record.get("Description", ""),
        "Shared": "true" if record.get("Shared") else "false",
        "Type": record.get("Type", ""),
        "UsageCount": str(record.get("UsageCount", 0)),
    }


def _described(record: BuildCacheRecord) -> str:
    row = _row(record)
    fields = {
        "ID": record["ID"],
        "Parents": ", ".join(record.get("Parents") or []),
        "Created at": row["CreatedAt"],
        "Reclaimable": row["Reclaimable"],
        "Shared": row["Shared"],
        "Size": row["Size"],
        "Description": row["Description"],
        "Usage count": row["UsageCount"],
        "Last used": row["LastUsedSince"],
        "Type": row["Type"],
    }
    return "".join(f"{name + ':':<14}{value}\n" for name, value in fields.items() if value) + "\n"


def _totals(records: list[BuildCacheRecord]) -> str:
    def total(some: list[BuildCacheRecord]) -> str:
        return human_size(sum(record.get("Size", 0) for record in some))

    shared = [record for record in records if record.get("Shared")]
    lines = {"Reclaimable": total([record for record in records if not record.get("InUse")]), "Total": total(records)}
    if shared:
        private = [record for record in records if not record.get("Shared")]
        lines = {"Shared": total(shared), "Private": total(private), **lines}
    return "".join(f"{name + ':':<14}{size}\n" for name, size in lines.items())


def _space(name: str, text: str) -> Flag:
    return Flag(name, text, "", "bytes", values.parse_bytes, 0)


PRUNE = Command(
    "[OPTIONS]",
    "",
    (
        switch("all", "Remove all unused build cache, not just dangling ones", "a"),
        text_list("filter", 'Provide filter values (e.g. "until=24h")', "", values.parse_filter, "filter"),
        switch("force", "Do not prompt for confirmation", "f"),
        _space("keep-storage", "Amount of disk space to keep for cache"),
        _space("max-used-space", "Maximum amount of disk space allowed to keep for cache"),
        _space("min-free-space", "Target amount of free disk space after pruning"),
        _space("reserved-space", "Amount of disk space always allowed to keep for cache"),
    ),
    _prune,
    0,
    0,
)
DU = Command(
    "[OPTIONS]",
    "",
    (TABLE_FORMAT, switch("verbose", "Provide a more verbose output")),
    _du,
    0,
    0,
)
