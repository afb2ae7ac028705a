"""Reading what a container has written: Docker's json-file logs, rotated files included.

A log is PATH and, where it was rotated, PATH.1 (newer) to PATH.N (older), which may be compressed (.gz). Reading and
formatting run in a thread, a bounded chunk at a time; a follower is woken by inotify(7).
"""

import asyncio
import contextlib
import os
import tempfile
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from cais.engine.times import parse_time_ns
from cais.linux import inotify
from cais.runtime.compress import SUFFIX, identity

CHUNK_BYTES: Final = 256 * 1024
_STREAM_NUMBERS: Final = {"stdout": b"\x01\0\0\0", "stderr": b"\x02\0\0\0"}
_LOOK_ANYWAY_SECONDS: Final = 5.0
_HEADER_BYTES: Final = 100


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
        self._packed_as = ""  # the identity of the compressed file that is open
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
        while self._descriptor < 0:
            path = self._older.pop(0) if self._older else self._path
            try:
                self._descriptor, self._packed_as = open_file(path)
            except FileNotFoundError:
                if path == self._path:
                    return False
                self._next_start = 0  # the oldest file went while the newer ones were read
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
        if not self._older and not self._packed_as and os.path.samestat(mine, current):
            return True
        if os.fstat(self._descriptor).st_size > self._position:
            return False  # its last lines came just before it was renamed
        self._follow_rename()
        return False

    def _is_open(self, path: Path) -> bool:
        """Whether `path` is, or was before its compression, the open file. Raises FileNotFoundError."""
        mine = os.fstat(self._descriptor)
        if path.suffix != SUFFIX:
            return not self._packed_as and os.path.samestat(mine, os.stat(path))
        with open(path, "rb") as packed:
            return _name_in(packed.read(_HEADER_BYTES)) == (self._packed_as or identity(mine))

    def _follow_rename(self) -> None:
        """Goes to the file that comes after the open one, however often the log was rotated meanwhile."""
        newer: list[Path] = []
        for path in reversed(existing_files(self._path)):
            with contextlib.suppress(FileNotFoundError):
                if self._is_open(path):
                    break
                newer.append(path)
        self._older = [path for path in reversed(newer) if path != self._path]
        self.close()


def existing_files(path: Path) -> list[Path]:
    """The files of a log, oldest first, the current one last."""
    numbers: dict[int, str] = {}
    prefix = f"{path.name}."
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(path.parent):
            number = name.removeprefix(prefix).removesuffix(SUFFIX)
            if name.startswith(prefix) and number.isascii() and number.isdigit():
                numbers[int(number)] = min(
                    name, numbers.get(int(number), name)
                )  # while it is compressed, the plain one
    return [*(path.with_name(numbers[number]) for number in sorted(numbers, reverse=True)), path]


def open_file(path: Path) -> tuple[int, str]:
    """A descriptor of a log file's text, and the identity in its header when it was compressed.

    Raises FileNotFoundError.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC
    if path.suffix != SUFFIX:
        try:
            return os.open(path, flags), ""
        except FileNotFoundError:
            path = path.with_name(path.name + SUFFIX)  # it was compressed just now
    with open(path, "rb") as packed, tempfile.TemporaryFile(dir=path.parent) as text:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        known_by = _name_in(packed.read(_HEADER_BYTES))
        packed.seek(0)
        while data := packed.read(CHUNK_BYTES):
            text.write(unpacker.decompress(data))
        text.flush()
        return os.open(f"/proc/self/fd/{text.fileno()}", flags), known_by


def _name_in(header: bytes) -> str:
    """The name in a gzip header. RFC 1952, 2.3: ten bytes stand before it."""
    return header[10:].partition(b"\0")[0].decode("ascii", "replace")


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
    with open(open_file(path)[0], "rb") as file:
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
