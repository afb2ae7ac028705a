"""What a build is made of: a folder, standard input, an address or a git repository, and its Dockerfile."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod

from cais.cli.build_files import Entry, pack, scan
from cais.cli.command import CommandError
from cais.cli.output import STDIN
from cais.client.http import blocks_of
from cais.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cais.build.ignore import Ignore

_MAGIC_BYTES = 512
_MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_DEFAULT = "Dockerfile"
_MOST_DOCKERFILE_BYTES = 1 << 24
_NO_STDIN_TWICE = "invalid argument: can't use stdin for both build context and dockerfile"


class Context(ABC):
    """A context that is to be sent. `dockerfile` is the path in it; `text` its content, None where it is not known."""

    dockerfile: str = _DEFAULT
    text: bytes | None = None
    ignore: Ignore | None = None

    @abstractmethod
    def blocks(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        """The archive. `sent` is told of each number of bytes. Raises CommandError."""

    def close(self) -> None:  # noqa: B027  most have made nothing
        """Throw away what was made for it."""


class Folder(Context):
    """A folder of this machine. `extra` are files that are on no disk, which stand in place of those of their names."""

    def __init__(self, root: str, dockerfile: str, text: bytes, patterns: list[str], extra: list[Entry]) -> None:
        self.root = root
        self.dockerfile = dockerfile
        self.text = text
        self.extra = extra
        self.ignore: Ignore | None = None
        self._sent_ignore: Ignore | None = None
        if patterns:
            self.ignore, self._sent_ignore = _ignores(patterns, dockerfile)
        self.temporary = ""  # a folder that is thrown away with the context

    def entries(self) -> Iterator[Entry]:
        replaced = {entry.path for entry in self.extra}
        yield from self.extra
        for entry in scan(self.root, self._sent_ignore):
            if entry.path not in replaced:
                yield entry

    def blocks(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        return pack(self.root, self.entries(), sent)

    def close(self) -> None:
        if self.temporary:
            from shutil import rmtree  # noqa: PLC0415

            rmtree(self.temporary, ignore_errors=True)


def _ignores(patterns: list[str], dockerfile: str) -> tuple[Ignore, Ignore]:
    """What is left out of a context, and what isn't even sent: the engine needs the Dockerfile and the patterns."""
    from cais.build.ignore import Ignore  # noqa: PLC0415 -- takes as long to load as the rest

    ignore = Ignore(patterns)
    kept = [f"!{path}" for path in (".dockerignore", dockerfile) if path and ignore.leaves_out(path)]
    return ignore, Ignore([*patterns, *kept]) if kept else ignore


