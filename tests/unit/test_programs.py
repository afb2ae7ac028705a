"""Running the distribution's programs."""

import asyncio
import time
from pathlib import Path

import pytest

from cais.distribution.programs import run
from cais.errors import Unavailable
from tests.harness import host


async def test_every_line_is_told_without_control_characters() -> None:
    told: list[str] = []
    await run("sh", "-c", r"printf 'one\n\033[1mtwo\n\n'; echo three >&2; printf 'no end'", tell=told.append)
    assert told == ["one", "[1mtwo", "three", "no end"]


async def test_a_line_without_end_takes_little_memory_and_comes_in_pieces() -> None:
    told: list[str] = []
    await run("sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x", tell=told.append)
    assert len(told) > 5
    assert max(map(len, told)) == 500


async def test_folder_and_variables_reach_the_program(tmp_path: Path) -> None:
    told: list[str] = []
    await run(
        "sh", "-c", "pwd; echo $EXTRA $DEBIAN_FRONTEND", folder=tmp_path, variables={"EXTRA": "x"}, tell=told.append
    )
    assert told == [str(tmp_path), "x noninteractive"]


async def test_a_failure_is_told_with_the_last_lines() -> None:
    with pytest.raises(Unavailable) as caught:
        await run("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo line $i; done; exit 3")
    said = "; ".join(f"line {number}" for number in range(3, 9))
    assert caught.value.message == f"sh -c failed with status 3: {said}"


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(Unavailable, match="no-such-program is not on this machine"):
        await run("no-such-program", "x")


async def test_cancelling_ends_the_program_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 100 & echo $! $$ > {pids}; wait; sleep 100"
    task = asyncio.create_task(run("sh", "-c", script))
    while not pids.exists() or not pids.read_text("ascii").strip():  # noqa: ASYNC110  the shell tells by a file
        await asyncio.sleep(0.01)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 3
    for pid in map(int, pids.read_text("ascii").split()):
        while host.alive(pid):  # killed it is; the kernel takes its time
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.01)
