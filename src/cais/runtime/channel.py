"""Messages between caisd, the spawner, the monitors and the processes that they start.

A message is a JSON object behind its length (4 bytes, big-endian); descriptors travel with its first byte
(unix(7), SCM_RIGHTS). The sender's descriptors stay its own.
"""

import json
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Linux passes 253 descriptors at most in one call (SCM_MAX_FD).
_MAX_DESCRIPTORS = 253
_ANCILLARY_BYTES = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array("i").itemsize)
_READ_BYTES = 32 * 1024
_LENGTH = struct.Struct("!I")
# A container's environment and arguments are bounded by the kernel at 6 MB (execve(2)); JSON may escape each byte.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

# As plain numbers: to combine the interpreter's own flags runs through much of its enum module, and each page that
# is looked at in a monitor becomes one of its own, for reference counts are written there.
_MSG_NOSIGNAL, _MSG_DONTWAIT = int(socket.MSG_NOSIGNAL), int(socket.MSG_DONTWAIT)
_MSG_CMSG_CLOEXEC, _MSG_CTRUNC = int(socket.MSG_CMSG_CLOEXEC), int(socket.MSG_CTRUNC)
# What json.loads comes to in the end, for the same reason
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

Message = dict[str, Any]


class ChannelClosed(Exception):
    """The other side is gone, or says what makes no sense."""


class Channel:
    """One end of a connected stream socket; whether a call waits is the call's affair, not the socket's."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray()
        self._descriptors: deque[list[int]] = deque()  # a list for each message that has some
        self._ended = False
        self._unsent: deque[tuple[memoryview, list[int]]] = deque()

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self.socket.fileno()

    @property
    def holds_more(self) -> bool:
        """Whether bytes were read behind the last message that was taken."""
        return bool(self._buffer)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message whole, waiting where the socket is full. Raises: ChannelClosed."""
        data = _encode(message, descriptors)
        try:
            sent = self._send(data, descriptors, 0)
            while sent < len(data):
                sent += self._send(data[sent:], (), 0)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def post(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """Send one message without waiting; what the socket does not take is kept, with copies of the descriptors.

        Returns: whether everything is sent; else `flush` is to be called when the socket can be written.
        Raises: ChannelClosed.
        """
        data = _encode(message, descriptors)
        sent = 0 if self._unsent else self._try_send(data, descriptors)
        if sent < len(data):
            self._unsent.append((data[sent:], [] if sent else list(map(os.dup, descriptors))))
        return not self._unsent

    def flush(self) -> bool:
        """Send what was kept, without waiting; whether that is all. Raises: ChannelClosed."""
        while self._unsent:
            data, descriptors = self._unsent[0]
            sent = self._try_send(data, descriptors)
            if sent:
                _close_all(descriptors)
                self._unsent[0] = (data[sent:], [])
            if sent < len(data):
                return False
            self._unsent.popleft()
        return True

    def receive(self) -> tuple[Message, list[int]]:
        """Wait for one message; its descriptors belong to the caller.

        Raises: ChannelClosed at the end of the stream.
        """
        while True:
            if (taken := self._take()) is not None:
                return taken
            if not self._fill(0):
                raise ChannelClosed("end of stream")

    def receive_available(self) -> list[tuple[Message, list[int]]]:
        """The messages that have arrived, without waiting; their descriptors belong to the caller.

        Raises: ChannelClosed when the other side is gone and nothing is left to read.
        """
        try:
            while not self._ended and self._fill(_MSG_DONTWAIT):
                pass
        except BlockingIOError:
            pass
        messages = []
        while (taken := self._take()) is not None:
            messages.append(taken)
        if not messages and self._ended:
            raise ChannelClosed("end of stream")
        return messages

    def close(self) -> None:
        """Close the socket and the descriptors that nobody took."""
        self.socket.close()
        for descriptors in (*self._descriptors, *(item[1] for item in self._unsent)):
            _close_all(descriptors)
        self._descriptors.clear()
        self._unsent.clear()

    def _try_send(self, data: memoryview, descriptors: Sequence[int]) -> int:
        """How much of `data` the socket took."""
        try:
            return self._send(data, descriptors, _MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def _send(self, data: memoryview, descriptors: Sequence[int], flags: int) -> int:
        flags |= _MSG_NOSIGNAL
        if not descriptors:
            return self.socket.send(data, flags)
        return self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))], flags)

    def _fill(self, flags: int) -> bool:
        try:
            data, ancillary, happened, _ = self.socket.recvmsg(_READ_BYTES, _ANCILLARY_BYTES, flags | _MSG_CMSG_CLOEXEC)
        except ConnectionError:
            data, ancillary, happened = b"", [], 0
        if ancillary or happened & _MSG_CTRUNC:
            # One call never takes the descriptors of two messages. A process that may open no more gets fewer.
            received = array("i", b"".join(content for _, _, content in ancillary))
            self._descriptors.append(received.tolist())
        self._buffer += data
        self._ended = not data
        return bool(data)

    def _take(self) -> tuple[Message, list[int]] | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > _MAX_MESSAGE_BYTES:
            raise ChannelClosed(f"a message of {length} bytes was announced")
        if len(self._buffer) < _LENGTH.size + length:
            return None
        try:
            message: Message = _scan(self._buffer[_LENGTH.size : _LENGTH.size + length].decode(), 0)[0]
            wanted = message.pop("fds", 0)
        except (StopIteration, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ChannelClosed(f"a message is not valid: {error}") from error
        del self._buffer[: _LENGTH.size + length]
        return message, self._descriptors.popleft() if wanted and self._descriptors else []


@contextmanager
def in_folder(folder: str, name: str) -> Iterator[str]:
    """An address for a unix socket `name` in `folder`, short enough whatever the folder is (unix(7): 107 bytes)."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets for a channel, close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def _encode(message: Message, descriptors: Sequence[int]) -> memoryview:
    body = json.dumps({**message, "fds": len(descriptors)} if descriptors else message).encode()
    return memoryview(_LENGTH.pack(len(body)) + body)


def _close_all(descriptors: Sequence[int]) -> None:
    for fd in descriptors:
        os.close(fd)
