"""A conversation with a container: its output to ours, our input to it, over the socket of an upgraded connection.

Without a terminal the container's two outputs come multiplexed; with one there is a single stream, and the keys of the
user pass through the filter that looks for the detach keys.
"""

from __future__ import annotations

import _socket
import os
import select

from cais.cli.command import CommandError
from cais.cli.output import STDERR, STDIN, STDOUT, err, write_all
from cais.client.frames import STDERR as STDERR_FRAME
from cais.client.frames import SYSTEM_ERROR, Demultiplexer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.ending import Ending
    from cais.cli.terminal import DetachFilter

_BLOCK_BYTES = 65536
_RETRY_MILLISECONDS = 50
_RETRIES = 20


class Output:
    """Where a container's output goes."""

    __slots__ = ("_frames",)

    def __init__(self, *, tty: bool) -> None:
        self._frames = None if tty else Demultiplexer()

    def take(self, data: bytes) -> None:
        if self._frames is None:
            write_all(STDOUT, data)
            return
        for stream, content in self._frames.feed(data):
            if stream == SYSTEM_ERROR:
                raise CommandError(f"error from daemon in stream: {content.decode('utf-8', 'replace')}")
            write_all(STDERR if stream == STDERR_FRAME else STDOUT, content)


class Session:
    """One conversation. `run` is what there is to do with it."""

    def __init__(
        self,
        socket: _socket.socket,
        unread: bytes,
        *,
        tty: bool,
        stdin: bool,
        output: bool = True,
        detach_keys: str = "",
        resize: Callable[[], bool] | None = None,
        ending: Ending | None = None,
    ) -> None:
        """`unread` came with the head of the answer. `resize` tells our size, and whether the engine took it."""
        self._socket = socket
        self._unread = unread
        self._tty = tty
        self._stdin = stdin
        self._has_output = output
        self._detach_keys = detach_keys
        self._resize = resize
        self._retries = _RETRIES if resize is not None else 0
        self._ending = ending
        self._output = Output(tty=tty)

    def run(self) -> bool:
        """Carry the streams until the container closes them, or, False, until the user detaches."""
        if self._unread:
            self._output.take(self._unread)
        if self._stdin and self._tty and os.isatty(STDIN):
            from cais.cli.terminal import RawTerminal  # noqa: PLC0415 -- only with a terminal

            with RawTerminal(STDIN):
                return self._converse()
        return self._converse()

    def _converse(self) -> bool:
        link = self._socket.fileno()
        user = _Input(self._socket, self._keys()) if self._stdin else None
        while True:
            ready = self._wait(link, user)
            self._look_after(ready)
            if user is not None:
                if STDIN in ready:
                    user.read()
                user.send()
                if user.detached:
                    return False
                if user.ended and not self._has_output:
                    return True
            if ready.get(link, 0) & ~select.POLLOUT:
                data = self._receive()
                if not data:
                    return True
                self._output.take(data)

    def _wait(self, link: int, user: _Input | None) -> dict[int, int]:
        """The descriptors that something can be done with, and what."""
        poll = select.poll()
        poll.register(link, select.POLLIN | (select.POLLOUT if user and user.waiting else 0))
        if user is not None and user.wants_more:
            poll.register(STDIN, select.POLLIN)
        patience = None if not self._retries else _RETRY_MILLISECONDS
        if self._ending is not None:
            if (descriptor := self._ending.descriptor) is not None:
                poll.register(descriptor, select.POLLIN)
            elif self._ending.is_lost:
                patience = _RETRY_MILLISECONDS
        return dict(poll.poll(patience))

    def _look_after(self, ready: dict[int, int]) -> None:
        """What has to be done beside the streams."""
        if self._ending is not None and (self._ending.is_lost or self._ending.descriptor in ready):
            self._ending.look()
        if self._retries and self._resize is not None:
            self._retries = 0 if self._resize() else self._retries - 1

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_BLOCK_BYTES)
        except ConnectionResetError:
            return b""

    def _keys(self) -> DetachFilter | None:
        if not self._tty:
            return None
        from cais.cli.terminal import DEFAULT_DETACH_KEYS, DetachFilter, parse_detach_keys  # noqa: PLC0415

        try:
            keys = parse_detach_keys(self._detach_keys) if self._detach_keys else DEFAULT_DETACH_KEYS
        except ValueError as error:
            err(f"invalid detach escape keys, using default: {error}")
            keys = DEFAULT_DETACH_KEYS
        return DetachFilter(keys)


class _Input:
    """What the user types, on its way to the container, which may be slow to take it."""

    __slots__ = ("_closed", "_keys", "_open", "_socket", "waiting")

    def __init__(self, socket: _socket.socket, keys: DetachFilter | None) -> None:
        self._socket = socket
        self._keys = keys
        self._open = True
        self._closed = False
        self.waiting = memoryview(b"")  # read, and not yet taken by the socket

    @property
    def wants_more(self) -> bool:
        return self._open and not self.waiting

    @property
    def detached(self) -> bool:
        return self._keys is not None and self._keys.detached

    @property
    def ended(self) -> bool:
        """Whether the container was told that nothing more comes."""
        return self._closed

    def read(self) -> None:
        try:
            typed = os.read(STDIN, _BLOCK_BYTES)
        except OSError:  # the terminal is gone
            typed = b""
        self._open = bool(typed)
        self.waiting = memoryview(self._keys.feed(typed) if self._keys is not None else typed)

    def send(self) -> None:
        """Send what the socket takes now; after the last of it, half-close the connection."""
        try:
            while self.waiting:
                sent = self._socket.send(self.waiting, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
                self.waiting = self.waiting[sent:]
            if not self._open and not self._closed:
                self._closed = True
                self._socket.shutdown(_socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:  # the other side closed first; its output may still be on the way
            self.waiting = memoryview(b"")
            self._open, self._closed = False, True
