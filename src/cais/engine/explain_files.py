"""What a container's first process will find in the files of its image: its user and its command.

The layers are mounted where no path leads, and looked at with the runtime's own functions; nothing is executed.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from cais.engine import spec
from cais.engine.export import open_merged
from cais.linux.fs import open_in_root
from cais.runtime import process, users
from cais.runtime import spec as runtime_spec


class Hidden(Exception):
    """What is looked for would be below a mount of the user's, whose files are not looked at."""


class ImageFiles:
    """The files of an image, as a container with these mounts of the user's begins with them."""

    def __init__(self, root_fd: int, config: spec.Json, covered: Collection[str]) -> None:
        """Raises: StartFailed for a process that makes no sense."""
        self._root_fd = root_fd
        self._process = runtime_spec.parse_process(config["process"])
        self._covered = covered

    def user(self) -> users.User:
        """Whom the process runs as. Raises: StartFailed, Hidden."""
        self._check("/etc/passwd")
        self._check("/etc/group")
        return users.resolve(self._root_fd, self._process.user, self._process.additional_groups)

    def command(self, user: users.User) -> str:
        """The program that the command means. Raises: StartFailed in the words of a start, Hidden."""
        environment = process.environment(self._process, user.home)
        return process.find_command(self._process.args[0], environment, lambda path: self._problem(path, user))

    def _check(self, path: str) -> None:
        for point in self._covered:
            if path == point or path.startswith(f"{point}/"):
                raise Hidden(point)

    def _problem(self, path: str, user: users.User) -> int | None:
        """None, or the errno that tells why a path cannot be executed."""
        absolute = os.path.join(self._process.cwd, path)
        self._check(os.path.normpath(absolute))
        try:
            descriptor = open_in_root(self._root_fd, absolute, os.O_PATH)
        except OSError as error:
            return error.errno
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            return errno.EISDIR
        return None if _may_execute(status, user) else errno.EACCES


def _may_execute(status: os.stat_result, user: users.User) -> bool:
    if user.uid == 0:
        wanted = 0o111
    elif user.uid == status.st_uid:
        wanted = 0o100
    else:
        wanted = 0o010 if status.st_gid in user.groups else 0o001
    return bool(status.st_mode & wanted)


@contextmanager
def opened(layers: Sequence[str], config: spec.Json, covered: Collection[str]) -> Iterator[ImageFiles]:
    """The files in these layers, topmost first. Raises: OSError, StartFailed."""
    root_fd = open_merged(layers)
    try:
        yield ImageFiles(root_fd, config, covered)
    finally:
        os.close(root_fd)
