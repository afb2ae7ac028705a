"""Writing the archive of a root file system, the same bytes for the same content."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cais.distribution.oci import ContainerConfig

if TYPE_CHECKING:
    import tarfile

PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# type flags of the ustar header
_REGTYPE: Final = b"0"
_SYMTYPE: Final = b"2"
_DIRTYPE: Final = b"5"


@dataclass(frozen=True, slots=True)
class MadeRoot:
    """A root file system that was made: its archive, not compressed, and what the image is to say.

    created: RFC 3339.
    """

    archive: Path
    defaults: ContainerConfig
    created: str
    created_by: str


class RootWriter:
    """Writes an archive entry by entry, everything owned by root and of one time. Use as a context manager."""

    def __init__(self, path: Path, mtime: int) -> None:
        import tarfile  # noqa: PLC0415  only this writes archives

        self._mtime = mtime
        self._entry_type = tarfile.TarInfo
        self._archive = tarfile.open(path, "x", format=tarfile.PAX_FORMAT)

    def __enter__(self) -> "RootWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()

    def folder(self, name: str, mode: int = 0o755) -> None:
        """A folder; one inside another comes after it."""
        self._archive.addfile(self._entry(name, _DIRTYPE, mode))

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """A file with its content."""
        entry = self._entry(name, _REGTYPE, mode)
        entry.size = len(content)
        self._archive.addfile(entry, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        entry = self._entry(name, _SYMTYPE, 0o777)
        entry.linkname = target
        self._archive.addfile(entry)

    def _entry(self, name: str, kind: bytes, mode: int) -> "tarfile.TarInfo":
        entry = self._entry_type(name)
        entry.type, entry.mode, entry.mtime = kind, mode, self._mtime
        return entry


def rfc3339(seconds: int) -> str:
    """Seconds since 1970 as images write a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
