"""Reading what a container has written: Docker's json-file logs, rotated files included.

A log is PATH and, where it was rotated, PATH.1 (newer) to PATH.N (older). Reading and formatting run in a
thread, a bounded chunk at a time; a follower is woken by inotify(7).
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from cais.engine.times import parse_time_ns
from cais.linux import inotify

CHUNK_BYTES: Final = 256 * 1024
_STREAM_NUMBERS: Final = {"stdout": b"\x01\0\0\0", "stderr": b"\x02\0\0\0"}
_LOOK_ANYWAY_SECONDS: Final = 5.0


class LogLine(msgspec.Struct):
    """One line of the file."""

    log: str = ""
    stream: str = "stdout"
    time: str = ""
    attrs: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which lines, and how. Times in nanoseconds since 1970, 0 is "not asked"; `tail` None is all lines."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    until_ns: int = 0
    timestamps: bool = False
    tail: int | None = None
    follow: bool = False
    details: bool = False


class _Ended(Exception):
    """A line is later than what was asked for; `data` is what stands before it."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


class Formatter:
    """Turns lines of the file into what a client gets: framed or raw, with or without timestamps."""

    def __init__(self, options: LogOptions, framed: bool) -> None:
        self._options = options
        self._framed = framed
        self._decoder = msgspec.json.Decoder(LogLine)

    def format(self, lines: Iterable[bytes]) -> bytes:
        """The lines that are wanted. A line that is not whole is left out. Raises _Ended at the end of the time."""
        parts: list[bytes] = []
        for raw in lines:
            try:
                line = self._decoder.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
            if not self._in_time(line, parts):
                continue
            if self._options.stdout if line.stream == "stdout" else self._options.stderr:
                self._append(parts, line)
        return b"".join(parts)

    def _in_time(self, line: LogLine, parts: list[bytes]) -> bool:
        options = self._options
        if not options.since_ns and not options.until_ns:
            return True
        time_ns = parse_time_ns(line.time) or 0
        if options.until_ns and time_ns > options.until_ns:
            raise _Ended(b"".join(parts))
        return time_ns >= options.since_ns

    def _append(self, parts: list[bytes], line: LogLine) -> None:
        text = line.log
        if self._options.details:
            text = f"{_details(line.attrs)} {text}"
        if self._options.timestamps:
            text = f"{line.time} {text}"
        data = text.encode("utf-8", "surrogatepass")
        if self._framed:
            parts.append(_STREAM_NUMBERS.get(line.stream, _STREAM_NUMBERS["stdout"]) + len(data).to_bytes(4))
        parts.append(data)


async def read(
    path: Path, options: LogOptions, framed: bool, ended: "Callable[[], asyncio.Future[Any]] | None" = None
) -> AsyncGenerator[bytes, None]:
    """The log as it goes to a client, in chunks.

    With `follow`, it goes on until the future that `ended` makes is done (the container has ended) and everything is
    read.
    """
    watch = _Watch(path.parent, ended()) if options.follow and ended is not None else None
    formatter = Formatter(options, framed)
    reader = await asyncio.to_thread(_Reader, path, options.tail)
    try:
        while True:
            last_round = watch is None or watch.over
            try:
                async for data in _available(reader, formatter):
                    yield data
            except _Ended as end:
                if end.data:
                    yield end.data
                return
            if last_round or watch is None:
                return
            if not await watch.wait(_seconds_left(options)):
                return
    finally:
        reader.close()
        if watch is not None:
            watch.close()


async def _available(reader: "_Reader", formatter: Formatter) -> AsyncGenerator[bytes, None]:
    """Everything that is in the files now."""
    while True:
        lines = await asyncio.to_thread(reader.lines)
        if lines is None:
            return
        data = await asyncio.to_thread(formatter.format, lines) if len(lines) > 500 else formatter.format(lines)
        if data:
            yield data


def _seconds_left(options: LogOptions) -> float | None:
    if not options.until_ns:
        return None
    return (options.until_ns - time.time_ns()) / 1e9


