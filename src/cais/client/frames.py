"""The multiplexed stream of the Engine API: standard output and standard error of a container on one connection.

byte 0        1 standard output, 2 standard error, 3 an error of the engine itself (0 would be standard input)
bytes 1 to 3  zero
bytes 4 to 7  the length of what follows, big endian
"""

from __future__ import annotations

from _struct import unpack_from

HEAD_BYTES = 8
STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)


class Demultiplexer:
    """Takes the stream in pieces of any size and gives the contents, without waiting for a frame to be whole."""

    __slots__ = ("_head", "_left", "_stream")

    def __init__(self) -> None:
        self._stream = STDOUT
        self._left = 0  # bytes of the current frame that have not come yet
        self._head = b""  # the beginning of a head that has not come whole

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The contents of `data` in order: (stream, bytes), where neighbours are of different streams."""
        joined: list[tuple[int, bytes]] = []
        pieces: list[bytes] = []
        stream, left = self._stream, self._left
        if self._head:
            data, self._head = self._head + data, b""
        at, end = 0, len(data)
        while True:
            if left:
                stop = at + left
                if stop > end:
                    pieces.append(data[at:])
                    left = stop - end
                    break
                pieces.append(data[at:stop])
                at, left = stop, 0
            if end - at < HEAD_BYTES:
                self._head = data[at:]
                break
            following, left = unpack_from(">BxxxI", data, at)
            at += HEAD_BYTES
            if following != stream:
                if pieces:
                    joined.append((stream, b"".join(pieces)))
                    pieces = []
                stream = following
        if pieces and (rest := b"".join(pieces)):
            joined.append((stream, rest))
        self._stream, self._left = stream, left
        return joined
