"""The output of several containers side by side: each line behind the name of its container, in that one's colour."""

from __future__ import annotations

import os
import threading

from cais.cli.output import STDERR, STDOUT, write_all
from cais.client.frames import STDERR as STDERR_FRAME

_COLOURS = ("36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1")


class Printer:
    """Writes whole lines, from several threads. `width` is that of the longest name."""

    def __init__(self, *, prefixes: bool = True, colours: bool | None = None) -> None:
        self._prefixes = prefixes
        self._coloured = os.isatty(STDOUT) if colours is None else colours
        self._lock = threading.Lock()
        self._colours: dict[str, str] = {}
        self.width = 0

    def reserve(self, name: str) -> None:
        """Make room for a name, and give it its colour."""
        with self._lock:
            self.width = max(self.width, len(name))
            if name not in self._colours:
                self._colours[name] = _COLOURS[len(self._colours) % len(_COLOURS)]

    def source(self, name: str) -> Source:
        self.reserve(name)
        return Source(self, name)

    def line(self, name: str, stream: int, line: bytes) -> None:
        with self._lock:
            before = b""
            if self._prefixes:
                prefix = f"{name:<{self.width}}  | "
                before = (f"\x1b[{self._colours[name]}m{prefix}\x1b[0m" if self._coloured else prefix).encode()
            write_all(STDERR if stream == STDERR_FRAME else STDOUT, before + line + b"\n")

    def ended(self, name: str, code: int, *, again: bool = False) -> None:
        """Tell of a container's end; `again`: it is started anew."""
        with self._lock:
            text = f"{name} exited with code {code}" + (" (restarting)" if again else "")
            if self._coloured:
                text = f"\x1b[{self._colours.get(name, '36')}m\x1b[K{text}\x1b[0m"
            write_all(STDOUT, f"{text}\n".encode())


class Source:
    """The output of one container, in pieces of any size."""

    def __init__(self, printer: Printer, name: str) -> None:
        self._printer = printer
        self._name = name
        self._rest: dict[int, bytes] = {}

    def take(self, stream: int, data: bytes) -> None:
        """Print the lines that are whole; no data is the end, which ends the last line too."""
        if not data:
            for which, rest in self._rest.items():
                if rest:
                    self._printer.line(self._name, which, rest)
            self._rest = {}
            return
        *whole, self._rest[stream] = (self._rest.get(stream, b"") + data).split(b"\n")
        for line in whole:
            self._printer.line(self._name, stream, line.removesuffix(b"\r"))
