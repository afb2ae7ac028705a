"""Running the distribution's own programs: apt-get, dpkg-deb, mmdebstrap."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Final

from cais.errors import Unavailable

Tell = Callable[[str], None]
"""Takes one line for the user."""

_LINES_KEPT: Final = 6
_CHUNK_BYTES: Final = 1 << 14
_GRACE_SECONDS: Final = 1.5


def ignore(_: str) -> None:
    """For lines that nobody wants to see."""


async def run(
    *arguments: str, folder: Path | None = None, variables: Mapping[str, str] | None = None, tell: Tell = ignore
) -> None:
    """Run a program to its end; every line that it prints is told.

    When the caller is cancelled, the program and all that it started are ended first.
    Raises: Unavailable when there is no such program, or it fails; the message has its last lines.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **(variables or {})}
    process = await _start(arguments, folder, environment)
    last: deque[str] = deque(maxlen=_LINES_KEPT)
    try:
        async for line in _lines(process):
            last.append(line)
            tell(line)
        status = await process.wait()
    except BaseException:
        await _end(process)
        raise
    if status != 0:
        said = "; ".join(last) or "it said nothing"
        raise Unavailable(f"{' '.join(arguments[:2])} failed with status {status}: {said}")


async def _start(arguments: tuple[str, ...], folder: Path | None, environment: Mapping[str, str]) -> Process:
    """Start a program in a process group of its own."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, cwd=folder, env=environment, start_new_session=True
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # it may run already, which only asyncio knows so far
        await asyncio.wait({starting})
        if starting.exception() is None:
            await _end(starting.result())
        raise
    except FileNotFoundError:
        raise Unavailable(f"{arguments[0]} is not on this machine; it has to be Debian, Ubuntu or the like") from None
    except OSError as error:
        raise Unavailable(f"run {arguments[0]}: {error.strerror}") from error


async def _lines(process: Process) -> AsyncIterator[str]:
    """The lines that a program prints, without control characters; one that never ends is cut into pieces."""
    assert process.stdout is not None  # noqa: S101  it was started with a pipe
    rest = b""
    while chunk := await process.stdout.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if len(rest) > _CHUNK_BYTES:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if text := _printable(line):
                yield text
    if text := _printable(rest):
        yield text


def _printable(line: bytes) -> str:
    return "".join(char for char in line.decode("utf-8", "replace") if char.isprintable()).strip()[:500]


async def _end(process: Process) -> None:
    """End a program with its children: asked first, then by force."""
    # asyncio.timeout() does not work in a task that was cancelled, before Python 3.12
    ended = asyncio.ensure_future(process.wait())
    try:
        _signal(process, signal.SIGTERM)
        await asyncio.wait({ended}, timeout=_GRACE_SECONDS)
    finally:
        _signal(process, signal.SIGKILL)
    await asyncio.wait({ended}, timeout=_GRACE_SECONDS)


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
