import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.engine import logs
from cais.engine.logs import LogOptions
from cais.engine.times import parse_time_ns
from cais.runtime.log import JsonFileLog
from cais.runtime.messages import LogTarget


def _line(text: str, stream: str = "stdout", time: str = "2026-01-02T03:04:05.000000000Z") -> str:
    return json.dumps({"log": text, "stream": stream, "time": time}) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x-json.log"


async def _read(path: Path, framed: bool = False, **options: object) -> bytes:
    wanted = LogOptions(**options)  # type: ignore[arg-type]
    return b"".join([chunk async for chunk in logs.read(path, wanted, framed)])


async def test_everything_in_order(path: Path) -> None:
    _write(path, _line("a\n") + _line("b\n", "stderr") + _line("no end"))
    assert await _read(path) == b"a\nb\nno end"
    assert await _read(path, stderr=False) == b"a\nno end"
    assert await _read(path, stdout=False) == b"b\n"


async def test_frames(path: Path) -> None:
    _write(path, _line("é\n") + _line("b\n", "stderr"))
    assert await _read(path, framed=True) == b"\x01\0\0\0\0\0\0\x03\xc3\xa9\n\x02\0\0\0\0\0\0\x02b\n"


async def test_timestamps_and_details(path: Path) -> None:
    _write(path, _line("a\n"))
    assert await _read(path, timestamps=True) == b"2026-01-02T03:04:05.000000000Z a\n"
    assert await _read(path, timestamps=True, details=True) == b"2026-01-02T03:04:05.000000000Z  a\n"


@pytest.mark.parametrize(
    ("tail", "expected"), [(0, b""), (1, b"9\n"), (3, b"7\n8\n9\n"), (10, None), (99, None), (None, None)]
)
async def test_the_last_lines(path: Path, tail: int | None, expected: bytes | None) -> None:
    everything = b"".join(b"%d\n" % number for number in range(10))
    _write(path, "".join(_line(f"{number}\n") for number in range(10)))
    assert await _read(path, tail=tail) == (everything if expected is None else expected)


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(min_value=0, max_value=50))
def test_the_last_lines_are_always_the_last_lines(texts: list[str], tail: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        _write(path, "".join(_line(text + "\n") for text in texts))
        expected = "".join(text + "\n" for text in texts[max(0, len(texts) - tail) :])
        assert asyncio.run(_read(path, tail=tail)).decode("utf-8", "surrogatepass") == expected


async def test_a_time_window(path: Path) -> None:
    times = [f"2026-01-02T03:04:0{second}.500000000Z" for second in range(6)]
    _write(path, "".join(_line(f"{second}\n", time=time) for second, time in enumerate(times)))
    since, until = parse_time_ns(times[2]), parse_time_ns(times[4])
    assert since is not None
    assert until is not None
    assert await _read(path, since_ns=since, until_ns=until) == b"2\n3\n4\n"
    assert await _read(path, until_ns=1) == b""


async def test_rotated_files_are_one_log(path: Path) -> None:
    _write(path.with_name(path.name + ".2"), _line("1\n") + _line("2\n"))
    _write(path.with_name(path.name + ".1"), _line("3\n"))
    _write(path.with_name(path.name + ".1.gz"), "other")
    _write(path, _line("4\n"))
    assert await _read(path) == b"1\n2\n3\n4\n"
    assert await _read(path, tail=3) == b"2\n3\n4\n"
    assert await _read(path, tail=1) == b"4\n"


async def test_no_file_is_no_log(path: Path) -> None:
    assert await _read(path) == b""
    assert await _read(path, tail=5) == b""


async def test_a_torn_line_is_left_out(path: Path) -> None:
    _write(path, _line("a\n") + '{"log":"b\n' + _line("c\n") + '{"log":"half')
    assert await _read(path) == b"a\nc\n"


async def test_a_log_larger_than_a_chunk(path: Path) -> None:
    _write(path, "".join(_line(f"{number:06}\n") for number in range(20_000)))
    data = await _read(path)
    assert data == b"".join(b"%06d\n" % number for number in range(20_000))
    assert await _read(path, tail=15_000) == data[-7 * 15_000 :]


async def test_a_log_up_to_a_size_and_then_the_rest(path: Path) -> None:
    _write(path.with_name(path.name + ".1"), _line("old\n"))
    _write(path, _line("a\n"))
    history = logs.History(path, LogOptions(), framed=False)
    assert b"".join([chunk async for chunk in history.read()]) == b"old\na\n"
    with path.open("a") as file:
        file.write(_line("b\n"))
        size = file.tell()
        file.write(_line("c\n"))
    assert b"".join([chunk async for chunk in history.read(size)]) == b"b\n"
    assert b"".join([chunk async for chunk in history.read()]) == b"c\n"
    history.close()


class Follower:
    """A follower in the background, and what it has got so far."""

    def __init__(self, path: Path, **options: object) -> None:
        self.ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.got = b""
        wanted = LogOptions(follow=True, **options)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self._collect(logs.read(path, wanted, False, lambda: self.ended)))

    async def _collect(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            self.got += chunk

    async def until(self, expected: bytes) -> None:
        async with asyncio.timeout(5):
            while self.got != expected:
                assert expected.startswith(self.got), self.got
                await asyncio.sleep(0.001)


async def test_what_is_written_is_followed_at_once(path: Path) -> None:
    _write(path, _line("a\n"))
    follower = Follower(path)
    await follower.until(b"a\n")
    with path.open("a") as file:
        file.write(_line("b\n"))
        file.flush()
        await follower.until(b"a\nb\n")
        file.write(_line("c\n"))
    follower.ended.set_result(None)
    await follower.until(b"a\nb\nc\n")
    await asyncio.wait_for(follower.task, 1)


async def test_a_follower_begins_before_the_first_line(path: Path) -> None:
    follower = Follower(path)
    await asyncio.sleep(0.05)
    _write(path, _line("a\n"))
    await follower.until(b"a\n")
    follower.ended.set_result(None)
    await asyncio.wait_for(follower.task, 1)


async def test_a_follower_of_the_last_lines(path: Path) -> None:
    _write(path, _line("a\n") + _line("b\n"))
    follower = Follower(path, tail=1)
    await follower.until(b"b\n")
    with path.open("a") as file:
        file.write(_line("c\n"))
    await follower.until(b"b\nc\n")
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)


