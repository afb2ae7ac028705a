"""The output of a container as it comes, read in a thread of its own."""

from __future__ import annotations

import threading

from cais.client.errors import CannotConnect, ConnectionLost, EngineError
from cais.client.frames import STDOUT, Demultiplexer
from cais.client.http import BLOCK_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.client.engine import Pending
    from cais.compose.engines import Engines


class Stream:
    """What a container writes from now on, or, with `since`, what its log has from then on.

    `begin` returns once the engine has begun to answer, so that nothing of what follows is missed.
    """

    def __init__(self, engines: Engines, container: str, *, since: float | None, timestamps: bool) -> None:
        self.container = container
        self._engines = engines
        self._since = since
        self._timestamps = timestamps
        self._thread: threading.Thread | None = None

    def begin(self, take: Callable[[int, bytes], None]) -> None:
        """`take` gets the number of a stream and bytes of it, and at the end no bytes."""
        from cais.client import containers  # noqa: PLC0415

        detail = containers.detail(self._engines.main.aside(), self.container)
        tty = bool((detail.get("Config") or {}).get("Tty"))
        pending = self._ask()
        answer = pending.response()
        frames = None if tty else Demultiplexer()
        if self._since is None and not self._timestamps:
            socket, unread = answer.hijack()
            read = _reader(socket.recv, unread)
        else:
            blocks = answer.blocks()
            read = lambda: next(blocks, b"")  # noqa: E731
        self._thread = threading.Thread(target=_carry, args=(read, frames, take), daemon=True)
        self._thread.start()

    def _ask(self) -> Pending:
        from cais.client.http import quote  # noqa: PLC0415

        path = f"/containers/{quote(self.container)}"
        if self._since is None and not self._timestamps:
            query = {"stream": "1", "stdout": "1", "stderr": "1"}
            return self._engines.main.separately("POST", f"{path}/attach", query, upgrade=True)
        query = {"follow": "1", "stdout": "1", "stderr": "1"}
        if self._since is not None:
            query["since"] = f"{self._since:.9f}"
        if self._timestamps:
            query["timestamps"] = "1"
        return self._engines.main.separately("GET", f"{path}/logs", query)

    @property
    def goes_on(self) -> bool:
        """Whether more may come; the log of a container may go on when that is started again."""
        return self._thread is not None and self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for the end of the stream, for some time."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(seconds)


def _reader(receive: Callable[[int], bytes], unread: bytes) -> Callable[[], bytes]:
    left = [unread] if unread else []

    def read() -> bytes:
        return left.pop() if left else receive(BLOCK_BYTES)

    return read


def _carry(read: Callable[[], bytes], frames: Demultiplexer | None, take: Callable[[int, bytes], None]) -> None:
    try:
        while data := read():
            if frames is None:
                take(STDOUT, data)
                continue
            for stream, content in frames.feed(data):
                take(stream, content)
    except (EngineError, CannotConnect, ConnectionLost, OSError):
        pass  # the engine has gone: what came is shown
    take(STDOUT, b"")
