"""Tar archives for tests, also such as no honest program would write."""

import io
import tarfile

KINDS = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


class Archive:
    """An archive, written entry by entry; `data` is all of it."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(
        self,
        name: str,
        content: bytes = b"",
        *,
        kind: str = "file",
        link: str = "",
        mode: int = 0o644,
        owner: tuple[int, int] = (0, 0),
        mtime: float = 0,
        device: tuple[int, int] = (0, 0),
        pax: dict[str, str] | None = None,
    ) -> "Archive":
        """One entry. The name is written as it is."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode, entry.mtime = KINDS[kind], link, mode, mtime
        entry.size = len(content)
        entry.uid, entry.gid = owner
        entry.devmajor, entry.devminor = device
        entry.pax_headers = pax or {}
        self._tar.addfile(entry, io.BytesIO(content))
        return self

    def folder(self, name: str, mode: int = 0o755) -> "Archive":
        return self.add(name, kind="folder", mode=mode)

    def symlink(self, name: str, target: str) -> "Archive":
        return self.add(name, kind="symlink", link=target, mode=0o777)

    def hardlink(self, name: str, target: str) -> "Archive":
        return self.add(name, kind="hardlink", link=target)

    @property
    def data(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()