async def test_rotation_is_followed_without_a_loss(path: Path) -> None:
    log = JsonFileLog(LogTarget(str(path), 2000, 3))
    follower = Follower(path)
    expected = b""
    for number in range(500):
        line = b"line %d\n" % number
        log.write("stdout", line)
        expected += line
        if number % 5 == 0:  # two rotations at most go by unseen: the files are kept that long
            await follower.until(expected)
    log.close()
    follower.ended.set_result(None)
    await follower.until(expected)
    await asyncio.wait_for(follower.task, 1)


async def test_files_that_are_renamed_while_an_older_one_is_read_lose_nothing(path: Path) -> None:
    log = JsonFileLog(LogTarget(str(path), 1000, 100))
    expected = b""
    for number in range(200):
        line = b"line %d\n" % number
        log.write("stdout", line)
        expected += line
    got = b""
    async for chunk in logs.read(path, LogOptions(), framed=False):
        got += chunk
        if len(expected) < 4000:
            for number in range(40):  # about four files a chunk
                log.write("stdout", b"more %d\n" % number)
                expected += b"more %d\n" % number
    log.close()
    assert got == expected


async def test_a_file_that_is_cut_to_nothing_is_read_from_its_start(path: Path) -> None:
    _write(path, _line("a\n" * 50))
    follower = Follower(path)
    await follower.until(b"a\n" * 50)
    os.truncate(path, 0)
    with path.open("a") as file:
        file.write(_line("b\n"))
    await follower.until(b"a\n" * 50 + b"b\n")
    follower.ended.set_result(None)
    await asyncio.wait_for(follower.task, 1)


async def test_no_descriptor_is_left_open(path: Path) -> None:
    _write(path, _line("a\n"))
    before = len(os.listdir("/proc/self/fd"))
    follower = Follower(path)
    await follower.until(b"a\n")
    follower.task.cancel()
    await asyncio.gather(follower.task, return_exceptions=True)
    for _ in range(100):
        if len(os.listdir("/proc/self/fd")) == before:
            break
        await asyncio.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) == before
