"""`cais save`, `load` and `import`: images in archives."""

from __future__ import annotations

import os
import stat

from cais.cli.archive_file import write_archive
from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag, switch, text_list
from cais.cli.output import STDIN, STDOUT, write_all
from cais.cli.platform import FORMATTED_AS, platform_query
from cais.cli.progress import show
from cais.cli.reference import Reference
from cais.client import images
from cais.client.http import blocks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def _save(call: Invocation) -> int:
    query = platform_query(call.flags.text("platform"))

    def answer() -> Iterator[bytes]:
        return images.save(call.engine, call.arguments, query).blocks()

    write_archive(call.flags.text("output"), answer, "failed to save image")
    return 0


def _opened(path: str) -> int:
    try:
        archive = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    if stat.S_ISDIR(os.fstat(archive).st_mode):
        os.close(archive)
        raise CommandError(f"read {path}: is a directory")
    return archive


def _load(call: Invocation) -> int:
    given = call.flags
    path = given.text("input")
    if not path and os.isatty(STDIN):
        raise CommandError("requested load from stdin, but stdin is empty")
    # Without a terminal there is no progress to see, and none is asked for.
    quiet = given.on("quiet") or not os.isatty(STDOUT)
    query = {"quiet": "1" if quiet else "0", **platform_query(given.text("platform"))}
    source = _opened(path) if path else STDIN
    answer = images.load(call.engine, blocks_of(source), query)
    if answer.headers.get("content-type", "").startswith("application/json"):
        show(answer, STDOUT)
    else:
        for block in answer.blocks():
            write_all(STDOUT, block)
    return 0


def _import(call: Invocation) -> int:
    given = call.flags
    source, *target = call.arguments
    texts = {"fromSrc": "-", "message": given.text("message"), "platform": given.text("platform")}
    query: dict[str, str | list[str]] = {name: value for name, value in texts.items() if value}
    if target:
        try:
            Reference(target[0])
        except ValueError as error:
            raise CommandError(str(error)) from None
        query["repo"] = target[0]
    if given.texts("change"):
        query["changes"] = given.texts("change")
    if source.startswith(("http://", "https://", "ftp://")):
        query["fromSrc"] = source
        answer = images.import_address(call.engine, query)
    else:
        archive = STDIN if source == "-" else _opened(source)
        answer = images.import_archive(call.engine, blocks_of(archive), query)
    show(answer, STDOUT)
    return 0


SAVE = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "image save, save",
    (
        Flag("output", "Write to a file, instead of STDOUT", "o"),
        Flag("platform", f"Save only the given platform variant. {FORMATTED_AS}"),
    ),
    _save,
    1,
    completes="image",
)
LOAD = Command(
    "[OPTIONS]",
    "image load, load",
    (
        Flag("input", "Read from tar archive file, instead of STDIN", "i"),
        Flag("platform", f"Load only the given platform variant. {FORMATTED_AS}"),
        switch("quiet", "Suppress the load output", "q"),
    ),
    _load,
    0,
    0,
)
IMPORT = Command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "image import, import",
    (
        text_list("change", "Apply Dockerfile instruction to the created image", "c"),
        Flag("message", "Set commit message for imported image", "m"),
        Flag("platform", "Set platform if server is multi-platform capable"),
    ),
    _import,
    1,
    completes="file",
)
