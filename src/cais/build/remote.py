"""What ADD and contexts take from elsewhere: files behind addresses, and git repositories."""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from cais.build.sources import Source, folder_source
from cais.errors import InvalidArgument, NotFound, Unavailable
from cais.linux.fs import open_in_root
from cais.storage.trees import remove_tree

_GIT: Final = re.compile(r"(?:git://|git@|ssh://|github\.com/|https?://[^#?]*\.git(?:#|\?|$))")
_DIGITS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_CONNECT_SECONDS: Final = 30
_SILENCE_SECONDS: Final = 60
# nothing of the host's settings, no helper programs, no file or ext transports: an address leads to a server
_GIT_ENVIRONMENT: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "git:http:https:ssh",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """Something that was fetched. `name`: its path in the source; "" for all of it."""

    source: Source
    name: str


class Fetcher:
    """Fetches for one build; new_folder names folders that are removed with it."""

    def __init__(self, new_folder: Callable[[str], Path], empty: Path) -> None:
        self._new_folder = new_folder
        self._empty = empty

    @staticmethod
    def is_remote(text: str) -> bool:
        """Whether a source is an address."""
        return is_git(text) or text.startswith(("http://", "https://"))

    async def fetch(self, address: str, checksum: str = "", *, keep_git_dir: bool = False) -> Fetched:
        """Fetch a file or a repository. Raises: InvalidArgument for a wrong checksum; NotFound, Unavailable."""
        folder = self._new_folder("fetched")
        await asyncio.to_thread(folder.mkdir, 0o700)
        if is_git(address):
            if checksum:
                raise InvalidArgument("checksum can't be specified for git sources")
            path = await clone(address, folder, keep_git_dir=keep_git_dir)
            return Fetched(folder_source(path, self._empty), "")
        name = await fetch_file(address, folder, checksum)
        return Fetched(folder_source(folder, self._empty), name)


def is_git(text: str) -> bool:
    """Whether an address is that of a git repository, by Docker's rules."""
    return _GIT.match(text) is not None


async def fetch_file(address: str, folder: Path, checksum: str = "") -> str:
    """Fetch a file into a folder; returns its name. It has Docker's mode 0600, and the server's time.

    Raises: InvalidArgument for a wrong checksum, or an address without a name; NotFound, Unavailable.
    """
    import aiohttp  # noqa: PLC0415  only who fetches needs its client

    name = unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2]
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise InvalidArgument(f"cannot determine filename from url: {address}")
    hashed = _hash_of(checksum) if checksum else hashlib.sha256()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
    path = folder / name
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
            if answer.status >= 400:
                raise NotFound(f"failed to GET {address} with status {answer.status} {answer.reason}")
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                async for piece in answer.content.iter_any():
                    hashed.update(piece)
                    await asyncio.to_thread(_write_all, file, piece)
            finally:
                os.close(file)
            modified = answer.headers.get("Last-Modified", "")
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        raise Unavailable(f"failed to GET {address}: {error}") from error
    found = f"{hashed.name}:{hashed.hexdigest()}"
    if checksum and found != checksum:
        raise InvalidArgument(f"digest mismatch {found}: {checksum}")
    os.utime(path, (_seconds(modified), _seconds(modified)))
    return name


def _hash_of(checksum: str) -> "hashlib._Hash":
    """What computes a digest of the form that a checksum has. Raises: InvalidArgument, in the words of Go's library."""
    algorithm, colon, digits = checksum.partition(":")
    if not colon or not re.fullmatch("[A-Za-z0-9_+.-]+", algorithm):
        raise InvalidArgument(f"invalid checksum digest format: {checksum!r}")
    if algorithm not in _DIGITS:
        raise InvalidArgument(f"unsupported digest algorithm: {checksum!r}")
    if len(digits) != _DIGITS[algorithm]:
        raise InvalidArgument(f"invalid checksum digest length: {checksum!r}")
    if not re.fullmatch("[0-9a-f]*", digits):
        raise InvalidArgument(f"invalid checksum digest format: {checksum!r}")
    return hashlib.new(algorithm)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _seconds(modified: str) -> float:
    try:
        return parsedate_to_datetime(modified).timestamp() if modified else 0.0
    except ValueError:
        return 0.0


async def clone(address: str, folder: Path, *, keep_git_dir: bool = False) -> Path:
    """Check a repository out: `ADDRESS[#[REFERENCE][:FOLDER]]`; returns the folder that is meant.

    Raises: InvalidArgument for an address that makes no sense; Unavailable when it cannot be had.
    """
    repository, _, fragment = address.partition("#")
    reference, _, below = fragment.partition(":")
    if repository.startswith("github.com/"):
        repository = f"https://{repository}"
    if repository.startswith("-") or (reference and not _REFERENCE.fullmatch(reference)):
        raise InvalidArgument(f"invalid git address: {address[:200]}")
    target = folder / "repository"
    target.mkdir(mode=0o755)
    await _git(target, "init", "--quiet")
    await _git(target, "checkout", "--quiet", await _fetch_commit(target, repository, reference or "HEAD"))
    if (target / ".gitmodules").exists():
        await _git(target, "submodule", "update", "--init", "--recursive", "--quiet")
    if not keep_git_dir:
        await asyncio.to_thread(_remove_git, target)
    if not below:
        return target
    found = await asyncio.to_thread(_below, target, below)
    if found is None:
        raise InvalidArgument(f"git context: {below!r} is no folder of the repository")
    return found


async def _fetch_commit(target: Path, repository: str, reference: str) -> str:
    """Fetch what a reference names, no more of it than has to be; returns what to check out."""
    try:
        await _git(target, "fetch", "--quiet", "--depth=1", "--", repository, reference)
    except Unavailable:  # a plain web server has no shallow copies; others give out no commit by its number
        try:
            await _git(target, "fetch", "--quiet", "--", repository, reference)
        except Unavailable:
            if not _COMMIT.fullmatch(reference):
                raise
            await _git(target, "fetch", "--quiet", "--", repository, "+refs/heads/*:refs/remotes/origin/*")
            return reference
    return "FETCH_HEAD"


def _remove_git(target: Path) -> None:
    remove_tree(target / ".git")


def _below(target: Path, below: str) -> Path | None:
    """A folder of a repository; a link inside it leads nowhere else."""
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = open_in_root(root, below, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    finally:
        os.close(root)
    try:
        return Path(os.readlink(f"/proc/self/fd/{found}"))
    finally:
        os.close(found)


async def _git(folder: Path, *arguments: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=folder, env={**_GIT_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unavailable("git is not installed: it is needed for contexts and sources that are repositories") from None
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        text = said.decode("utf-8", "replace").strip()[:500]
        raise Unavailable(f"git {arguments[0]}: {text}")
