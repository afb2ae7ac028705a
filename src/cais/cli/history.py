"""`cais history`: the steps that made an image."""

from __future__ import annotations

from cais.cli.command import Command, Invocation
from cais.cli.flags import TABLE_FORMAT, Flag, switch
from cais.cli.formats import Columns
from cais.cli.output import out
from cais.cli.platform import FORMATTED_AS, platform_query
from cais.cli.units import age, ellipsis, human_size, rfc3339, short_id
from cais.client import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.formats import Row
    from cais.client.model import HistoryStep

_CREATED_BY_COLUMNS = 45
_COLUMNS = Columns(
    "image.historyContext",
    {
        "ID": "IMAGE",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    },
    ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"),
)
_NOT_FOR_HUMANS = ("ID", "CreatedAt", "CreatedBy", "Size", "Comment")


def _history(call: Invocation) -> int:
    given = call.flags
    template = given.text("format")
    query = platform_query(given.text("platform"))
    human, whole = given.on("human"), given.on("no-trunc")
    rows = [_row(step, human=human, whole=whole) for step in images.history(call.engine, call.arguments[0], query)]
    if given.on("quiet") and template in {"", "table"}:
        for row in rows:
            out(str(row["ID"]))
        return 0
    out(_COLUMNS.render(template, rows, () if human else _NOT_FOR_HUMANS), end="", template=template)
    return 0


def _row(step: HistoryStep, *, human: bool, whole: bool) -> Row:
    identity, size = step.get("Id", ""), step.get("Size", 0)
    created = step.get("Created", 0)
    made_by = step.get("CreatedBy", "").replace("\t", " ")
    at = rfc3339(created) if created > 0 else "N/A"
    return {
        "ID": identity if whole else short_id(identity),
        "CreatedAt": at,
        "CreatedSince": (age(created) if created > 0 else "N/A") if human else at,
        "CreatedBy": made_by if whole else ellipsis(made_by, _CREATED_BY_COLUMNS),
        "Size": human_size(size) if human else str(size),
        "Comment": step.get("Comment", ""),
    }


HISTORY = Command(
    "[OPTIONS] IMAGE",
    "image history, history",
    (
        TABLE_FORMAT,
        switch("human", "Print sizes and dates in human readable format", "H", default=True),
        switch("no-trunc", "Don't truncate output"),
        Flag("platform", f"Show history for the given platform. {FORMATTED_AS}"),
        switch("quiet", "Only show image IDs", "q"),
    ),
    _history,
    1,
    1,
    completes="image",
)
