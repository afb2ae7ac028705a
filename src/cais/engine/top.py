"""The processes of a container, as the host's ps(1) shows them."""

import asyncio
import re
import shlex
from collections.abc import Collection
from typing import Final

import msgspec

from cais.engine.container import Container
from cais.errors import Conflict, Internal, InvalidArgument, Unavailable
from cais.runtime.errors import StartFailed

DEFAULT_ARGUMENTS: Final = "-ef"

# an output format that hides or renames the pid would let processes of the host through
_RENAMED: Final = re.compile(r"\s+(\w+)\s*=\s*(?:PID|pid)(?!\w)")
_BAD: Final = re.compile(r"[^A-Za-z0-9_ ,.:=%+\-'\"]")


class Top(msgspec.Struct):
    """ContainerTopResponse."""

    Titles: list[str]
    Processes: list[list[str]]


async def top(container: Container, arguments: str = DEFAULT_ARGUMENTS) -> Top:
    """What `ps` with the arguments says of the container's processes.

    Raises Conflict when it does not run, InvalidArgument for arguments that ps does not take.
    """
    monitor = container.monitor
    if monitor is None:
        raise Conflict(f"container {container.id} is not running")
    if _BAD.search(arguments) or _RENAMED.search(f" {arguments}"):
        raise InvalidArgument(f"ps argument {arguments[:200]!r} is not supported")
    try:
        pids = await monitor.pids()
        words = shlex.split(arguments)
    except StartFailed as error:
        raise Conflict(f"container {container.id} is not running") from error
    except ValueError as error:
        raise InvalidArgument(f"ps argument {arguments[:200]!r}: {error}") from error
    status, output, errors = await _ps([*words, "-q", ",".join(map(str, pids))])
    if status != 0:  # some options can't be used with -q
        status, output, errors = await _ps(words)
    if status != 0:
        raise Internal(f"ps: {' '.join(errors.split())}")
    return parse(output, set(pids))


def parse(output: str, pids: Collection[int]) -> Top:
    """The lines of ps that are about one of the pids, in columns; the last column takes the rest of its line.

    Raises Internal when there is no column PID.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Internal("Couldn't find PID field in ps output")
    column = titles.index("PID")
    processes = []
    for line in lines[1:]:
        fields = line.split(None, len(titles) - 1)
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids:
            processes.append([*fields[:-1], fields[-1].rstrip()])
    return Top(titles, processes)


async def _ps(arguments: list[str]) -> tuple[int, str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            "ps", *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except FileNotFoundError:
        raise Unavailable('the program "ps" is not installed on this host (package procps)') from None
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace")
