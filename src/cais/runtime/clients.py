"""A client that is attached to a process's streams.

Memory is bounded: a client that reads slowly holds the process back, as a pipe would; one that has read nothing
for a while no longer does, and what it misses waits in a file without a name, up to a limit, at which the client
is dropped. A client that closed its connection is still listened to until its input ends.

A client that comes with a *gate*, a descriptor, gets nothing before a byte arrives there: somebody else sends it what
was written earlier. If the gate closes instead, so does the client's connection.
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
from cais.runtime.spill import Spill

READ_BYTES = 64 * 1024
_HOLD_BYTES = 1024 * 1024  # a client that owes more than this holds the process back …
_STALL_SECONDS = 2.0  # … for as long as it reads something this often
_TURN_BYTES = 1024 * 1024  # what a client is sent before others have their turn
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

    def client_let_in(self) -> None:
        """The client's gate is open, or the client is gone before that."""

    def forget(self, client: "Client") -> None:
        """The client is gone."""


class Client:
    """An attached client."""

    def __init__(
        self, source: Source, poller: Poller, fd: int, options: StreamOptions, spill_folder: str, *, gate_fd: int = -1
    ) -> None:
        self._source = source
        self._poller = poller
        self._options = options
        self._keys = options.detach_keys.encode("latin-1")
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._matched = 0
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._spill = Spill(spill_folder)
        self._progress_at = time.monotonic()
        self._paused = False
        self._input_ended = False
        self._receives = True
        self._ending = False
        self._gate_fd = gate_fd
        self.open = True
        poller.add(fd, select.EPOLLIN, self._on_event)
        if gate_fd >= 0:
            os.set_blocking(gate_fd, False)
            poller.add(gate_fd, select.EPOLLIN, lambda _: self._on_gate())

    @property
    def waits(self) -> bool:
        """Whether its gate is closed."""
        return self._gate_fd >= 0

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
        if not self._receives or not (self._options.stdout if stream == "stdout" else self._options.stderr):
            return
        parts = [_FRAME.pack(_STREAM_NUMBERS[stream], len(data)), data] if self._options.framed else [data]
        if self.idle and not self.waits:
            try:
                sent = self._socket.sendmsg(parts)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._stop_sending()
                return
            if sent == sum(map(len, parts)):
                return
            parts = [b"".join(parts)[sent:]]
            self._progress_at = time.monotonic()
        self._keep(b"".join(parts))

    def pause_reading(self, paused: bool) -> None:
        """Stop or go on taking the client's input."""
        if self.open and self._paused != paused:
            self._paused = paused
            self._watch()

    def end(self) -> None:
        """Nothing more will come: close once everything is sent."""
        self._ending = True
        if self.idle and not self.waits:
            self.close()

    def close(self) -> None:
        """Close now; what was not sent is lost."""
        if self.open:
            self.open = self._receives = False
            self._poller.remove(self._socket.fileno())
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._socket.close()
            self._drop_output()
            self._source.forget(self)
            self._forget_gate()

    def _on_gate(self) -> None:
        try:
            is_open = os.read(self._gate_fd, 1) != b""
        except BlockingIOError:
            return
        self._forget_gate()
        self._progress_at = time.monotonic()
        if not is_open or (self._ending and self.idle):
            self.close()
        elif self.open:
            self._watch()

    def _forget_gate(self) -> None:
        if self.waits:
            self._poller.remove(self._gate_fd)
            os.close(self._gate_fd)
            self._gate_fd = -1
            self._source.client_let_in()

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
        wants_input = not self._paused and not self._input_ended
        wants_output = not self.idle and not self.waits
        events = (select.EPOLLIN if wants_input else 0) | (select.EPOLLOUT if wants_output else 0)
        self._poller.set(self._socket.fileno(), events, self._on_event)

    def _on_event(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._flush()
        if self.open and events & select.EPOLLIN and not self._paused and not self._input_ended:
            self._read()
        elif self.open and events & (select.EPOLLHUP | select.EPOLLERR):
            self._stop_sending()
            if self.open:  # it has input that waits: until that is wanted, a hang-up would be reported without end
                self._poller.remove(self._socket.fileno())

    def _flush(self) -> None:
        left = _TURN_BYTES
        try:
            while left > 0 and (self._queue or self._refill()):
                sent = self._socket.send(self._queue[0])
                self._progress_at = time.monotonic()
                self._queued_bytes -= sent
                left -= sent
                if sent == len(self._queue[0]):
                    self._queue.popleft()
                else:
                    self._queue[0] = self._queue[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._stop_sending()
        self._source.client_advanced()
        if self.open and self.idle:
            if self._ending:
                self.close()
            else:
                self._watch()

    def _refill(self) -> bool:
        data = self._spill.take(READ_BYTES)
        if data:
            self._queue.append(memoryview(data))
            self._queued_bytes += len(data)
        return bool(data)

    def _stop_sending(self) -> None:
        """The client takes nothing more; it is kept while it may still have input to give."""
        self._receives = False
        self._drop_output()
        if self._input_ended or self._ending or not self._options.stdin:
            self.close()
        else:
            self._watch()
            self._source.client_advanced()

    def _drop_output(self) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        self._spill.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_input()
        elif self._options.stdin:
            data, detached = self._without_keys(data)
            self._source.feed(data)
            if detached:
                self._source.client_detached()
                self.close()

    def _end_input(self) -> None:
        self._input_ended = True
        self._watch()
        if self._options.stdin:
            self._source.feed(self._keys[: self._matched])  # the beginning of keys that never came to their end
            self._source.client_input_ended()
        if not self._receives:
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
