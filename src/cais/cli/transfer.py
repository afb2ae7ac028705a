"""`cais pull`, `load` and `import`: images that come from elsewhere."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag, switch, text_list
from cais.cli.output import STDIN, STDOUT, out, write_all
from cais.cli.progress import show
from cais.cli.pull import pull
from cais.cli.reference import Reference
from cais.client import images
from cais.client.http import blocks_of

_PLATFORM = Flag("platform", "Set platform if server is multi-platform capable")


def _pull(call: Invocation) -> int:
    given = call.flags
    try:
        reference = Reference(call.arguments[0])
    except ValueError as error:
        raise CommandError(str(error)) from None
    quiet = given.on("quiet")
    if reference.is_name_only:
        reference.tagged()
        if not quiet:
            out("Using default tag: latest")
    platform = given.text("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
    pull(call.engine, reference, platform, None if quiet else STDOUT)
    out(reference.full)
    return 0


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


def _load(call: Invocation) -> int:
    given = call.flags
    path = given.text("input")
    if not path and os.isatty(STDIN):
        raise CommandError("requested load from stdin, but stdin is empty")
    # Without a terminal there is no progress to see, and none is asked for.
    quiet = given.on("quiet") or not os.isatty(STDOUT)
    source = _opened(path) if path else STDIN
    answer = images.load(call.engine, blocks_of(source), quiet=quiet)
    if answer.headers.get("content-type", "").startswith("application/json"):
        show(answer, STDOUT)
    else:
        for block in answer.blocks():
            write_all(STDOUT, block)
    return 0


def _import(call: Invocation) -> int:
    given = call.flags
    source, *target = call.arguments
    query = {"fromSrc": "-", "message": given.text("message"), "platform": given.text("platform")}
    query = {name: value for name, value in query.items() if value}
    if target:
        try:
            Reference(target[0])
        except ValueError as error:
            raise CommandError(str(error)) from None
        query["repo"] = target[0]
    if given.texts("change"):
        query["changes"] = "\n".join(given.texts("change"))
    if source.startswith(("http://", "https://", "ftp://")):
        query["fromSrc"] = source
        answer = images.import_address(call.engine, query)
    else:
        archive = STDIN if source == "-" else _opened(source)
        answer = images.import_archive(call.engine, blocks_of(archive), query)
    show(answer, STDOUT)
    return 0


PULL = Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "image pull, pull",
    (_PLATFORM, switch("quiet", "Suppress verbose output", "q")),
    _pull,
    1,
    1,
)
LOAD = Command(
    "[OPTIONS]",
    "image load, load",
    (
        Flag("input", "Read from tar archive file, instead of STDIN", "i"),
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
        _PLATFORM,
    ),
    _import,
    1,
    completes="file",
)
