"""The files of a folder that is a build's context: found, and packed as Docker's client packs them.

Everything belongs to 0:0; modes, links, times (whole seconds) and capabilities stay. Sockets are left out.
"""

from __future__ import annotations

import os
import stat

from cais.cli.command import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cais.build.ignore import Ignore, Matched

_BLOCK = 512
_PIECE_BYTES = 1 << 18
_LARGEST_PLAIN = 8**11 - 1
_LONGEST_PLAIN = 100
_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_ATTRIBUTES = ("security.capability", "user.")


class Entry:
    """One file of a context. `path` is relative; `link` is the target of a symbolic link.

    `same_as` is the path of an earlier entry that is the same file. `content` stands in place of what is on disk.
    """

    __slots__ = ("content", "info", "link", "path", "same_as")

    def __init__(self, path: str, info: os.stat_result | None, link: str = "", same_as: str = "") -> None:
        self.path = path
        self.info = info
        self.link = link
        self.same_as = same_as
        self.content: bytes | None = None

    @classmethod
    def made(cls, path: str, content: bytes) -> Entry:
        """A file that is on no disk: mode 0600, of the beginning of time."""
        entry = cls(path, None)
        entry.content = content
        return entry

    @property
    def mode(self) -> int:
        return self.info.st_mode if self.info else stat.S_IFREG | 0o600

    @property
    def is_file(self) -> bool:
        """Whether it has bytes of its own."""
        return stat.S_ISREG(self.mode) and not self.same_as

    @property
    def size(self) -> int:
        if self.content is not None:
            return len(self.content)
        return self.info.st_size if self.info and self.is_file else 0

    @property
    def mtime(self) -> int:
        return int(self.info.st_mtime) if self.info else 0


def scan(root: str, ignore: Ignore | None, *, links: bool = True) -> Iterator[Entry]:
    """What is below a folder and not ignored, folders before what is in them, sorted by name. Raises CommandError.

    links: find out which names are the same file.
    """
    return _Scan(root, ignore, links=links).run("", ())


class _Scan:
    def __init__(self, root: str, ignore: Ignore | None, *, links: bool) -> None:
        self._root = root
        self._links = links
        self._ignore = ignore if ignore else None
        self._first: dict[tuple[int, int], str] = {}
        self._waiting: list[Entry] = []  # folders that are ignored, with something in them that may not be

    def run(self, folder: str, above: Matched) -> Iterator[Entry]:
        try:
            with os.scandir(os.path.join(self._root, folder)) as found:
                names = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise _failed(folder, error) from error
        for name in names:
            path = f"{folder}/{name.name}" if folder else name.name
            left_out, matched = self._ignore.verdict(path, above) if self._ignore else (False, ())
            is_folder = name.is_dir(follow_symlinks=False)
            if left_out and not (is_folder and self._ignore and self._ignore.may_be_needed(path)):
                continue
            entry = self._entry(path, name)
            if entry is None:
                continue
            if left_out:
                self._waiting.append(entry)
            else:
                yield from self._waiting
                self._waiting.clear()
                yield entry
            if is_folder:
                yield from self.run(path, matched)
            if left_out and self._waiting:
                self._waiting.pop()

    def _entry(self, path: str, found: os.DirEntry[str]) -> Entry | None:
        try:
            info = found.stat(follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                return Entry(path, info, os.readlink(found.path))
        except OSError as error:
            raise _failed(path, error) from error
        if stat.S_ISSOCK(info.st_mode):
            return None
        if self._links and info.st_nlink > 1 and stat.S_ISREG(info.st_mode):
            first = self._first.setdefault((info.st_dev, info.st_ino), path)
            return Entry(path, info, same_as=first if first != path else "")
        return Entry(path, info)


def _failed(path: str, error: OSError) -> CommandError:
    if isinstance(error, PermissionError):
        return CommandError(f"error checking context: no permission to read from '{path or '.'}'")
    return CommandError(f"error checking context: can't stat '{path or '.'}': {(error.strerror or '').lower()}")


def pack(root: str, entries: Iterable[Entry], sent: Callable[[int], None]) -> Iterator[bytes]:
    """The tar archive of entries of a folder, in pieces. `sent` is told of numbers of bytes. Raises CommandError."""
    buffer = bytearray()
    for entry in entries:
        buffer += _header(root, entry)
        for piece in _content(root, entry):
            buffer += piece
            if len(buffer) >= _PIECE_BYTES:
                sent(len(buffer))
                yield bytes(buffer)
                buffer.clear()
        buffer += bytes(-entry.size % _BLOCK)
        if len(buffer) >= _PIECE_BYTES:
            sent(len(buffer))
            yield bytes(buffer)
            buffer.clear()
    buffer += bytes(2 * _BLOCK)
    sent(len(buffer))
    yield bytes(buffer)


def _content(root: str, entry: Entry) -> Iterator[bytes]:
    """Exactly the bytes that the header has announced."""
    if entry.content is not None:
        yield entry.content
        return
    left = entry.size
    if not left:
        return
    try:
        descriptor = os.open(os.path.join(root, entry.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _failed(entry.path, error) from error
    try:
        while left:
            piece = os.read(descriptor, min(left, _PIECE_BYTES))
            if not piece:
                raise CommandError(f"file '{entry.path}' became shorter while the context was sent")
            left -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


def _header(root: str, entry: Entry) -> bytes:
    """The header of an entry; only what is unusual takes the slow way of pax."""
    is_folder = stat.S_ISDIR(entry.mode)
    name = os.fsencode(f"{entry.path}/" if is_folder else entry.path)
    target = os.fsencode(entry.same_as or entry.link)
    attributes = _attributes(os.path.join(root, entry.path), entry)
    plain = len(name) <= _LONGEST_PLAIN >= len(target) and entry.size <= _LARGEST_PLAIN and name.isascii()
    if not plain or attributes or not target.isascii() or stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
        return _pax_header(entry, attributes)
    kind = b"1" if entry.same_as else _TYPES[stat.S_IFMT(entry.mode)]
    head = b"%b%07o\x000000000\x000000000\x00%011o\x00%011o\x00        %b%b" % (
        name.ljust(100, b"\0"),
        stat.S_IMODE(entry.mode),
        entry.size,
        max(entry.mtime, 0),
        kind,
        target.ljust(100, b"\0"),
    )
    head = (head + b"ustar\x0000").ljust(_BLOCK, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def _attributes(path: str, entry: Entry) -> dict[str, str]:
    if not entry.is_file or entry.content is not None:
        return {}
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}
    found = {}
    for name in names:
        if name.startswith(_ATTRIBUTES):
            try:
                value = os.getxattr(path, name, follow_symlinks=False)
            except OSError:
                continue
            found[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    return found


def _pax_header(entry: Entry, attributes: dict[str, str]) -> bytes:
    import tarfile  # noqa: PLC0415 -- seldom needed

    member = tarfile.TarInfo(entry.path)
    member.type = tarfile.LNKTYPE if entry.same_as else _TYPES[stat.S_IFMT(entry.mode)]
    member.mode = stat.S_IMODE(entry.mode)
    member.size = entry.size
    member.mtime = entry.mtime
    member.linkname = entry.same_as or entry.link
    member.pax_headers = attributes
    if entry.info and (stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode)):
        member.devmajor, member.devminor = os.major(entry.info.st_rdev), os.minor(entry.info.st_rdev)
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