class Archive(Context):
    """An archive that comes from somewhere else, and is passed on as it is."""

    def __init__(self, first: bytes, rest: Iterator[bytes], dockerfile: str) -> None:
        self._first = first
        self._rest = rest
        self.dockerfile = dockerfile

    def blocks(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        sent(len(self._first))
        yield self._first
        for block in self._rest:
            sent(len(block))
            yield block


class Alone(Context):
    """A Dockerfile without a context."""

    def __init__(self, text: bytes) -> None:
        self.text = text

    def blocks(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        return pack("", [Entry.made(_DEFAULT, self.text or b"")], sent)


def open_context(where: str, file: str) -> Context:
    """The context that an argument and the flag -f mean. Raises CommandError in Docker's words."""
    if where == "-":
        if file == "-":
            raise CommandError(_NO_STDIN_TWICE)
        return _from_stream(blocks_of(STDIN), file)
    if is_git(where):
        from cais.cli.build_git import clone  # noqa: PLC0415 -- seldom needed

        return clone(where, file)
    if where.startswith(("http://", "https://")):
        from cais.cli.build_git import download  # noqa: PLC0415 -- seldom needed

        return _from_stream(download(where), file)
    if not os.path.lexists(where):
        raise CommandError(f'unable to prepare context: path "{where}" not found')
    return open_folder(where, file)


def is_git(where: str) -> bool:
    """Whether an argument names a git repository, by its form."""
    if where.startswith(("http://", "https://")):
        return where.partition("#")[0].endswith(".git")
    return where.startswith(("git://", "github.com/", "git@")) and not os.path.isdir(where)


def _from_stream(blocks: Iterator[bytes], file: str) -> Context:
    first = b""
    for block in blocks:
        first += block
        if len(first) >= _MAGIC_BYTES:
            break
    if first.startswith(_MAGICS) or first[257:262] == b"ustar":
        return Archive(first, blocks, file or _DEFAULT)
    if file:
        raise CommandError("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
    return Alone(_limited(first, blocks))


def _limited(first: bytes, rest: Iterator[bytes]) -> bytes:
    pieces, size = [first], len(first)
    for block in rest:
        pieces.append(block)
        size += len(block)
        if size > _MOST_DOCKERFILE_BYTES:
            raise CommandError("standard input is neither an archive nor a Dockerfile: it is too large")
    return b"".join(pieces)


def open_folder(where: str, file: str, beneath: str | None = None) -> Folder:
    """A folder as a context; -f is relative to the working folder, or to `beneath`. Raises CommandError."""
    root = os.path.realpath(where)
    if not os.path.isdir(root):
        raise CommandError(f"unable to prepare context: context must be a directory: {root}")
    extra: list[Entry] = []
    if file == "-":
        text = _limited(b"", blocks_of(STDIN))
        name = ""
    else:
        name, text = _dockerfile(root, file, beneath)
    patterns = _ignore_patterns(root, name)
    if not name:
        name = _unlisted_name(text)
        extra = [Entry.made(name, text), Entry.made(".dockerignore", _with_hidden(root, name))]
    try:
        return Folder(root, name, text, patterns, extra)
    except InvalidArgument as error:
        raise CommandError(f"error checking context: '{error}'.") from None


def open_named(where: str) -> Folder:
    """A folder or a repository without a Dockerfile, for --build-context. Raises CommandError."""
    if is_git(where):
        from cais.cli.build_git import checkout  # noqa: PLC0415 -- seldom needed

        root, place = checkout(where)
    else:
        root, place = os.path.realpath(where), ""
        if not os.path.isdir(root):
            raise CommandError(f"failed to get build context: {where}: not a directory")
    folder = Folder(root, "", b"", _ignore_patterns(root, ""), [])
    folder.temporary = place
    return folder


def _dockerfile(root: str, file: str, beneath: str | None) -> tuple[str, bytes]:
    """The path of the Dockerfile in the context, "" where it is outside, and its content."""
    path = os.path.join(os.path.abspath(beneath or "."), file) if file else os.path.join(root, _DEFAULT)
    if not file and not os.path.lexists(path) and os.path.lexists(os.path.join(root, _DEFAULT.lower())):
        path = os.path.join(root, _DEFAULT.lower())
    try:
        real = os.path.realpath(path, strict=True)
        with open(real, "rb") as opened:
            text = opened.read(_MOST_DOCKERFILE_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {path}: {reason}"
        ) from error
    inside = os.path.commonpath([root, real]) == root
    return (os.path.relpath(real, root) if inside else ""), text


def _ignore_patterns(root: str, dockerfile: str) -> list[str]:
    """Those of NAME.dockerignore beside the Dockerfile, or else of .dockerignore."""
    for name in (f"{dockerfile}.dockerignore" if dockerfile else "", ".dockerignore"):
        if name:
            try:
                with open(os.path.join(root, name), "rb") as opened:
                    text = opened.read()
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise CommandError(f"error checking context: open {os.path.join(root, name)}: {reason}") from error
            from cais.build.ignore import parse_ignore  # noqa: PLC0415

            return parse_ignore(text)
    return []


def _unlisted_name(text: bytes) -> str:
    """A name for a Dockerfile that is outside the context; the same text has the same one."""
    from hashlib import sha256  # noqa: PLC0415

    return f".dockerfile.{sha256(text).hexdigest()[:20]}"


def _with_hidden(root: str, name: str) -> bytes:
    """A .dockerignore that keeps the Dockerfile of a context from being copied."""
    try:
        with open(os.path.join(root, ".dockerignore"), "rb") as opened:
            before = opened.read()
    except OSError:
        before = b".dockerignore"
    return before + f"\n{name}\n".encode()
