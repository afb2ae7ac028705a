"""A program on a pseudo-terminal, driven as a person would: type, read the screen, resize the window."""

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self


class Terminal:
    """Runs `arguments` on a new pseudo-terminal of `rows` by `columns`; ends it on leaving the context."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, rows: int = 24, columns: int = 80
    ) -> None:
        self.seen = ""
        self.exit_code: int | None = None
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvpe(arguments[0], list(arguments), dict(environment))  # noqa: S606
            finally:
                os._exit(127)
        os.set_inheritable(self._descriptor, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.exit_code is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._descriptor)

    def send(self, typed: str) -> None:
        """Type these characters."""
        os.write(self._descriptor, typed.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window, as a terminal emulator does; the kernel signals the program."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: str, seconds: float = 15) -> str:
        """Read until `text` has been shown since the last expect; everything up to its end, which is then forgotten."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            remaining = deadline - time.monotonic()
            assert remaining > 0, f"{text!r} was not shown within {seconds} s; shown: {self.seen!r}"
            assert self._read(remaining), f"the program ended before it showed {text!r}; shown: {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def wait(self, seconds: float = 15) -> int:
        """Read to the end of the program; its exit status, 128 + n where signal n ended it."""
        deadline = time.monotonic() + seconds
        while self.exit_code is None:
            assert time.monotonic() < deadline, f"the program did not end within {seconds} s; shown: {self.seen!r}"
            self._read(0.1)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code
        while self._read(0.1):
            pass
        return self.exit_code

    def _read(self, seconds: float) -> bool:
        """Take what is there within `seconds`; False at the end of the terminal or when nothing came."""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return self.exit_code is None
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # EIO: the last holder of the other side is gone
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)
