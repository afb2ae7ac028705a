"""Bytes that are copied, counted, and shown at a terminal while they go by."""

from __future__ import annotations

import os
import time

from cais.cli.output import STDERR, write_all
from cais.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHOWN_SECONDS = 0.075


class Counted:
    """Blocks, and how many bytes they have had together, which a terminal is shown."""

    def __init__(self, blocks: Iterable[bytes], title: str, *, shown: bool) -> None:
        self._blocks = blocks
        self._title = title
        self._shown = shown and os.isatty(STDERR)
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        """The cursor's place is kept, and what is written there goes when the copy is done, as in Docker."""
        if not self._shown:
            for block in self._blocks:
                self.bytes += len(block)
                yield block
            return
        write_all(STDERR, b"\x1b7Preparing to copy...")
        try:
            due = 0.0
            for block in self._blocks:
                self.bytes += len(block)
                if (now := time.monotonic()) >= due:
                    due = now + _SHOWN_SECONDS
                    write_all(STDERR, f"\x1b8\x1b[0K{self._title}{human_size(self.bytes, 3)}".encode())
                yield block
        finally:
            write_all(STDERR, b"\x1b8\x1b[2K")
