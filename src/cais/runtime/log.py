"""A container's log in Docker's json-file format, rotated.

Each line is {"log":"…\\n","stream":"stdout","attrs":{…},"time":"RFC 3339 with nanoseconds"}; attrs is there when the
container's log options ask for it. Lines that are read together
share their time. What has no newline yet waits for it, up to 16 KiB, as in Docker; a longer line becomes several
records, of which only the last ends with a newline.
"""

import codecs
import os
import time
from collections.abc import Iterator
from json.encoder import encode_basestring

from cais.runtime import compress
from cais.runtime.messages import LogTarget

_PART_BYTES = 16 * 1024
_UTF8_BYTES = 4
_TAIL_BYTES = 256 * 1024
# Bytes that JSON takes as they are, the newline that ends a line among them.
_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\') + b"\n"
# Each byte that is not UTF-8 becomes one U+FFFD, as in Docker; "replace" would take up to three together.
_BYTEWISE = "cais.bytewise"


def _replace_bytewise(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error(_BYTEWISE, _replace_bytewise)


class JsonFileLog:
    """Writes one container's log. It never raises: a full disk loses lines and stops no container."""

    def __init__(self, target: LogTarget) -> None:
        self._target = target
        self._attributes = f'"attrs":{target.attributes},' if target.attributes else ""
        self._partial = {"stdout": b"", "stderr": b""}
        self._clock_second = 0
        self._clock_text = ""
        self._compressing = 0
        self._holds = 0
        self._fd = -1
        self._size = 0
        self._open()

    @property
    def size(self) -> int:
        """The bytes in the current file."""
        return self._size

    def unfinished(self, stream: str) -> bytes:
        """What was written to a stream and is in no file yet, since its line has no end."""
        return self._partial[stream]

    def hold(self, held: bool) -> None:
        """Begin no other file until each call with True was followed by one with False: somebody reads up to a size."""
        self._holds += 1 if held else -1

    def write(self, stream: str, data: bytes) -> None:
        """Take what the container wrote to "stdout" or "stderr"."""
        if partial := self._partial[stream]:
            data = partial + data
        end = 0
        records = []
        for start, end in _whole_parts(data):
            records.append(self._format(stream, data[start:end]))
        self._partial[stream] = data[end:]
        if records:
            self._append(b"".join(records))

    def close(self) -> None:
        """Write the unfinished lines and close the file."""
        for stream, partial in self._partial.items():
            if partial:
                self._append(self._format(stream, partial))
                self._partial[stream] = b""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._await_compression()

    def _format(self, stream: str, part: bytes) -> bytes:
        """The records of whole lines, or of a part of one line."""
        end = f'","stream":"{stream}",{self._attributes}"time":"{self._now()}"}}\n'
        newline = "\\n" if part.endswith(b"\n") else ""
        lines = part[:-1] if newline else part
        if not lines.translate(None, _PLAIN):
            tail = (newline + end).encode()
            return b'{"log":"' + lines.replace(b"\n", tail + b'{"log":"') + tail
        texts = lines.decode("utf-8", _BYTEWISE).split("\n")
        return "".join([f'{{"log":{encode_basestring(text)[:-1]}{newline}{end}' for text in texts]).encode()

    def _now(self) -> str:
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._clock_second:
            self._clock_second = second
            self._clock_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._clock_text}.{nanosecond:09d}Z"

    def _open(self) -> None:
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._target.path, flags, 0o640)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self._fd, self._size = -1, 0
        self._mend()

    def _mend(self) -> None:
        """Take back the end of a record that an earlier monitor, or a whole machine, died writing."""
        while self._size:
            start = max(0, self._size - _TAIL_BYTES)
            try:
                tail = os.pread(self._fd, _TAIL_BYTES, start)
                if tail.endswith(b"\n"):
                    return
                self._size = start + tail.rfind(b"\n") + 1
                os.ftruncate(self._fd, self._size)
            except OSError:
                return

    def _append(self, records: bytes) -> None:
        """Write records, in files that end at the first record which reaches the limit, as Docker's do."""
        limit = self._target.max_bytes
        start = 0
        while start < len(records):
            if self._fd < 0:
                self._open()
            if 0 < limit <= self._size and not self._holds:
                self._rotate()
            end = len(records)
            room = limit - self._size
            if 0 < room < end - start and not self._holds:
                end = records.index(b"\n", start + room - 1) + 1
            self._write(records[start:end])
            start = end

    def _write(self, records: bytes) -> None:
        before = self._size
        try:
            view = memoryview(records)
            while view:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]
        except OSError:
            self._cut(before)

    def _cut(self, size: int) -> None:
        """Take back a record that was written in part."""
        try:
            os.ftruncate(self._fd, size)
            self._size = size
        except OSError:
            pass

    def _rotate(self) -> None:
        path, count = self._target.path, self._target.max_files
        try:
            if count <= 1:
                os.ftruncate(self._fd, 0)
                self._size = 0
                return
            self._await_compression()
            for number in range(count - 1, 1, -1):
                for suffix in ("", compress.SUFFIX):
                    _rename_if_there(f"{path}.{number - 1}{suffix}", f"{path}.{number}{suffix}")
            os.rename(path, f"{path}.1")
        except OSError:
            return
        os.close(self._fd)
        self._open()
        if self._target.compress:
            self._compress(f"{path}.1")

    def _compress(self, path: str) -> None:
        try:
            self._compressing = compress.start(path)
        except OSError:
            pass  # no further process can be had: the file stays as it is

    def _await_compression(self) -> None:
        """Files are renamed when nobody works on them."""
        if self._compressing:
            try:
                os.waitpid(self._compressing, 0)
            except ChildProcessError:
                pass
            self._compressing = 0


def _whole_parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the pieces of `data` that can be written are: whole lines of up to 16 KiB, or 16 KiB of a longer line.

    What is left behind the last piece is shorter than 16 KiB and without a newline.
    """
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _PART_BYTES + 1) + 1
        if not end:
            if len(data) - start < _PART_BYTES:
                return
            end = _before_character(data, start + _PART_BYTES)
        yield start, end
        start = end


def _before_character(data: bytes, end: int) -> int:
    """`end`, or the start of the UTF-8 character that it would cut."""
    for back in range(1, _UTF8_BYTES):
        byte = data[end - back]
        if byte & 0xC0 != 0x80:  # no byte of a character but its first
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end - back if length > back else end
    return end


def _rename_if_there(old: str, new: str) -> None:
    try:
        os.rename(old, new)
    except FileNotFoundError:
        pass
