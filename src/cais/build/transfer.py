"""COPY and ADD: what they are about, found and digested first, copied only where the cache does not have it."""

import contextlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from cais.build import instructions as kinds
from cais.build import rootfs, trees
from cais.build.archives import is_archive, unpack_archive
from cais.build.copying import Copying, Look
from cais.build.ignore import Ignore
from cais.build.modes import parse_mode
from cais.build.rootfs import StepFolder
from cais.build.sources import Source
from cais.errors import InvalidArgument
from cais.runtime import users
from cais.runtime.errors import StartFailed

_NOT_IN_CONTEXT: Final = "file not found in build context or excluded by .dockerignore"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to copy: a path of a tree, to `destination`. unpack: it is an archive that is to be unpacked there."""

    source: Source
    path: str
    destination: str
    digest: str
    unpack: bool = False
    skip: trees.Skip | None = None


def find(source: Source, line: kinds.Transfer, patterns: Sequence[str], destination: str, unpacks: bool) -> list[Item]:
    """What the patterns of one tree mean. Blocks. Raises: InvalidArgument where one means nothing; OSError."""
    found: list[Item] = []
    word = line.keyword.upper()
    if isinstance(line, kinds.Copy) and any(pattern.startswith(("http://", "https://")) for pattern in patterns):
        raise InvalidArgument("COPY failed: source can't be a URL for COPY")
    with source.opened() as root:
        deep = isinstance(line, kinds.Copy) and line.parents
        paths = [path for pattern in patterns for path in _expanded(root, pattern, source, word, deep=deep)]
        if not paths and not line.files:
            raise InvalidArgument(f"{word} failed: no source files were specified")
        if len(paths) > 1 and not destination.endswith("/"):
            raise InvalidArgument(
                f"When using {word} with more than one source file, "
                "the destination must be a directory and end with a /"
            )
        for pattern, path in paths:
            skip = _skip(line, path)
            archive = unpacks and is_archive(root, path)
            aim = destination
            if isinstance(line, kinds.Copy) and line.parents:
                aim = _with_parents(destination, pattern, path, trees.is_folder(root, path))
            digest = trees.digest(root, path, skip, owners=_keeps_owners(source, line), contents=source.contents)
            found.append(Item(source, path, aim, digest, archive, skip))
    return found


def _keeps_owners(source: Source, line: kinds.Transfer) -> bool:
    """What comes from a stage or an image belongs to whom it does there; what comes from a folder, to root."""
    return bool(source.name) and not line.chown


def _expanded(root: int, pattern: str, source: Source, word: str, *, deep: bool) -> list[tuple[str, str]]:
    paths = trees.expand(root, pattern, deep=deep)
    if not trees.has_wildcards(pattern) and not trees.leads_somewhere(root, paths[0]):
        where = f"stat {paths[0]}" if source.name else f"{_NOT_IN_CONTEXT}: stat {pattern}"
        raise InvalidArgument(f"{word} failed: {where}: file does not exist")
    return [(pattern, path) for path in paths]


def _with_parents(destination: str, pattern: str, path: str, is_folder: bool) -> str:
    """Where `--parents` puts a path: with all of its folders, from the pivot "/./" on where the pattern has one."""
    before, pivot, _ = pattern.partition("/./")
    kept = "/".join(path.split("/")[trees.leading_parts(before, path) :]) if pivot else path
    folder = kept if is_folder else str(PurePosixPath(kept).parent)
    return f"{destination.rstrip('/')}/{folder}/"


def _skip(line: kinds.Transfer, path: str) -> trees.Skip | None:
    """What `--exclude` leaves out. Patterns are relative to the source."""
    if not line.excludes:
        return None
    ignore = Ignore(line.excludes)

    def skip(below: str, is_folder: bool) -> bool:
        return ignore.leaves_out(below)

    return skip


def key(items: Sequence[Item], line: kinds.Transfer, destination: str) -> list[object]:
    """All that the result depends on, but for the stage that it goes into."""
    files = [[file.name, file.text] for file in line.files]
    copied = [[_name(item), item.destination, item.digest, item.unpack] for item in items]
    return [destination, copied, files, line.chown, line.chmod, line.keyword.upper()]


def _name(item: Item) -> str:
    """The name that a copied file gets where its destination is a folder."""
    return PurePosixPath(item.path).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How something is copied. scratch: a folder of the step's own. check: raises when the build is given up."""

    destination: str
    scratch: str
    time_ns: int | None
    check: Callable[[], None]


def carry_out(lower: Sequence[str], step: StepFolder, items: Sequence[Item], line: kinds.Transfer, work: Work) -> None:
    """Copy into a stage whose layers are `lower`. Blocks. Raises: InvalidArgument, OSError, and what `check` does."""
    with ExitStack() as stack:
        root = stack.enter_context(rootfs.writable(lower, step))
        owner = owner_of(root, line.chown)
        look = Look(
            owner=owner,
            archive_owner=owner if line.chown else None,
            mode=parse_mode(line.chmod) if line.chmod else None,
            time_ns=work.time_ns,
        )
        for item in items:
            work.check()
            kept = replace(look, owner=None) if _keeps_owners(item.source, line) else look
            copying = Copying(root, kept, work.check)
            with item.source.opened() as tree:
                _carry_out(copying, tree, item, work)
                if copying.links.folders:
                    stack.close()
                    copying.links.carry_out(tree, step.diff, copying.copy_entry, work.check)
                    root = stack.enter_context(rootfs.writable(lower, step))
        _write_files(Copying(root, look), line, work)


def _carry_out(copying: Copying, tree: int, item: Item, work: Work) -> None:
    if not item.unpack:
        copying.copy(tree, item.path, item.destination, item.skip, links=len(item.source.layers) == 1)
        return
    folder = copying.folder(item.destination)
    try:
        unpack_archive(tree, item.path, folder, copying.look, work.scratch)
    finally:
        os.close(folder)


def _write_files(copying: Copying, line: kinds.Transfer, work: Work) -> None:
    """The files that stand in the Dockerfile."""
    for file in line.files:
        aim = work.destination
        if aim.endswith("/") or copying.is_folder(aim):
            aim = f"{aim.rstrip('/')}/{file.name}"
        copying.write(file.text.encode("utf-8", "surrogateescape"), aim)


def owner_of(root: int, text: str) -> tuple[int, int]:
    """User and group that `--chown` means in a stage. Without a group it is the one that is called as the user is.

    Raises: InvalidArgument for what the stage's /etc/passwd or /etc/group do not have.
    """
    if not text:
        return 0, 0
    try:
        user = users.resolve(root, text)
        if ":" not in text:
            with contextlib.suppress(StartFailed):
                user = users.resolve(root, f"{text}:{text}")
    except StartFailed as error:
        raise InvalidArgument(f"invalid chown flag {text!r}: {error.message}") from error
    return user.uid, user.gid
