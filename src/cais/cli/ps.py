"""`cais ps`: the list of containers."""

from __future__ import annotations

from cais.cli.command import Command, Invocation
from cais.cli.container_rows import COLUMNS, RAW_WITH_SIZE, fields
from cais.cli.flags import TABLE_FORMAT, filter_flag, number, switch
from cais.cli.output import err, out
from cais.cli.units import short_id
from cais.client import containers

_RAW = "raw"
_WITHOUT_TEMPLATE = frozenset(["", "table", "json", _RAW])


def _ps(call: Invocation) -> int:
    given = call.flags
    template = given.text("format")
    if not template:
        template = call.settings.text("psFormat")
    elif given.on("quiet"):
        err("WARNING: Ignoring custom format, because both --format and --quiet are set.")
    size = given.on("size")
    if given.text("format") not in _WITHOUT_TEMPLATE:
        needs_size = _needs_size(given.text("format"))
        size = size or (needs_size and not given.on("quiet") and "size" not in given.given)
    limit = 1 if given.on("latest") and given.number("last") == -1 else given.number("last")
    found = containers.summaries(
        call.engine, everything=given.on("all"), limit=limit, size=size, filters=given.filters()
    )
    whole = given.on("no-trunc")
    if given.on("quiet"):
        before = "container_id: " if template == _RAW else ""
        for container in found:
            out(f"{before}{container['Id'] if whole else short_id(container['Id'])}")
        return 0
    rows = [fields(container, whole=whole) for container in found]
    shown = (*COLUMNS.shown, "Size") if size else ()
    shown_as = RAW_WITH_SIZE if size and template == _RAW else template
    out(COLUMNS.render(shown_as, rows, shown), end="", template=template)
    return 0


def _needs_size(template: str) -> bool:
    """Whether the template asks for sizes, which take the engine long to find. Raises TemplateError."""
    from cais.cli.gotemplate import check  # noqa: PLC0415 -- only for templates

    asked = False

    def size() -> str:
        nonlocal asked
        asked = True
        return ""

    check(template, {**fields({"Id": ""}, whole=True), "Size": size, "Label": _no_label()}, COLUMNS.type_name)
    return asked


def _no_label() -> object:
    from cais.cli.gotemplate import Method  # noqa: PLC0415

    return Method(lambda _name: "")


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
