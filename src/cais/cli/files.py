"""`cais diff` and `export`: the files of a container."""

from __future__ import annotations

from cais.cli.archive_file import write_archive
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag
from cais.cli.output import out
from cais.client import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = ("C", "A", "D")


def _diff(call: Invocation) -> int:
    container = call.arguments[0]
    if not container:
        raise CommandError("Container name cannot be empty")
    for change in containers.changes(call.engine, container):
        out(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


def _export(call: Invocation) -> int:
    def answer() -> Iterator[bytes]:
        return containers.export(call.engine, call.arguments[0]).blocks()

    write_archive(call.flags.text("output"), answer, "failed to export container")
    return 0


DIFF = Command("CONTAINER", "container diff, diff", (), _diff, 1, 1, completes="container")
EXPORT = Command(
    "[OPTIONS] CONTAINER",
    "container export, export",
    (Flag("output", "Write to a file, instead of STDOUT", "o"),),
    _export,
    1,
    1,
    completes="container",
)
