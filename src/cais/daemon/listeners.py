"""The sockets that the API is served on."""

import contextlib
import grp
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cais.errors import Conflict, InvalidArgument, Unavailable, Unsupported

GROUP: Final = "docker"
_BACKLOG: Final = 512
_MAX_PATH_BYTES: Final = 107


def unix_path(host: str) -> Path:
    """The path of a `unix://` address. Raises InvalidArgument, or Unsupported for another kind of address."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        raise InvalidArgument(f"invalid bind address ({host}): use unix:///PATH")
    if scheme != "unix":
        raise Unsupported(f"cannot listen on {host!r}: only unix:///PATH is supported yet")
    if not rest.startswith("/") or "\0" in rest:
        raise InvalidArgument(f"invalid bind address ({host}): the path must be absolute")
    if len(os.fsencode(rest)) > _MAX_PATH_BYTES - 12:
        raise InvalidArgument(f"invalid bind address ({host}): the path is too long for a socket")
    return Path(rest)


class Listeners:
    """Listening sockets, removed at the end.

    A socket appears under its name when it listens, and not before: it is made under another one and renamed.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)
        self._inodes: dict[Path, int] = {}
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        try:
            for path in self._paths:
                self.sockets.append(self._open(path))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip  # noqa: E501
        self.close()

    def close(self) -> None:
        """Removes the names that are still ours and closes the sockets."""
        for path, inode in self._inodes.items():
            with contextlib.suppress(OSError):
                if path.lstat().st_ino == inode:
                    path.unlink()
        self._inodes.clear()
        for listener in self.sockets:
            listener.close()
        self.sockets.clear()

    def _open(self, path: Path) -> socket.socket:
        if _somebody_listens(path):
            raise Conflict(f"cannot listen on {str(path)!r}: another process does")
        temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            listener.bind(str(temporary))
            _grant(temporary)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
            self._inodes[path] = temporary.lstat().st_ino
            os.rename(temporary, path)
        except OSError as error:
            self._inodes.pop(path, None)
            listener.close()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise Unavailable(f"cannot listen on {str(path)!r}: {error.strerror}") from error
        return listener


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _grant(path: Path) -> None:
    """Root, and the group `docker` where there is one, may connect; the group may also walk the folder."""
    os.chmod(path, 0o660)
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return
    os.chown(path, 0, group)
    folder = path.parent.stat()
    if folder.st_uid == 0 and not folder.st_mode & 0o077:
        os.chown(path.parent, 0, group)
        os.chmod(path.parent, 0o710)  # noqa: S103  walking is all that the group may
