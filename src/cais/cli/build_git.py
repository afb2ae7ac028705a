"""Contexts that are fetched: git repositories and addresses."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

from cais.cli.build_context import Folder, open_folder
from cais.cli.command import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 1 << 18
_PATIENCE_SECONDS = 60


def clone(address: str, file: str) -> Folder:
    """A repository, `ADDRESS#REF:FOLDER`, as a context. Raises CommandError."""
    root, place = checkout(address)
    try:
        opened = open_folder(root, file, beneath=root)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    opened.temporary = place
    return opened


def checkout(address: str) -> tuple[str, str]:
    """A repository fetched without its history: the folder that is meant, and what is to be removed afterwards.

    Raises CommandError.
    """
    repository, _, fragment = address.partition("#")
    if repository.startswith("github.com/"):
        repository = f"https://{repository}"
    reference, _, folder = fragment.partition(":")
    place = os.path.realpath(tempfile.mkdtemp(prefix="cais-build-git-"))
    try:
        _git("init", "--quiet", place)
        _git("-C", place, "remote", "add", "origin", "--", repository)
        _fetch(place, reference or "HEAD")
        root = os.path.realpath(os.path.join(place, folder.lstrip("/")))
        if os.path.commonpath([root, place]) != place:
            raise CommandError(f"unable to prepare context: {folder} is outside of the repository")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return root, place


def _fetch(place: str, reference: str) -> None:
    if reference.startswith("-"):
        raise CommandError(f"unable to prepare context: invalid git reference: {reference}")
    commit = "FETCH_HEAD"
    try:
        _git("-C", place, "fetch", "--quiet", "--depth", "1", "origin", "--", reference)
    except CommandError:
        # A server may give no commit without its history, or none by its number.
        try:
            _git("-C", place, "fetch", "--quiet", "origin", "--", reference)
        except CommandError:
            _git("-C", place, "fetch", "--quiet", "--tags", "origin")
            commit = reference
    _git("-C", place, "checkout", "--quiet", commit)
    if os.path.exists(os.path.join(place, ".gitmodules")):
        _git("-C", place, "submodule", "--quiet", "update", "--init", "--recursive", "--depth", "1")


def _git(*arguments: str) -> None:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_PROTOCOL_FROM_USER": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment
        )
    except FileNotFoundError:
        raise CommandError(
            "unable to prepare context: unable to find 'git': executable file not found in $PATH"
        ) from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise CommandError(f"unable to prepare context: unable to 'git clone' to temporary context directory: {said}")


def download(address: str) -> Iterator[bytes]:
    """The bytes at an address. Raises CommandError."""
    request = urllib.request.Request(address, headers={"User-Agent": "cais"})  # noqa: S310 -- http and https alone
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310
            while piece := answer.read(_PIECE_BYTES):
                yield piece
    except urllib.error.HTTPError as error:
        raise CommandError(
            f"unable to prepare context: failed to GET {address} with status {error.code} {error.reason}"
        ) from error
    except OSError as error:
        raise CommandError(
            f"unable to prepare context: unable to download remote context {address}: {error}"
        ) from error