class _Watch:
    """Tells when something in a folder changes, or the container has ended."""

    def __init__(self, folder: Path, ended: "asyncio.Future[Any]") -> None:
        self._ended = ended
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor = inotify.inotify_init1()
        mask = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO | inotify.IN_DELETE_SELF
        try:
            inotify.inotify_add_watch(self._descriptor, str(folder), mask)
        except OSError:
            pass  # the folder is gone already: then the container has ended, too
        self._loop.add_reader(self._descriptor, self._on_event)
        ended.add_done_callback(self._on_end)

    @property
    def over(self) -> bool:
        """True when nothing more will come."""
        return self._ended.done()

    async def wait(self, seconds: float | None) -> bool:
        """Waits for a change; False when the time is over."""
        if seconds is not None and seconds <= 0:
            return False
        limit = _LOOK_ANYWAY_SECONDS if seconds is None else min(seconds, _LOOK_ANYWAY_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._wake.wait()
        self._wake.clear()
        return True

    def close(self) -> None:
        """Ends the watch, and the wait for the container."""
        self._ended.remove_done_callback(self._on_end)
        self._ended.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _on_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 65536)
        self._wake.set()

    def _on_end(self, _: object) -> None:
        self._wake.set()


class _Reader:
    """Reads the lines of a log across its files, from a number of lines before the end or from the start.

    It notices when the current file was renamed (the next one is read after its end) or cut to nothing.
    """

    def __init__(self, path: Path, tail: int | None) -> None:
        self._path = path
        self._rest = b""
        self._descriptor = -1
        self._position = 0
        files = existing_files(path)
        self._older, start = files[:-1], 0
        if tail is not None:
            self._older, start = _tail_start(files, tail)
        self._next_start = start

    def lines(self) -> list[bytes] | None:
        """The next whole lines; None when there are none now."""
        while True:
            if self._descriptor < 0 and not self._open_next():
                return None
            data = os.pread(self._descriptor, CHUNK_BYTES, self._position)
            if not data:
                if self._at_end():
                    return None
                continue
            self._position += len(data)
            head, newline, tail = (self._rest + data).rpartition(b"\n")
            self._rest = tail
            if newline:
                return head.split(b"\n")

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open_next(self) -> bool:
        path = self._older.pop(0) if self._older else self._path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self._position, self._next_start = self._next_start, 0
        self._rest = b""
        return True

    def _at_end(self) -> bool:
        """At the end of the open file: True when there is nothing after it yet."""
        mine = os.fstat(self._descriptor)
        if mine.st_size < self._position:
            self._position, self._rest = 0, b""
            return False
        try:
            current = os.stat(self._path)
        except FileNotFoundError:
            return not self._older
        if not self._older and (mine.st_dev, mine.st_ino) == (current.st_dev, current.st_ino):
            return True
        if os.fstat(self._descriptor).st_size > self._position:
            return False  # its last lines came just before it was renamed
        self._follow_rename(mine)
        return False

    def _follow_rename(self, mine: os.stat_result) -> None:
        """Goes to the file that comes after the open one, however often the log was rotated meanwhile."""
        newer: list[Path] = []
        for path in reversed(existing_files(self._path)):
            with contextlib.suppress(FileNotFoundError):
                info = os.stat(path)
                if (info.st_dev, info.st_ino) == (mine.st_dev, mine.st_ino):
                    break
                newer.append(path)
        self._older = [path for path in reversed(newer) if path != self._path]
        self.close()


def existing_files(path: Path) -> list[Path]:
    """The files of a log, oldest first, the current one last."""
    numbers = []
    prefix = f"{path.name}."
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(path.parent):
            number = name.removeprefix(prefix)
            if number != name and number.isascii() and number.isdigit():
                numbers.append(int(number))
    return [*(path.with_name(f"{prefix}{number}") for number in sorted(numbers, reverse=True)), path]


def _tail_start(files: list[Path], tail: int) -> tuple[list[Path], int]:
    """Where the last `tail` lines begin: the files that are read before the current one, and the first position."""
    wanted = tail
    for index in range(len(files) - 1, -1, -1):
        try:
            position, found = _position_of_last(files[index], wanted)
        except FileNotFoundError:
            continue
        wanted -= found
        if wanted <= 0:
            return files[index:-1], position
    return files[:-1], 0


def _position_of_last(path: Path, wanted: int) -> tuple[int, int]:
    """The position at which the last `wanted` lines of a file begin, and how many lines that really are."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        if wanted <= 0:
            return end, 0
        found = 0
        position = end
        while position > 0:
            size = min(CHUNK_BYTES, position)
            position -= size
            file.seek(position)
            chunk = file.read(size)
            for offset in _newlines_backwards(chunk):
                at = position + offset + 1
                if at == end:
                    continue  # the newline that ends the last line
                found += 1
                if found == wanted:
                    return at, found
        return 0, found + (1 if end else 0)


def _newlines_backwards(chunk: bytes) -> Iterator[int]:
    offset = chunk.rfind(b"\n")
    while offset >= 0:
        yield offset
        offset = chunk.rfind(b"\n", 0, offset)


def _details(attributes: dict[str, str]) -> str:
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(attributes.items()))
