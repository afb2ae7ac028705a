"""Answers that are read as they come, many at once: each is fed with what its socket had, and gives what is whole.

`Response.lines` waits for its own connection; who watches several uses a `LineStream` on each and `poll` on all.
"""

from __future__ import annotations

import _socket

from cais.client.errors import ProtocolError
from cais.client.http import BLOCK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.client.http import Response


class Dechunker:
    """Takes a chunked body (RFC 9112, section 7.1) in pieces of any size and gives its content."""

    __slots__ = ("_in_trailer", "_left", "_line", "ended")

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk that have not come yet, with the line end behind it
        self._line = b""  # the beginning of a line that has not come whole
        self._in_trailer = False
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        content: list[bytes] = []
        at = 0
        while at < len(data) and not self.ended:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                content.append(piece)
                self._left -= len(piece)
                at += len(piece)
            elif self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
            else:
                at = self._read_line(data, at)
        return b"".join(content)

    def _read_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        if end < 0:
            self._line += data[at:]
            return len(data)
        line, self._line = (self._line + data[at:end]).rstrip(b"\r"), b""
        if self._in_trailer:
            self.ended = not line
            return end + 1
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise ProtocolError(f"not the size of a chunk: {line[:40]!r}") from None
        self._in_trailer = not size
        self._left = size + 2 if size else 0
        return end + 1


class LineStream:
    """The lines of an answer's body, for a reader that must not wait.

    The first of them may have come with the answer's head: `read` once before waiting for the descriptor.
    """

    __slots__ = ("_dechunker", "_rest", "_socket", "_unread", "ended")

    def __init__(self, answer: Response) -> None:
        chunked = answer.headers.get("transfer-encoding", "").lower() == "chunked"
        self._dechunker = Dechunker() if chunked else None
        self._socket, self._unread = answer.hijack()
        self._rest = b""
        self.ended = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()
        self.ended = True

    def read(self) -> list[bytes]:
        """The whole lines that can be read without waiting. `ended` says whether there will be none after them."""
        data, self._unread = self._unread, b""
        try:
            more = self._socket.recv(BLOCK_BYTES, _socket.MSG_DONTWAIT)
            self.ended = not more
            data += more
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        if self._dechunker is not None:
            data = self._dechunker.feed(data)
            self.ended = self.ended or self._dechunker.ended
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self.ended and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line for line in whole if line.strip()]
