"""Where `export` and `save` write their archives: to a file, or to whatever standard output is but a terminal."""

from __future__ import annotations

import os
import stat

from cais.cli.command import CommandError
from cais.cli.output import STDOUT, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def write_archive(path: str, answer: Callable[[], Iterable[bytes]], failed: str) -> None:
    """Write what `answer`, asked once it is clear that it can be written, gives; "" is standard output.

    Raises CommandError, which `failed` begins with where the path is no good.
    """
    if path:
        _check_output(path, failed)
        _write_file(path, answer())
        return
    if os.isatty(STDOUT):
        raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    for block in answer():
        write_all(STDOUT, block)


def _check_output(path: str, failed: str) -> None:
    """Raises CommandError where no regular file can be written."""
    folder = os.path.dirname(os.path.normpath(path)) or "."
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise CommandError(f"{failed}: invalid output path: {folder} is not a directory")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"{failed}: invalid output path: stat {folder}: {reason}") from None
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(mode):
        raise CommandError(f"{failed}: cannot write to a directory")
    if stat.S_ISCHR(mode):
        raise CommandError(f"{failed}: cannot write to a character device file")
    if stat.S_ISBLK(mode):
        raise CommandError(f"{failed}: cannot write to a block device file")


def _write_file(path: str, blocks: Iterable[bytes]) -> None:
    """Write the archive beside its place first: a failure leaves what was there."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    try:
        try:
            for block in blocks:
                write_all(descriptor, block)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
