"""Tar archives of this machine's files, for `cais cp`: packed, and unpacked without trust in who made the archive.

Unpacking opens each folder by its parent's descriptor and follows no link, so that an archive reaches nothing but what
is below the folder it is for; `tarfile` only reads and writes headers. What is unpacked belongs to who unpacks it.
"""

from __future__ import annotations

import os
import stat
import tarfile

from cais.cli.command import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK_BYTES = 1 << 18
_PIECE_BYTES = 1 << 16  # what small files are sent together in
_HOLE_BYTES = 1 << 12  # zeros of that length are not written
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ZEROS = memoryview(bytes(_BLOCK_BYTES))
_MOST_EXTENSION_BYTES = 1 << 20
_EXTENSIONS = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class _Stream:
    """Blocks as bytes that are read once."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer at the end."""
        if size <= len(self._rest):
            found = bytes(self._rest[:size])
            self._rest = self._rest[size:]
            return found
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """So many bytes in pieces as they came; fewer at the end. -1: all that is left."""
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._blocks, b""))
                if not self._rest:
                    return
            piece = self._rest[:_BLOCK_BYTES] if size < 0 else self._rest[: min(size, _BLOCK_BYTES)]
            self._rest = self._rest[len(piece) :]
            size -= len(piece) if size > 0 else 0
            yield piece


class _Members:
    """The entries of an archive, each read to its end before the next one."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._left = 0  # of the current entry, its padding included
        self._padding = 0

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        changes: dict[str, str] = {}
        while True:
            for _ in self._stream.pieces(self._left):
                pass
            block = self._stream.read(tarfile.BLOCKSIZE)
            if len(block) < tarfile.BLOCKSIZE or block == bytes(tarfile.BLOCKSIZE):
                return
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if member.type in _EXTENSIONS:
                changes.update(self._extension(member))
                continue
            _change(member, changes)
            changes = {}
            size = member.size if member.isreg() else 0
            self._padding = -size % tarfile.BLOCKSIZE
            self._left = size + self._padding
            yield member

    def content(self) -> Iterator[memoryview]:
        """What is left of the current entry's content."""
        for piece in self._stream.pieces(self._left - self._padding):
            self._left -= len(piece)
            yield piece
        if self._left > self._padding:
            raise CommandError("unexpected EOF")

    def _extension(self, member: tarfile.TarInfo) -> dict[str, str]:
        """What an entry says of the one that follows it."""
        if member.size > _MOST_EXTENSION_BYTES:
            raise CommandError("cannot read the archive: an extension header is too long")
        data = self._stream.read(member.size + -member.size % tarfile.BLOCKSIZE)[: member.size]
        self._left = 0
        if member.type == tarfile.XHDTYPE:
            return dict(_records(data))
        text = data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        names = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
        return {names[member.type]: text} if member.type in names else {}


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """The records "LENGTH KEY=VALUE\\n" of an extended header."""
    while data:
        length = int(data.partition(b" ")[0] or b"0", 10)
        record = data[:length].partition(b" ")[2]
        key, equals, value = record.partition(b"=")
        if not 0 < length <= len(data) or not equals:
            raise tarfile.HeaderError("malformed extended header")
        yield key.decode("utf-8", "replace"), value[:-1].decode("utf-8", "surrogateescape")
        data = data[length:]


def _change(member: tarfile.TarInfo, changes: dict[str, str]) -> None:
    member.name = changes.get("path", member.name)
    member.linkname = changes.get("linkpath", member.linkname)
    member.size = int(changes.get("size", member.size))
    member.mtime = float(changes.get("mtime", member.mtime))
    if member.size < 0:
        raise tarfile.HeaderError("negative size")


