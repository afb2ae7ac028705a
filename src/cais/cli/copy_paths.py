"""The rules of `cais cp` about paths: what a trailing slash or dot asks for, and what the copy is called where it goes.

They are Docker's, which tells "/", "/." and no end apart: https://docs.docker.com/reference/cli/docker/container/cp
"""

from __future__ import annotations

import os
import stat

from cais.cli.command import CommandError

_MOST_LINKS = 10


class Place:
    """One end of a copy. `renamed`: what a source is called, where following a link has changed its last part."""

    __slots__ = ("exists", "is_folder", "path", "renamed")

    def __init__(self, path: str, *, exists: bool, is_folder: bool, renamed: str = "") -> None:
        self.path = path
        self.exists = exists
        self.is_folder = is_folder
        self.renamed = renamed


def split_argument(text: str) -> tuple[str, str]:
    """The container, "" for none, and the path: a text that begins with "/" or "." names a path of this machine."""
    container, colon, path = text.partition(":")
    if text.startswith("/") or not colon or container.startswith("."):
        return "", text
    return container, path


def base(path: str) -> str:
    """The last part of a path, whatever slashes follow it."""
    return os.path.basename(path.rstrip("/")) or ("/" if path.startswith("/") else ".")


def means_content(path: str) -> bool:
    """Whether a path means what is in a folder: its last part is "."."""
    return base(path) == "."


def with_end(cleaned: str, given: str) -> str:
    """A cleaned path with the "/." or the slash that the given one ended with."""
    if means_content(given) and not means_content(cleaned):
        cleaned = cleaned.rstrip("/") + "/."
    if given.endswith("/") and not cleaned.endswith("/"):
        cleaned += "/"
    return cleaned


def local(path: str) -> str:
    """A path of this machine from its root; how it ends is kept."""
    return with_end(os.path.abspath(path), path)


def split_entry(path: str) -> tuple[str, str]:
    """The folder that an entry is in, and the entry's name there: "." for the content of the folder itself."""
    cleaned = os.path.normpath(path)
    if cleaned.startswith("//"):
        cleaned = cleaned[1:]
    if means_content(path):
        return cleaned, "."
    folder, name = os.path.split(cleaned)
    return folder or ".", name or "/"


def followed(asked: str, target: str) -> tuple[str, str]:
    """Where a path leads to when its links are followed, and the name that was asked for, if that is another."""
    target = with_end(target, asked)
    return target, base(asked) if base(asked) != base(target) else ""


def joined_link(path: str, target: str) -> str:
    """What a link at a path leads to."""
    return target if target.startswith("/") else os.path.normpath(os.path.join(split_entry(path)[0], target))


def source_of(path: str, *, follow: bool) -> Place:
    """A source of this machine. Raises CommandError where there is none."""
    try:
        if follow:
            path, renamed = followed(path, os.path.realpath(path, strict=True))
        else:
            folder, name = os.path.split(path)
            asked, path = path, os.path.join(os.path.realpath(folder, strict=True), name)
            renamed = base(asked) if asked.endswith("/") and base(asked) != base(path) else ""
        info = os.lstat(path)
    except OSError as error:
        raise CommandError(f"lstat {error.filename or path}: {(error.strerror or str(error)).lower()}") from None
    return Place(path, exists=True, is_folder=stat.S_ISDIR(info.st_mode), renamed=renamed)


def target_of(path: str) -> Place:
    """A destination of this machine, which need not exist, unlike its folder. Raises CommandError."""
    asked = path
    try:
        info = _lstat(path)
        for _ in range(_MOST_LINKS):
            if info is None or not stat.S_ISLNK(info.st_mode):
                break
            path = joined_link(path, os.readlink(path))
            info = _lstat(path)
        else:
            raise CommandError(f"too many symlinks in {asked}")
        if info is not None:
            return Place(path, exists=True, is_folder=stat.S_ISDIR(info.st_mode))
        folder = split_entry(path)[0]
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise CommandError("not a directory")
    except OSError as error:
        raise CommandError(f"stat {error.filename or path}: {(error.strerror or str(error)).lower()}") from None
    return Place(path, exists=False, is_folder=False)


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def check_output(path: str) -> None:
    """Raises CommandError where nothing can be written: without a folder, or over what is neither file nor folder."""
    folder = os.path.dirname(os.path.normpath(path))
    if folder not in {"", "."} and not os.path.exists(folder):
        raise CommandError(f'invalid output path: directory "{folder}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise CommandError(f"stat {path}: {(error.strerror or str(error)).lower()}") from None
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        kind = "a device" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "an irregular file"
        raise CommandError(f'invalid output path: "{path}" must be a directory or a regular file: got {kind}')


def placed(source: Place, target: Place) -> tuple[str, str, str]:
    """The folder that an archive of the source is unpacked in, and how names in it change: from what, to what.

    Raises CommandError for a folder that would have to become a file, and the like.
    """
    folder, new = split_entry(target.path)
    old = split_entry(source.path)[1]
    if target.exists and target.is_folder:
        return target.path, source.renamed or old, source.renamed or old
    if target.exists and source.is_folder:
        raise CommandError("cannot copy directory")
    if not target.exists and not source.is_folder and (target.path.endswith("/") or means_content(target.path)):
        raise CommandError("no such directory")
    return folder, source.renamed or old, new
