"""A client that is attached to a process's streams.

Memory is bounded: a client that reads slowly holds the process back, as a pipe would; one that has read nothing
for a while no longer does, and what it misses waits in a file without a name, up to a limit, at which the client
is dropped.
"""

import os
import select
import socket
import struct
import time
from collections import deque
from typing import Protocol

from cais.runtime.messages import StreamOptions
from cais.runtime.poller import Poller

READ_BYTES = 64 * 1024
_HOLD_BYTES = 1024 * 1024  # a client that owes more than this holds the process back …
_STALL_SECONDS = 2.0  # … for as long as it reads something this often
_SPILL_LIMIT_BYTES = 1024 * 1024 * 1024
_FRAME = struct.Struct("!BxxxI")  # the multiplexed stream of Docker's attach: stream, padding, length
_STREAM_NUMBERS = {"stdout": 1, "stderr": 2}


class Source(Protocol):
    """What a client tells the streams that it is attached to."""

    def feed(self, data: bytes) -> None:
        """The client sent input."""

    def client_input_ended(self) -> None:
        """The client closed its sending half."""

    def client_advanced(self) -> None:
        """The client has taken something, or will take nothing more."""

    def client_detached(self) -> None:
        """The client typed the detach keys."""

    def forget(self, client: "Client") -> None:
        """The client is gone."""


class Client:
    """An attached client."""

    def __init__(self, source: Source, poller: Poller, fd: int, options: StreamOptions, spill_folder: str) -> None:
        self._source = source
        self._poller = poller
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._options = options
        self._keys = options.detach_keys.encode("latin-1")
        self._matched = 0
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._spill = Spill(spill_folder)
        self._progress_at = time.monotonic()
        self._reading = True
        self._input_ended = False
        self._ending = False
        self.open = True
        poller.add(fd, select.EPOLLIN, self._on_event)

    @property
    def holds_back(self) -> bool:
        """Whether the process should wait for this client."""
        late = self._queued_bytes > _HOLD_BYTES
        return late and time.monotonic() - self._progress_at < _STALL_SECONDS

    @property
    def idle(self) -> bool:
        """Whether everything was sent."""
        return not self._queue and not self._spill.size

    def send(self, stream: str, data: bytes) -> None:
        """Pass on what the process wrote."""
        if not self.open or not (self._options.stdout if stream == "stdout" else self._options.stderr):
            return
        parts = [_FRAME.pack(_STREAM_NUMBERS[stream], len(data)), data] if self._options.framed else [data]
        if self.idle:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            whole = sum(map(len, parts))
            if sent == whole:
                return
            parts = [b"".join(parts)[sent:]]
            self._progress_at = time.monotonic()
        self._keep(b"".join(parts))

    def pause_reading(self, paused: bool) -> None:
        """Stop or go on taking the client's input."""
        if self.open and not self._input_ended and self._reading == paused:
            self._reading = not paused
            self._watch()

    def end(self) -> None:
        """Nothing more will come: close once everything is sent."""
        self._ending = True
        if self.idle:
            self.close()

    def close(self) -> None:
        """Close now; what was not sent is lost."""
        if self.open:
            self.open = False
            self._poller.remove(self._socket.fileno())
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._socket.close()
            self._spill.close()
            self._source.forget(self)

    def _keep(self, data: bytes) -> None:
        stalled = time.monotonic() - self._progress_at >= _STALL_SECONDS
        if self._spill.size or (self._queued_bytes > _HOLD_BYTES and stalled):
            if not self._spill.append(data):
                self.close()
                return
        else:
            self._queue.append(memoryview(data))
            self._queued_bytes += len(data)
        self._watch()

    def _watch(self) -> None:
        events = (select.EPOLLIN if self._reading else 0) | (0 if self.idle else select.EPOLLOUT)
        self._poller.change(self._socket.fileno(), events)

    def _on_event(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        if self.open and events & select.EPOLLIN and self._reading:
            self._read()
        if self.open and events & (select.EPOLLHUP | select.EPOLLERR) and not events & select.EPOLLIN:
            self.close()

    def _flush(self) -> None:
        try:
            while self._queue or self._refill():
                sent = self._socket.send(self._queue[0])
                self._progress_at = time.monotonic()
                self._queued_bytes -= sent
                if sent == len(self._queue[0]):
                    self._queue.popleft()
                else:
                    self._queue[0] = self._queue[0][sent:]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        finally:
            self._source.client_advanced()
        if self._ending:
            self.close()
        elif self.open:
            self._watch()

    def _refill(self) -> bool:
        data = self._spill.take(READ_BYTES)
        if data:
            self._queue.append(memoryview(data))
            self._queued_bytes += len(data)
        return bool(data)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not data:
            self._reading = False
            self._input_ended = True
            self._watch()
            if self._options.stdin:
                self._source.client_input_ended()
            return
        if self._options.stdin:
            data, detached = self._without_keys(data)
            self._source.feed(data)
            if detached:
                self._source.client_detached()
                self.close()

    def _without_keys(self, data: bytes) -> tuple[bytes, bool]:
        """The input without the detach keys, and whether they were typed in full."""
        if not self._keys:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            self._matched = int(byte == self._keys[0])
            if not self._matched:
                passed.append(byte)
        return bytes(passed), False


class Spill:
    """A queue of bytes in a file without a name."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd = -1
        self._read_at = self._write_at = 0

    @property
    def size(self) -> int:
        """The bytes that wait."""
        return self._write_at - self._read_at

    def append(self, data: bytes) -> bool:
        """Whether there was room for `data`."""
        if self.size + len(data) > _SPILL_LIMIT_BYTES:
            return False
        try:
            if self._fd < 0:
                self._fd = os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            written = os.pwrite(self._fd, data, self._write_at)
        except OSError:
            return False
        self._write_at += written
        return written == len(data)

    def take(self, count: int) -> bytes:
        """The next bytes, b"" when none wait."""
        if not self.size:
            return b""
        data = os.pread(self._fd, min(count, self.size), self._read_at)
        self._read_at += len(data)
        if not self.size:
            os.ftruncate(self._fd, 0)
            self._read_at = self._write_at = 0
        return data

    def close(self) -> None:
        """Give the space back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._read_at = self._write_at = 0
