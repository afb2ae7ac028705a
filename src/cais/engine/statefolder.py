"""The folders of an engine: made with the right modes, and used by one engine at a time.

data_root/lock        held by flock(2) while an engine uses the folder; it names the process
data_root/initlayer   the bottommost layer of every container, a static tree of mount points
data_root/engine-id   an identity that survives
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cais.engine.settings import Settings
from cais.errors import Conflict, Unavailable

_INIT_FOLDERS: Final = ("dev", "dev/pts", "dev/shm", "proc", "sys", "etc")
_INIT_FILES: Final = ("dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv")


class StateFolder:
    """Holds the lock on a data root from `open` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = -1

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:  # fmt: skip  # noqa: E501
        self.close()

    def open(self) -> None:
        """Makes the folders and takes the lock.

        Raises Unavailable when a folder cannot be written, Conflict when another engine holds the lock.
        """
        root = self._settings.data_root
        existed = root.exists()
        try:
            for folder in (root, self._settings.exec_root):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder.stat().st_mode & 0o007:
                    folder.chmod(0o700)
            self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            if not existed:
                with contextlib.suppress(OSError):
                    root.rmdir()
            raise Unavailable(f"cannot use the state folder {str(root)!r}: {error.strerror}") from error
        try:
            self._take()
            self._settings.bundles.mkdir(mode=0o700, exist_ok=True)
            make_init_layer(self._settings.init_layer)
        except OSError as error:
            self.close()
            raise Unavailable(f"cannot write the state folder {str(root)!r}: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives the lock back, also where a process that was forked from this one has a copy of the descriptor."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            self.disown()

    def disown(self) -> None:
        """Drops the descriptor. In a process that was forked from the owner this leaves the lock to the owner alone."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def engine_id(self) -> str:
        """The identity of this engine, made at its first use."""
        path = self._settings.data_root / "engine-id"
        with contextlib.suppress(FileNotFoundError):
            known = path.read_text(encoding="ascii", errors="replace").strip()
            if known:
                return known
        digits = secrets.token_hex(16)
        made = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        path.write_text(made + "\n", encoding="ascii")
        return made

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            raise Conflict(
                f"the state folder {str(self._settings.data_root)!r} is in use by another engine"
                + (f" (pid {holder})" if holder else "")
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)


def make_init_layer(layer: Path) -> None:
    """Makes the tree of mount points that every container has at the bottom. Raises OSError."""
    layer.mkdir(mode=0o755, exist_ok=True)
    for name in _INIT_FOLDERS:
        (layer / name).mkdir(mode=0o755, exist_ok=True)
    for name in _INIT_FILES:
        (layer / name).touch(mode=0o755, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (layer / "etc" / "mtab").symlink_to("/proc/mounts")
