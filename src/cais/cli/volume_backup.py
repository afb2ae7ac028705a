"""`cais volume export`, `import` and `clone`: the content of volumes to a file, from one, and to another volume."""

from __future__ import annotations

import os

from cais.cli.archive_file import write_archive
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.counted import Counted
from cais.cli.flags import Flag, switch
from cais.cli.output import STDERR, STDIN, out
from cais.cli.progress import show
from cais.client import volumes
from cais.client.errors import EngineError
from cais.client.http import blocks_of
from cais.errors import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")


def _asked(call: Invocation, ask: Callable[[], T]) -> T:
    """What an engine answers that may be another than Cais, which knows nothing of this."""
    try:
        return ask()
    except EngineError as error:
        if error.status == 404 and not call.engine.is_cais():
            raise Unsupported(f"the engine at {call.engine.endpoint.url} is not Cais, and cannot do this") from None
        raise


def _export(call: Invocation) -> int:
    (name,) = call.arguments

    def blocks() -> Iterator[bytes]:
        answer = _asked(call, lambda: volumes.export(call.engine, name, pause=call.flags.on("pause")))
        return iter(Counted(answer.blocks(), f"Exporting {name} - ", shown=not call.flags.on("quiet")))

    write_archive(call.flags.text("output"), blocks, "failed to export volume")
    return 0


def _import(call: Invocation) -> int:
    name, path = call.arguments
    if path == "-" and os.isatty(STDIN):
        raise CommandError("requested import from stdin, but stdin is empty")
    source = STDIN
    if path != "-":
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    blocks = Counted(blocks_of(source), f"Importing {name} - ", shown=not call.flags.on("quiet"))
    out(_asked(call, lambda: volumes.import_archive(call.engine, name, blocks))["Name"])
    return 0


def _clone(call: Invocation) -> int:
    name, target = call.arguments
    answer = _asked(call, lambda: volumes.clone(call.engine, name, target, pause=call.flags.on("pause")))
    show(answer, STDERR if os.isatty(STDERR) and not call.flags.on("quiet") else None)
    out(target)
    return 0


_PAUSE = switch("pause", "Pause the containers that use the volume while it is read", "p")
_QUIET = switch("quiet", "Suppress progress output", "q")
EXPORT = Command(
    "[OPTIONS] VOLUME",
    "",
    (Flag("output", "Write to a file, instead of STDOUT", "o"), _PAUSE, _QUIET),
    _export,
    1,
    1,
    completes="volume",
    long_help="Write the content of a volume to a tar archive, compressed with zstd (streamed to STDOUT by default)",
)
IMPORT = Command(
    "[OPTIONS] VOLUME FILE|-",
    "",
    (_QUIET,),
    _import,
    2,
    2,
    completes="volume",
    long_help="Make a volume of a tar archive, compressed or not, from a file or from STDIN",
)
CLONE = Command(
    "[OPTIONS] VOLUME NEW_VOLUME",
    "",
    (_PAUSE, _QUIET),
    _clone,
    2,
    2,
    completes="volume",
    long_help="Make a volume with the content and the labels of another one",
)
