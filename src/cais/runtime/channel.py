"""Messages between caisd, the spawner, the monitors and the processes that they start.

A message is a JSON object behind its length (4 bytes, big-endian); descriptors travel with its first byte
(unix(7), SCM_RIGHTS). The sender's descriptors stay its own.
"""

import json
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Linux passes 253 descriptors at most in one call (SCM_MAX_FD).
_MAX_DESCRIPTORS = 253
_READ_BYTES = 256 * 1024
_LENGTH = struct.Struct("!I")
# A container's environment and arguments are bounded by the kernel at 6 MB (execve(2)); JSON may escape each byte.
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

Message = dict[str, Any]


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of a connected stream socket, in blocking or non-blocking use."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()
        self._closed = False

    def fileno(self) -> int:
        """The socket's descriptor, for a selector."""
        return self.socket.fileno()

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send one message whole, waiting where the socket is full.

        Raises: ChannelClosed.
        """
        body = json.dumps({**message, "fds": len(descriptors)} if descriptors else message).encode()
        data = memoryview(_LENGTH.pack(len(body)) + body)
        try:
            self.socket.setblocking(True)
            sent = socket.send_fds(self.socket, [data], list(descriptors)) if descriptors else self.socket.send(data)
            if sent < len(data):
                self.socket.sendall(data[sent:])
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def receive(self) -> tuple[Message, list[int]]:
        """Wait for one message; its descriptors belong to the caller.

        Raises: ChannelClosed at the end of the stream.
        """
        self.socket.setblocking(True)
        while True:
            if (taken := self._take()) is not None:
                return taken
            if not self._fill():
                raise ChannelClosed("end of stream")

    def receive_available(self) -> list[tuple[Message, list[int]]]:
        """The messages that have arrived, without waiting.

        Raises: ChannelClosed when the other side is gone and nothing is left to read.
        """
        self.socket.setblocking(False)
        try:
            while not self._closed and self._fill():
                pass
        except BlockingIOError:
            pass
        messages = []
        while (taken := self._take()) is not None:
            messages.append(taken)
        if not messages and self._closed:
            raise ChannelClosed("end of stream")
        return messages

    def close(self) -> None:
        """Close the socket and the descriptors that nobody took."""
        self.socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _fill(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self.socket, _READ_BYTES, _MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            data, descriptors = b"", []
        self._descriptors.extend(descriptors)
        self._buffer += data
        self._closed = not data
        return bool(data)

    def _take(self) -> tuple[Message, list[int]] | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > _MAX_MESSAGE_BYTES:
            raise ChannelClosed(f"a message of {length} bytes was announced")
        if len(self._buffer) < _LENGTH.size + length:
            return None
        message: Message = json.loads(self._buffer[_LENGTH.size : _LENGTH.size + length])
        del self._buffer[: _LENGTH.size + length]
        return message, [self._descriptors.popleft() for _ in range(message.pop("fds", 0))]


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
