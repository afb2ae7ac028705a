"""Unpacking a layer's archive into a folder that overlayfs can use, whatever the archive tries.

Nothing outside the folder can be reached: names are cleaned first, every parent folder is opened with
openat2(2), links in it resolved inside the folder as if it were the root (RESOLVE_IN_ROOT), and the last
component is made by descriptor, never followed. The folder must be reachable by nobody else meanwhile.

Whiteouts become what overlayfs has for them (Documentation/filesystems/overlayfs.rst): ".wh.NAME" a
character device 0:0 called NAME, ".wh..wh..opq" the attribute trusted.overlay.opaque of its folder. What an
archive brings in that form itself is refused (devices) or left out (attributes).
"""

import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Sequence
from posixpath import normpath, split
from struct import Struct
from typing import Final, Protocol, Self

from cais.errors import InvalidArgument, Unavailable
from cais.linux.fs import RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from cais.storage.overlay import OPAQUE, is_whiteout
from cais.storage.tarstream import CHUNK_BYTES, Entry, Kind, TarReader, quoted
from cais.storage.trees import remove_tree

_WHITEOUT: Final = b".wh."
_WHITEOUT_META: Final = b".wh..wh."
_WHITEOUT_OPAQUE: Final = b".wh..wh..opq"

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_STRICT: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_CONTAINED: Final = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

_NO_FOLDER: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

_HOLE_BYTES: Final = 1 << 12
_ZEROS: Final = memoryview(bytes(CHUNK_BYTES))
_OPEN_FOLDERS: Final = 24
_TIMES_IN_MEMORY_BYTES: Final = 4 << 20
_TIME_RECORD: Final = Struct("<qH")
_TO_THE_CALLER: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


def unpack(reader: TarReader, folder: str, lower: Sequence[str], scratch: str) -> int:
    """Unpack every entry of the archive into the existing, empty `folder`; needs root.

    lower: the folders of the layers below, topmost first; a parent folder that the archive does not have gets
        owner, mode, times and attributes from there. Without lower layers there is nothing to hide, and
        whiteouts are passed over.
    scratch: a folder for a temporary file without a name.
    Returns: bytes of files and links, each hard-linked file counted once.
    Raises: InvalidArgument for what the archive may not have; Unavailable when the disk is full.
    """
    with Unpacker(folder, lower, scratch) as unpacker:
        for entry in reader:
            try:
                unpacker.add(entry, reader)
            except OSError as error:
                raise translate(error, entry) from error
        unpacker.finish()
        return unpacker.size_bytes


def translate(error: OSError, entry: Entry) -> InvalidArgument | Unavailable:
    """What an error of the kernel is to who has sent the archive."""
    what = f"unpack {quoted(entry.name)}: {os.strerror(error.errno or 0)}"
    return Unavailable(what) if error.errno in _TO_THE_CALLER else InvalidArgument(what)


