"""`cais diff` and `export`: the files of a container."""

from __future__ import annotations

import os
import stat

from cais.cli.command import Command, CommandError, Invocation
from cais.cli.flags import Flag
from cais.cli.output import STDOUT, out, write_all
from cais.client import containers

_KINDS = ("C", "A", "D")


def _diff(call: Invocation) -> int:
    container = call.arguments[0]
    if not container:
        raise CommandError("Container name cannot be empty")
    for change in containers.changes(call.engine, container):
        out(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


def _export(call: Invocation) -> int:
    path = call.flags.text("output")
    if not path:
        if os.isatty(STDOUT):
            raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        for block in containers.export(call.engine, call.arguments[0]).blocks():
            write_all(STDOUT, block)
        return 0
    _check_output(path)
    _write_file(path, call)
    return 0


def _check_output(path: str) -> None:
    """Raises CommandError where no regular file can be written."""
    folder = os.path.dirname(os.path.normpath(path)) or "."
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise CommandError(f"failed to export container: invalid output path: {folder} is not a directory")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"failed to export container: invalid output path: stat {folder}: {reason}") from None
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise CommandError("failed to export container: cannot write to a directory")
    if stat.S_ISCHR(mode):
        raise CommandError("failed to export container: cannot write to a character device file")
    if stat.S_ISBLK(mode):
        raise CommandError("failed to export container: cannot write to a block device file")


def _write_file(path: str, call: Invocation) -> None:
    """Write the archive beside its place first: a failure leaves what was there."""
    answer = containers.export(call.engine, call.arguments[0])
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    try:
        try:
            for block in answer.blocks():
                write_all(descriptor, block)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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
