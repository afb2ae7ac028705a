"""`cais cp`: files between a container and here, or a tar archive at a standard stream."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.copy_paths import (
    Place,
    check_output,
    followed,
    joined_link,
    local,
    placed,
    source_of,
    split_argument,
    target_of,
)
from cais.cli.counted import Counted
from cais.cli.flags import switch
from cais.cli.output import STDIN, STDOUT, err, write_all
from cais.cli.units import human_size
from cais.client import containers
from cais.client.errors import EngineError
from cais.client.http import blocks_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.model import PathStat

# Go's os.FileMode
_FOLDER, _LINK, _DEVICE, _NO_REGULAR_FILE = 1 << 31, 1 << 27, 1 << 26, 1 << 25 | 1 << 24 | 1 << 19


def _copy(call: Invocation) -> int:
    source, target = call.arguments
    if not source or not target:
        raise CommandError(f"{'destination' if source else 'source'} can not be empty")
    (from_container, from_path), (to_container, to_path) = split_argument(source), split_argument(target)
    if from_container and to_container:
        raise CommandError("copying between containers is not supported")
    if from_container:
        return _copy_out(call, from_container, from_path, to_path)
    if to_container:
        return _copy_in(call, from_path, to_container, to_path)
    raise CommandError("must specify at least one container source")


def _is_quiet(call: Invocation) -> bool:
    return call.flags.on("quiet") if "quiet" in call.flags.given else not os.isatty(STDOUT)


def _copy_out(call: Invocation, container: str, path: str, target: str) -> int:
    if target != "-":
        target = local(target)
        check_output(target)
    renamed = ""
    if call.flags.on("follow-link"):
        found = _stat(call, container, path)
        if found is not None and found["mode"] & _LINK:
            path, renamed = followed(path, joined_link(path, found["linkTarget"]))
    answer, found = containers.copy_out(call.engine, container, path)
    if target == "-":
        for block in answer.blocks():
            write_all(STDOUT, block)
        return 0
    from cais.cli.localtar import unpack  # noqa: PLC0415 -- heavy

    source = Place(path, exists=True, is_folder=bool(found["mode"] & _FOLDER), renamed=renamed)
    folder, _, new = placed(source, target_of(target))
    counted = Counted(answer.blocks(), "Copying from container - ", shown=not _is_quiet(call))
    unpack(counted, folder, found["name"], new)
    _tell(call, counted.bytes, target)
    return 0


def _copy_in(call: Invocation, source: str, container: str, target: str) -> int:
    if source != "-":
        source = local(source)
    path = target
    found = _stat(call, container, path)
    if found is not None and found["mode"] & _LINK:
        path = joined_link(path, found["linkTarget"])
        found = _stat(call, container, path)
    mode = found["mode"] if found is not None else 0
    if mode & (_DEVICE | _NO_REGULAR_FILE):
        kind = "a device" if mode & _DEVICE else "an irregular file"
        raise CommandError(f'destination "{container}:{target}" must be a directory or a regular file: got {kind}')
    place = Place(path, exists=found is not None, is_folder=bool(mode & _FOLDER))
    as_user = call.flags.on("archive")
    if source == "-":
        if not place.is_folder:
            raise CommandError(f'destination "{container}:{target}" must be a directory')
        containers.copy_in(call.engine, container, path, blocks_of(STDIN), as_user=as_user)
        return 0
    from cais.cli.localtar import pack  # noqa: PLC0415 -- heavy

    taken = source_of(source, follow=call.flags.on("follow-link"))
    folder, _, name = placed(taken, place)
    counted = Counted(pack(taken.path, name), "Copying to container - ", shown=not _is_quiet(call))
    containers.copy_in(call.engine, container, folder, counted, as_user=as_user)
    _tell(call, counted.bytes, f"{container}:{path}")
    return 0


def _stat(call: Invocation, container: str, path: str) -> PathStat | None:
    """What is at a path of the container; None where the engine does not say so, which the copy itself will tell."""
    try:
        return containers.path_stat(call.engine, container, path)
    except EngineError:
        return None


def _tell(call: Invocation, size_bytes: int, target: str) -> None:
    if not _is_quiet(call):
        err(f"Successfully copied {human_size(size_bytes, 3)} to {target}")


_QUIET = "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached"
COPY = Command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tcais cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "container cp, cp",
    (
        switch("archive", "Archive mode (copy all uid/gid information)", "a"),
        switch("follow-link", "Always follow symbol link in SRC_PATH", "L"),
        switch("quiet", _QUIET, "q"),
    ),
    _copy,
    2,
    2,
    completes="container",
    long_help="""Copy files/folders between a container and the local filesystem

Use '-' as the source to read a tar archive from stdin
and extract it to a directory destination in a container.
Use '-' as the destination to stream a tar archive of a
container source to stdout.""",
)
