"""The context of a build: what a client sends, or what an address leads to, in a folder of the build's own."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from cais.build import remote, trees
from cais.build.archives import is_archive, unpack_context
from cais.build.ignore import Ignore, parse_ignore
from cais.distribution.compression import decompressed
from cais.engine.work import Pipe, run_with_body
from cais.errors import Internal, InvalidArgument
from cais.linux.fs import open_in_root, read_regular
from cais.storage.tarstream import Source

DOCKERFILE: Final = "Dockerfile"
_IGNORE: Final = ".dockerignore"
_MAX_DOCKERFILE_BYTES: Final = 4 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


async def receive(body: AsyncIterator[bytes], folder: Path) -> None:
    """Unpack the archive that a client sends, plain or compressed, into a new folder.

    Raises: InvalidArgument for what is no such archive, or a hostile one; Unavailable when it breaks off.
    """

    def unpack(pipe: Pipe) -> None:
        folder.mkdir(mode=0o755)
        _unpack(pipe, folder)

    await run_with_body(body, unpack)


async def fetch(address: str, folder: Path) -> str:
    """Fetch a context: a repository, an archive, or a Dockerfile alone. Returns the path of the folder that is meant.

    Raises: InvalidArgument, NotFound, Unavailable.
    """
    if remote.is_git(address):
        await asyncio.to_thread(folder.mkdir, 0o755)
        return str(await remote.clone(address, folder))
    if not address.startswith(("http://", "https://")):
        raise InvalidArgument(f"remote context {address[:200]!r}: only http, https and git addresses are supported")
    fetched = folder.with_name(f"{folder.name}-fetched")
    await asyncio.to_thread(fetched.mkdir, 0o700)
    name = await remote.fetch_file(address, fetched)
    await asyncio.to_thread(_take_fetched, fetched, name, folder)
    return str(folder)


def _take_fetched(fetched: Path, name: str, folder: Path) -> None:
    folder.mkdir(mode=0o755)
    root = os.open(fetched, _FOLDER)
    try:
        if not is_archive(root, name):
            shutil.copyfile(fetched / name, folder / DOCKERFILE)
            return
        file = open_in_root(root, name, os.O_RDONLY)
    finally:
        os.close(root)
    with open(file, "rb", buffering=0) as source:
        _unpack(source, folder)


def _unpack(source: Source, folder: Path) -> None:
    unpack_context(decompressed(source), str(folder), str(folder.parent))


def read_dockerfile(folder: Path, name: str) -> bytes:
    """The Dockerfile of a context; a link in the context leads to nothing outside of it. Blocks.

    Raises: Internal, as Docker answers it, where there is none; InvalidArgument for what cannot be read.
    """
    root = os.open(folder, _FOLDER)
    try:
        wanted = name or DOCKERFILE
        for candidate in (wanted, wanted.lower()) if wanted == DOCKERFILE else (wanted,):
            try:
                return read_regular(root, trees.inside(candidate), _MAX_DOCKERFILE_BYTES)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise InvalidArgument(f"failed to read dockerfile {wanted}: {error.strerror}") from error
    finally:
        os.close(root)
    raise Internal(f"Cannot locate specified Dockerfile: {wanted}")


def leave_out(folder: Path, dockerfile: str) -> None:
    """Remove what the context's .dockerignore leaves out; the Dockerfile has been read. Blocks.

    Raises: InvalidArgument for a pattern that makes no sense.
    """
    root = os.open(folder, _FOLDER)
    try:
        text = b""
        for name in (f"{dockerfile or DOCKERFILE}{_IGNORE}", _IGNORE):
            try:
                text = read_regular(root, trees.inside(name), _MAX_DOCKERFILE_BYTES)
                break
            except OSError:
                continue
        ignore = Ignore(parse_ignore(text)) if text else None
        if ignore:
            _remove_ignored(root, ignore)
    finally:
        os.close(root)


def _remove_ignored(root: int, ignore: Ignore) -> None:
    emptied: list[str] = []
    for path, folder, entries in trees.folders(root):
        for name, info in entries:
            whole = f"{path}/{name}" if path else name
            if not ignore.leaves_out(whole):
                continue
            if trees.is_folder_info(info):
                emptied.append(whole)
            else:
                os.unlink(name, dir_fd=folder)
    for path in reversed(emptied):  # what is kept in a folder keeps the folder
        try:
            os.rmdir(path, dir_fd=root)
        except OSError:
            continue