class Unpacker:
    """Makes entries in one folder. Use as a context manager; `finish` sets the folders' times."""

    def __init__(self, folder: str, lower: Sequence[str], scratch: str) -> None:
        self.size_bytes = 0
        self._lower = lower
        self._scratch = scratch
        self._discarded = 0
        self._root_fd = os.open(folder, _FOLDER)
        self._folders: dict[bytes, int] = {}
        self._lower_fds: list[int] | None = None
        # a file without a name, so that ten million folders cost disk and no memory
        self._times = tempfile.SpooledTemporaryFile(_TIMES_IN_MEMORY_BYTES, dir=scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_folders()
        for fd in self._lower_fds or ():
            os.close(fd)
        os.close(self._root_fd)
        self._times.close()

    def add(self, entry: Entry, reader: TarReader) -> None:
        """Make one entry; its content is read from the reader. Raises: OSError, InvalidArgument."""
        path = _clean(entry.name)
        if path == b"":
            if entry.kind is not Kind.FOLDER:
                raise InvalidArgument(f"unpack {quoted(entry.name)}: the root must be a folder")
            self._set_folder(self._root_fd, entry, path)
            return
        parent, name = split(path)
        if _WHITEOUT in path and self._add_whiteout(parent, name):
            return
        parent_fd = self._folder(parent)
        self._check_kind(parent_fd, name, entry)
        match entry.kind:
            case Kind.FILE:
                self._add_file(parent_fd, name, entry, reader)
            case Kind.FOLDER:
                self._add_folder(parent_fd, path, name, entry)
            case Kind.SYMLINK:
                self._add_symlink(parent_fd, name, entry)
            case Kind.HARDLINK:
                self._add_hardlink(parent, name, entry)
            case _:
                self._add_node(parent_fd, name, entry)

    def _check_kind(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        """Raises: InvalidArgument where an entry may not take the place of what is there; in a layer it may."""

    def finish(self) -> None:
        """Set the times of the folders, which every entry made inside them has changed."""
        self._times.seek(0)
        while record := self._times.read(_TIME_RECORD.size):
            mtime_ns, length = _TIME_RECORD.unpack(record)
            path = self._times.read(length)
            try:
                fd = openat2(self._root_fd, path or b".", _FOLDER, resolve=_STRICT)
            except OSError as error:
                if error.errno in _NO_FOLDER:
                    continue  # a later entry took its place
                raise
            try:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)

    # -- entries

    def _add_file(self, parent_fd: int, name: bytes, entry: Entry, reader: TarReader) -> None:
        try:
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
        except FileExistsError:
            self._remove(parent_fd, name)
            fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
        try:
            write_content(fd, entry.size, reader.chunks())
            os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)  # after the owner, whose change clears set-user-id and capabilities
            if entry.xattrs:
                _set_xattrs(fd, entry.xattrs)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self.size_bytes += entry.size

    def _add_folder(self, parent_fd: int, path: bytes, name: bytes, entry: Entry) -> None:
        opaque = False
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                opaque = is_whiteout(found)
                self._remove(parent_fd, name)
                os.mkdir(name, 0o700, dir_fd=parent_fd)
        fd = os.open(name, _FOLDER, dir_fd=parent_fd)
        self._remember_folder(path, fd)
        self._set_folder(fd, entry, path)
        if opaque:  # the whiteout before it hid the folder below, not this one
            os.setxattr(fd, OPAQUE, b"y")

    def _add_symlink(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        if not entry.link:
            raise InvalidArgument(f"unpack {quoted(entry.name)}: a link without a target")
        try:
            os.symlink(entry.link, name, dir_fd=parent_fd)
        except FileExistsError:
            self._remove(parent_fd, name)
            os.symlink(entry.link, name, dir_fd=parent_fd)
        _set_by_name(parent_fd, name, entry)
        self.size_bytes += len(entry.link)

    def _add_hardlink(self, parent: bytes, name: bytes, entry: Entry) -> None:
        target = _clean(entry.link)
        if target == b"":
            raise InvalidArgument(f"unpack {quoted(entry.name)}: a hard link to a folder")
        target_parent, target_name = split(target)
        target_fd = os.dup(self._folder(target_parent))  # opening the other parent may close it
        try:
            parent_fd = self._folder(parent)
            same = _same_file(target_fd, target_name, parent_fd, name)
            if same:
                return
            if same is not None:
                self._remove(parent_fd, name)
            os.link(target_name, name, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError as error:
            raise InvalidArgument(
                f"unpack {quoted(entry.name)}: its hard link target {quoted(entry.link)} is not in this layer"
            ) from error
        finally:
            os.close(target_fd)

    def _add_node(self, parent_fd: int, name: bytes, entry: Entry) -> None:
        """A FIFO or a device."""
        device = 0
        kind = stat.S_IFIFO
        if entry.kind is not Kind.FIFO:
            kind = stat.S_IFCHR if entry.kind is Kind.CHARACTER else stat.S_IFBLK
            device = _device(entry)
        if kind == stat.S_IFCHR and device == 0:
            raise InvalidArgument(f"unpack {quoted(entry.name)}: the device 0:0 would hide a file of a lower layer")
        try:
            os.mknod(name, kind | 0o600, device, dir_fd=parent_fd)
        except FileExistsError:
            self._remove(parent_fd, name)
            os.mknod(name, kind | 0o600, device, dir_fd=parent_fd)
        _set_by_name(parent_fd, name, entry)

    def _add_whiteout(self, parent: bytes, name: bytes) -> bool:
        """Hide what the entry says; False when the name is not that of a whiteout."""
        if any(part.startswith(_WHITEOUT_META) for part in parent.split(b"/")):
            return True  # records of aufs, which first had whiteouts; without meaning elsewhere
        if any(part.startswith(_WHITEOUT) for part in parent.split(b"/")):
            raise InvalidArgument(f"unpack {quoted(parent)}: invalid whiteout")
        if name == _WHITEOUT_OPAQUE:
            if self._lower:
                os.setxattr(self._folder(parent), OPAQUE, b"y")
        elif name.startswith(_WHITEOUT) and not name.startswith(_WHITEOUT_META):
            hidden = name[len(_WHITEOUT) :]
            if hidden in (b"", b".", b".."):
                raise InvalidArgument(f"unpack {quoted(name)}: invalid whiteout")
            if self._lower:
                _hide(self._folder(parent), hidden)
        return name.startswith(_WHITEOUT)

    def _set_folder(self, fd: int, entry: Entry, path: bytes) -> None:
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        if entry.xattrs:
            _set_xattrs(fd, entry.xattrs)
        self._note_time(path, entry.mtime_ns)

    def _note_time(self, path: bytes, mtime_ns: int) -> None:
        self._times.write(_TIME_RECORD.pack(mtime_ns, len(path)) + path)

    def _remove(self, parent_fd: int, name: bytes) -> None:
        """Remove what an earlier entry made, a folder with all that is in it."""
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=parent_fd)
            if found.st_nlink == 1:
                self.size_bytes -= found.st_size
            return
        self._discarded += 1
        discarded = os.path.join(self._scratch, f"discarded-{self._discarded}")
        os.rename(name, os.fsencode(discarded), src_dir_fd=parent_fd)
        for path, fd in list(self._folders.items()):
            if fd != parent_fd:  # it may lie in what is removed
                os.close(self._folders.pop(path))
        remove_tree(discarded)

    # -- parent folders

    def _folder(self, path: bytes) -> int:
        """A descriptor of the folder `path`, which is made when missing. It stays open until some others were used."""
        if path == b"":
            return self._root_fd
        fd = self._folders.get(path)
        if fd is not None:
            return fd
        try:
            fd = openat2(self._root_fd, path, _FOLDER, resolve=_STRICT)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            fd = self._make_parents(path)
        self._remember_folder(path, fd)
        return fd

    def _make_parents(self, path: bytes) -> int:
        """Walk down `path`, following links inside the root only, and make what is missing."""
        done = b""
        fd = os.dup(self._root_fd)
        try:
            for part in path.split(b"/"):
                done = done + b"/" + part if done else part
                try:
                    child = openat2(self._root_fd, done, os.O_RDONLY | os.O_DIRECTORY, resolve=_CONTAINED)
                except FileNotFoundError:
                    os.mkdir(part, 0o700, dir_fd=fd)  # EEXIST for a link that leads nowhere
                    child = os.open(part, _FOLDER, dir_fd=fd)
                    self._adopt_lower(child, done)
                except NotADirectoryError:
                    child = _replace_whiteout(fd, part)
                os.close(fd)
                fd = child
            return fd
        except BaseException:
            os.close(fd)
            raise

    def _adopt_lower(self, fd: int, path: bytes) -> None:
        """Give a folder that the archive only implies what the lower layers' folder of its path has."""
        for lower_fd in self._open_lower():
            try:
                found_fd = openat2(lower_fd, path, os.O_PATH | os.O_NOFOLLOW, resolve=_STRICT)
            except OSError as error:
                if error.errno not in _NO_FOLDER:
                    raise
                if error.errno == errno.ENOENT:
                    continue
                break  # a file or link of this layer hides what is below it
            try:
                found = os.fstat(found_fd)
                if stat.S_ISDIR(found.st_mode):
                    os.fchown(fd, found.st_uid, found.st_gid)
                    os.fchmod(fd, stat.S_IMODE(found.st_mode))
                    _copy_xattrs(f"/proc/self/fd/{found_fd}", fd)
                    self._note_time(path, found.st_mtime_ns)
                    return
                break
            finally:
                os.close(found_fd)
        os.fchown(fd, 0, 0)
        os.fchmod(fd, 0o755)

    def _open_lower(self) -> list[int]:
        if self._lower_fds is None:
            self._lower_fds = []
            for folder in self._lower:
                self._lower_fds.append(os.open(folder, os.O_PATH | os.O_DIRECTORY))
        return self._lower_fds

    def _remember_folder(self, path: bytes, fd: int) -> None:
        old = self._folders.pop(path, None)
        if old is not None:
            os.close(old)
        elif len(self._folders) >= _OPEN_FOLDERS:
            os.close(self._folders.pop(next(iter(self._folders))))
        self._folders[path] = fd

    def _forget_folders(self) -> None:
        for fd in self._folders.values():
            os.close(fd)
        self._folders.clear()


def _clean(name: bytes) -> bytes:
    """The path below the root that a name means: absolute names lose their "/", "a/../b" is "b".

    Raises: InvalidArgument for a name that leads above the root.
    """
    path = normpath(name.lstrip(b"/")) if name else b"."
    if path == b".." or path.startswith(b"../"):
        raise InvalidArgument(f"unpack {quoted(name)}: invalid path outside of the archive's root")
    return b"" if path == b"." else path


class Hash(Protocol):
    """What takes bytes in to make a digest of them, as hashlib's objects do."""

    def update(self, data: bytes | memoryview, /) -> None: ...


def write_content(fd: int, size: int, chunks: Iterable[bytes | memoryview], hashed: Hash | None = None) -> None:
    """Write a file's content. Where a whole piece is zeros the file gets a hole, so that sparse files stay sparse.

    hashed: is given all of the content. Raises: OSError.
    """
    position = 0
    for chunk in chunks:
        length = len(chunk)
        if hashed is not None:
            hashed.update(chunk)
        if length < _HOLE_BYTES or chunk != _ZEROS[:length]:
            written = os.pwrite(fd, chunk, position)
            while written < length:
                written += os.pwrite(fd, chunk[written:], position + written)
        position += length
    if size >= _HOLE_BYTES:
        os.ftruncate(fd, size)


def _device(entry: Entry) -> int:
    if entry.major >= 1 << 12 or entry.minor >= 1 << 20:  # <linux/kdev_t.h>
        raise InvalidArgument(f"unpack {quoted(entry.name)}: invalid device {entry.major}:{entry.minor}")
    return os.makedev(entry.major, entry.minor)


def _hide(parent_fd: int, name: bytes) -> None:
    """Put a whiteout at `name`. It hides what lower layers have there, never what its own layer brings."""
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent_fd)
    except FileExistsError:
        if stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            fd = os.open(name, _FOLDER, dir_fd=parent_fd)
            try:
                os.setxattr(fd, OPAQUE, b"y")
            finally:
                os.close(fd)