def unpack(blocks: Iterable[bytes], folder: str, old: str, new: str) -> None:
    """Unpack an archive, whose names all begin with `old`, into a folder, where it is called `new`.

    "." and "/" stand for the folder itself. All blocks are taken, also those behind the archive's end.
    Raises CommandError for an archive that is none or leads elsewhere, and for what cannot be made.
    """
    stream = _Stream(blocks)
    try:
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _Extraction(top, folder, old, new).run(_Members(stream))
        finally:
            os.close(top)
        for _ in stream.pieces(-1):
            pass
    except (tarfile.TarError, ValueError) as error:
        raise CommandError(f"cannot read the archive: {error}") from error
    except OSError as error:
        raise CommandError(f"open {error.filename or folder}: {(error.strerror or str(error)).lower()}") from error


class _Extraction:
    """Makes the entries of an archive below a folder. The folder that was used last stays open."""

    def __init__(self, top: int, path: str, old: str, new: str) -> None:
        self._top = top
        self._path = path  # for messages
        self._old = _parts(old)
        self._new = _parts(new)
        self._times: list[tuple[list[str], int, float]] = []
        self._parent = os.dup(top)
        self._parent_parts: list[str] = []

    def run(self, members: _Members) -> None:
        try:
            for member in members:
                self._one(member, members)
        finally:
            for parts, mode, mtime in reversed(self._times):
                self._finish_folder(parts, mode, mtime)
            os.close(self._parent)

    def _place(self, name: str) -> list[str]:
        """Where an entry goes. Raises CommandError for one that leads elsewhere."""
        parts = _parts(name)
        if ".." in parts or parts[: len(self._old)] != self._old:
            raise CommandError(f"the archive has a name that leads elsewhere: {name!r}")
        return self._new + parts[len(self._old) :]

    def _one(self, member: tarfile.TarInfo, members: _Members) -> None:
        parts = self._place(member.name)
        if not parts:
            return  # the folder that is written into stays as it is
        parent, name = self._open_parent(parts[:-1]), parts[-1]
        if member.isdir():
            self._folder(parent, parts, member)
            return
        if member.isreg():
            self._file(parent, parts, member, members)
            return
        self._clear(parent, parts)
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            self._link(parent, name, member)
        elif member.isfifo():
            os.mkfifo(name, member.mode & 0o7777, dir_fd=parent)
        elif member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            device = os.makedev(member.devmajor, member.devminor)
            os.mknod(name, kind | member.mode & 0o7777, device, dir_fd=parent)
        else:
            raise CommandError(f"unhandled tar header type {member.type[0]}")

    def _folder(self, parent: int, parts: list[str], member: tarfile.TarInfo) -> None:
        try:
            os.mkdir(parts[-1], 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(parts[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                words = f'non-directory "{self._shown(parts)}" with directory "{os.path.normpath(self._path)}"'
                raise CommandError(f"cannot overwrite {words}") from None
        self._times.append((parts, member.mode & 0o7777, member.mtime))

    def _finish_folder(self, parts: list[str], mode: int, mtime: float) -> None:
        try:
            fd = os.open(parts[-1], _FOLDER, dir_fd=self._open_parent(parts[:-1]))
        except OSError:
            return  # a later entry took its place
        os.fchmod(fd, mode)
        os.utime(fd, (mtime, mtime))
        os.close(fd)

    def _file(self, parent: int, parts: list[str], member: tarfile.TarInfo, members: _Members) -> None:
        try:
            fd = os.open(parts[-1], _NEW, 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, parts)
            fd = os.open(parts[-1], _NEW, 0o600, dir_fd=parent)
        try:
            position = 0
            for piece in members.content():
                if len(piece) < _HOLE_BYTES or piece != _ZEROS[: len(piece)]:
                    _write_at(fd, piece, position)
                position += len(piece)
            if member.size >= _HOLE_BYTES:
                os.ftruncate(fd, member.size)
            os.fchmod(fd, member.mode & 0o7777)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)

    def _link(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        target = self._place(member.linkname)
        if not target:
            raise CommandError(f"the archive has a link to a folder: {member.name!r}")
        other = os.dup(parent)
        try:
            folder = self._open_parent(target[:-1])
            os.link(target[-1], name, src_dir_fd=folder, dst_dir_fd=other, follow_symlinks=False)
        finally:
            os.close(other)

    def _clear(self, parent: int, parts: list[str]) -> None:
        """Remove what is in a file's way, a folder excepted."""
        try:
            os.unlink(parts[-1], dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            words = f'directory "{self._shown(parts)}" with non-directory "{os.path.normpath(self._path)}"'
            raise CommandError(f"cannot overwrite {words}") from None

    def _shown(self, parts: list[str]) -> str:
        return os.path.normpath("/".join([self._path, *parts]))

    def _open_parent(self, parts: list[str]) -> int:
        """A folder below the top, reached without following a link; open until another one is asked for."""
        if parts == self._parent_parts:
            return self._parent
        fd = os.dup(self._top)
        try:
            for part in parts:
                child = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = child
        except BaseException:
            os.close(fd)
            raise
        os.close(self._parent)
        self._parent, self._parent_parts = fd, parts
        return fd


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _write_at(fd: int, data: memoryview, position: int) -> None:
    while data:
        written = os.pwrite(fd, data, position)
        data, position = data[written:], position + written


def pack(path: str, name: str) -> Iterator[bytes]:
    """The archive of a file or a folder with all that is in it, called `name` there ("." for a folder's content).

    In pieces that are not small. What vanishes meanwhile is left out, as are sockets. Raises CommandError.
    """
    pending = bytearray()
    try:
        for piece in _Packing().run(path, name):
            pending += piece
            if len(pending) >= _PIECE_BYTES:
                yield bytes(pending)
                pending.clear()
    except OSError as error:
        raise CommandError(f"open {error.filename or path}: {(error.strerror or str(error)).lower()}") from error
    yield bytes(pending) + bytes(2 * tarfile.BLOCKSIZE)


class _Packing:
    def __init__(self) -> None:
        self._linked: dict[tuple[int, int], str] = {}

    def run(self, path: str, name: str) -> Iterator[bytes]:
        waiting = [(path, name)]
        while waiting:
            source, stored = waiting.pop()
            try:
                info = os.stat(source) if source.endswith(("/", "/.")) else os.lstat(source)
                if stat.S_ISDIR(info.st_mode):
                    below = sorted(os.listdir(source), reverse=True)
                    waiting += [(os.path.join(source, child), f"{stored.rstrip('/')}/{child}") for child in below]
            except FileNotFoundError:
                continue
            yield from self._entry(source, stored, info)

    def _entry(self, source: str, stored: str, info: os.stat_result) -> Iterator[bytes]:
        header = tarfile.TarInfo(stored)
        header.mode, header.uid, header.gid = stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid
        header.mtime = info.st_mtime_ns // 1_000_000_000
        kind = stat.S_IFMT(info.st_mode)
        if kind not in _TYPES:
            return
        header.type = _TYPES[kind]
        if kind == stat.S_IFLNK:
            header.linkname = os.readlink(source)
        elif kind in {stat.S_IFCHR, stat.S_IFBLK}:
            header.devmajor, header.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
        elif kind == stat.S_IFREG:
            first = self._linked.setdefault((info.st_dev, info.st_ino), stored) if info.st_nlink > 1 else stored
            if first == stored:
                yield from _file(source, header)
                return
            header.type, header.linkname = tarfile.LNKTYPE, first
        yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _file(source: str, header: tarfile.TarInfo) -> Iterator[bytes]:
    """A regular file: exactly the bytes that its header announces, whatever becomes of it."""
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        left = header.size = os.fstat(fd).st_size
        yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        while left:
            block = os.read(fd, min(left, _BLOCK_BYTES)) or bytes(min(left, _BLOCK_BYTES))
            left -= len(block)
            yield block
        yield bytes(-header.size % tarfile.BLOCKSIZE)
    finally:
        os.close(fd)
