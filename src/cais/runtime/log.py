"""A container's log in Docker's json-file format, rotated.

Each line is {"log":"…\\n","stream":"stdout","time":"RFC 3339 with nanoseconds"}. Lines that are read together
share their time. What has no newline yet waits for it, up to 16 KiB, as in Docker.
"""

import os
import time
from json.encoder import encode_basestring

from cais.runtime.messages import LogTarget

_LINE_BYTES = 16 * 1024
# Bytes that JSON takes as they are, the newline that ends a line among them.
_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\') + b"\n"


class JsonFileLog:
    """Writes one container's log. It never raises: a full disk loses lines and stops no container."""

    def __init__(self, target: LogTarget) -> None:
        self._target = target
        self._partial = {"stdout": b"", "stderr": b""}
        self._clock_second = 0
        self._clock_text = ""
        self.lost_bytes = 0
        self._fd = -1
        self._size = 0
        self._open()

    def write(self, stream: str, data: bytes) -> None:
        """Take what the container wrote to "stdout" or "stderr"."""
        data = self._partial[stream] + data
        end = data.rfind(b"\n") + 1
        complete, partial = data[:end], data[end:]
        while len(partial) >= _LINE_BYTES:
            self._append(self._format(stream, complete) + self._format_line(stream, partial[:_LINE_BYTES]))
            complete, partial = b"", partial[_LINE_BYTES:]
        self._partial[stream] = partial
        if complete:
            self._append(self._format(stream, complete))

    def close(self) -> None:
        """Write the unfinished lines and close the file."""
        for stream, partial in self._partial.items():
            if partial:
                self._append(self._format_line(stream, partial))
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _format(self, stream: str, lines: bytes) -> bytes:
        """The records of whole lines."""
        if not lines:
            return b""
        tail = f'\\n","stream":"{stream}","time":"{self._now()}"}}\n'
        if not lines.translate(None, _PLAIN):
            end = tail.encode()
            body = lines[:-1].replace(b"\n", end + b'{"log":"')
            return b'{"log":"' + body + end
        texts = lines[:-1].decode("utf-8", "replace").split("\n")
        return "".join([f'{{"log":{encode_basestring(text)[:-1]}{tail}' for text in texts]).encode()

    def _format_line(self, stream: str, line: bytes) -> bytes:
        """The record of a part of a line."""
        text = encode_basestring(line.decode("utf-8", "replace"))
        return f'{{"log":{text},"stream":"{stream}","time":"{self._now()}"}}\n'.encode()

    def _now(self) -> str:
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        if second != self._clock_second:
            self._clock_second = second
            self._clock_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._clock_text}.{nanosecond:09d}Z"

    def _open(self) -> None:
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._target.path, flags, 0o640)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self._fd, self._size = -1, 0

    def _append(self, records: bytes) -> None:
        if self._fd < 0:
            self._open()
        before = self._size
        try:
            view = memoryview(records)
            while view:
                written = os.write(self._fd, view)
                self._size += written
                view = view[written:]
        except OSError:
            self.lost_bytes += len(records)
            self._cut(before)
        if 0 < self._target.max_bytes <= self._size:
            self._rotate()

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
            for number in range(count - 1, 1, -1):
                _rename_if_there(f"{path}.{number - 1}", f"{path}.{number}")
            os.rename(path, f"{path}.1")
        except OSError:
            return
        os.close(self._fd)
        self._open()


def _rename_if_there(old: str, new: str) -> None:
    try:
        os.rename(old, new)
    except FileNotFoundError:
        pass