def _replace_whiteout(parent_fd: int, name: bytes) -> int:
    """Make the folder `name`, which a whiteout before it hid; what it hid stays hidden. Returns its descriptor."""
    if not is_whiteout(os.stat(name, dir_fd=parent_fd, follow_symlinks=False)):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
    os.unlink(name, dir_fd=parent_fd)
    os.mkdir(name, 0o755, dir_fd=parent_fd)
    fd = os.open(name, _FOLDER, dir_fd=parent_fd)
    os.fchmod(fd, 0o755)
    os.setxattr(fd, OPAQUE, b"y")
    return fd


def _same_file(target_fd: int, target: bytes, parent_fd: int, name: bytes) -> bool | None:
    """Whether `name` exists already as the file to link to; None when there is nothing of that name."""
    try:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    wanted = os.stat(target, dir_fd=target_fd, follow_symlinks=False)
    return os.path.samestat(found, wanted)


def _set_by_name(parent_fd: int, name: bytes, entry: Entry) -> None:
    """Owner, mode and time of a link, FIFO or device that was just made."""
    os.chown(name, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
    if entry.kind is not Kind.SYMLINK:
        _change_mode(parent_fd, name, entry.mode)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)


def _change_mode(parent_fd: int, name: bytes, mode: int) -> None:
    """chmod(2) of what is no link; one that took its place meanwhile is not followed, but an error."""
    fd = openat2(parent_fd, name, os.O_PATH | os.O_NOFOLLOW, resolve=_STRICT)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _wanted_xattr(name: bytes) -> bool:
    """File capabilities and users' attributes; what directs overlayfs or a security module here stays out."""
    return name == b"security.capability" or (name.startswith(b"user.") and not name.startswith(b"user.overlay."))


def _set_xattrs(fd: int, xattrs: dict[bytes, bytes]) -> None:
    for name, value in xattrs.items():
        if not _wanted_xattr(name):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno != errno.ENOTSUP:  # the file system has none: as in Docker, they are lost
                raise


def _copy_xattrs(source: str, fd: int) -> None:
    try:
        names = [os.fsencode(name) for name in os.listxattr(source)]
        _set_xattrs(fd, {name: os.getxattr(source, name) for name in names if _wanted_xattr(name)})
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
