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
_FIRST_ATTEMPTS: Final = 10  # to find where reading begins while files are being renamed


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


class History:
    """What a log has up to now, read in parts: each goes on where the one before it ended. Close it."""

    def __init__(self, path: Path, options: LogOptions, framed: bool) -> None:
        self._path = path
        self._reader: _Reader | None = None
        self._formatter = Formatter(options, framed)

    async def read(self, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """What is there and was not read yet, in chunks as they go to a client.

        size: of the current file, as much of it is read as makes that size; the log must not be rotated meanwhile.
        """
        if self._reader is None:
            self._reader = await asyncio.to_thread(_Reader, self._path, None)
        self._reader.limit = size
        async for data in _available(self._reader, self._formatter):
            yield data

    def close(self) -> None:
        """Closes the file."""
        if self._reader is not None:
            self._reader.close()


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

    It notices when the current file was renamed (the next one is read after its end) or cut to nothing. Names change
    while it reads: files are told apart by what they are.
    """

    def __init__(self, path: Path, tail: int | None) -> None:
        self._path = path
        self._tail = tail
        self._rest = b""
        self._descriptor = -1
        self._packed_as = ""  # the identity of the compressed file that is open
        self._position = 0
        self.limit: int | None = None  # of the current file, the size up to which it is read
        self._open_first()

    def lines(self) -> list[bytes] | None:
        """The next whole lines; None when there are none now."""
        while True:
            if self._descriptor < 0 and not self._open_first():
                return None
            data = os.pread(self._descriptor, self._wanted_bytes(), self._position)
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

    def _open_first(self) -> bool:
        """Opens the file that is read first; False when there is none. What is written from now on is all read."""
        for _ in range(_FIRST_ATTEMPTS):
            files = _files_as_they_are(self._path)
            if not files:
                self._tail = None
                return False
            with contextlib.suppress(FileNotFoundError):
                names = [path for path, _ in files]
                start, position = (names[0], 0) if self._tail is None else _tail_start(names, self._tail)
                self.close()
                self._descriptor, self._packed_as = open_file(start)
                self._position = position
                if _files_as_they_are(self._path) == files:
                    break  # else it may be another file than the one that was looked for
        self._tail = None
        return self._descriptor >= 0

    def _wanted_bytes(self) -> int:
        if self.limit is None or not self._is_current():
            return CHUNK_BYTES
        return max(0, min(CHUNK_BYTES, self.limit - self._position))

    def _is_current(self) -> bool:
        try:
            current = os.stat(self._path)
        except FileNotFoundError:
            return False
        return not self._packed_as and os.path.samestat(os.fstat(self._descriptor), current)

    def _at_end(self) -> bool:
        """At the end of the open file: True when there is nothing after it yet."""
        if os.fstat(self._descriptor).st_size < self._position:
            self._position, self._rest = 0, b""
            return False
        if self._is_current():
            return True
        if os.fstat(self._descriptor).st_size > self._position:
            return False  # its last lines came just before it was renamed
        return not self._open_following()

    def _open_following(self) -> bool:
        """Goes to the file that comes after the open one, however often the log was rotated; False when none does.

        If the open one is no longer there, all that are came after it.
        """
        while True:
            files = _files_as_they_are(self._path)
            mine = [number for number, (_, identity_there) in enumerate(files) if self._is_open(identity_there)]
            following = files[mine[-1] + 1 :] if mine else files
            if files != _files_as_they_are(self._path):
                continue
            if not following:
                return False
            path, wanted = following[0]
            try:
                descriptor, packed_as = open_file(path)
            except FileNotFoundError:
                continue
            if wanted == (packed_as or _plain_identity(os.fstat(descriptor))):
                self.close()
                self._descriptor, self._packed_as, self._position, self._rest = descriptor, packed_as, 0, b""
                return True
            os.close(descriptor)

    def _is_open(self, identity_there: str) -> bool:
        """Whether that is the open file, or what became of it when it was compressed."""
        if self._packed_as:
            return identity_there == self._packed_as
        mine = os.fstat(self._descriptor)
        return identity_there in (_plain_identity(mine), identity(mine))


def _files_as_they_are(path: Path) -> list[tuple[Path, str]]:
    """The files of a log that are there, oldest first, each with what it is."""
    found = []
    for file in existing_files(path):
        with contextlib.suppress(FileNotFoundError):
            if file.suffix == SUFFIX:
                with open(file, "rb") as packed:
                    found.append((file, _name_in(packed.read(_HEADER_BYTES))))
            else:
                found.append((file, _plain_identity(os.stat(file))))
    return found


def _plain_identity(status: os.stat_result) -> str:
    """What a file is that may still be written."""
    return f"{status.st_dev}-{status.st_ino}"


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


def _tail_start(files: list[Path], tail: int) -> tuple[Path, int]:
    """Where the last `tail` lines begin: the file, and the position in it. Raises FileNotFoundError."""
    wanted = tail
    for path in reversed(files):
        position, found = _position_of_last(path, wanted)
        wanted -= found
        if wanted <= 0:
            return path, position
    return files[0], 0


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
