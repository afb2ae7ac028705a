"""The context of a build as a tar archive, without what .dockerignore leaves out."""

from __future__ import annotations

import io
import os
import queue
import tarfile
import threading

from cais.compose.ignoring import Ignored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 1 << 18
_WAITING_BLOCKS = 16
_INLINE = ".cais-compose.Dockerfile"


def pack(folder: str, dockerfile: str, inline: str | None) -> tuple[str, Iterator[bytes]]:
    """The name of the Dockerfile inside the archive, and the archive.

    A Dockerfile outside of the folder, or one that is given as text, is put into the archive.
    """
    extra: dict[str, bytes] = {}
    name = dockerfile or "Dockerfile"
    if inline is not None:
        name, extra = _INLINE, {_INLINE: inline.encode()}
    else:
        path = os.path.join(folder, name)
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
        if relative.startswith(".."):
            with open(path, "rb") as file:
                name, extra = _INLINE, {_INLINE: file.read()}
        else:
            name = os.path.relpath(path, folder)
    return name, _blocks(folder, name, extra)


def _blocks(folder: str, dockerfile: str, extra: dict[str, bytes]) -> Iterator[bytes]:
    """The archive in pieces, made in a thread while they are sent."""
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING_BLOCKS)

    def write() -> None:
        try:
            with tarfile.open(fileobj=_Pipe(pieces), mode="w|", bufsize=_BLOCK_BYTES) as archive:
                _add_all(archive, folder, dockerfile)
                for name, content in extra.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        except BaseException as error:  # noqa: BLE001 -- raised again where the pieces are read
            pieces.put(error)
        else:
            pieces.put(None)

    threading.Thread(target=write, daemon=True).start()
    while (piece := pieces.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


class _Pipe(io.RawIOBase):
    def __init__(self, pieces: queue.Queue[bytes | BaseException | None]) -> None:
        self._pieces = pieces

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._pieces.put(piece)
        return len(piece)


def _ignored(folder: str, dockerfile: str) -> Ignored:
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        try:
            with open(os.path.join(folder, name), encoding="utf-8-sig") as file:
                return Ignored(file.read().splitlines())
        except FileNotFoundError:
            continue
    return Ignored([])


def _add_all(archive: tarfile.TarFile, folder: str, dockerfile: str) -> None:
    ignored = _ignored(folder, dockerfile)
    kept = {dockerfile, ".dockerignore", f"{dockerfile}.dockerignore"}
    for parent, folders, files in os.walk(folder):
        base = os.path.relpath(parent, folder)
        prefix = "" if base == "." else f"{base}/"
        for name in sorted(folders):
            if f"{prefix}{name}" in ignored and not ignored.has_exceptions:
                folders.remove(name)
        folders.sort()
        for name in sorted({*files, *folders}):
            path = f"{prefix}{name}"
            if path in ignored and path not in kept:
                continue
            entry = archive.gettarinfo(os.path.join(parent, name), path)
            if entry is None:
                continue  # a socket
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            if entry.isreg():
                with open(os.path.join(parent, name), "rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)
