"""Writing to the terminal, or to whatever stands in its place: UTF-8, unbuffered, complete."""

from __future__ import annotations

import os

STDIN, STDOUT, STDERR = range(3)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything, also to a descriptor that somebody made non-blocking. Raises OSError."""
    while True:
        try:
            written = os.write(descriptor, data)
        except BlockingIOError:
            _wait_until_writable(descriptor)
            continue
        if written == len(data):
            return
        data = memoryview(data)[written:]


def _wait_until_writable(descriptor: int) -> None:
    import select  # noqa: PLC0415 -- seldom needed

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def out(text: str, end: str = "\n") -> None:
    """Print to standard output."""
    write_all(STDOUT, (text + end).encode("utf-8", "surrogateescape"))


def err(text: str, end: str = "\n") -> None:
    """Print to standard error; nobody may be left to read it."""
    try:
        write_all(STDERR, (text + end).encode("utf-8", "surrogateescape"))
    except OSError:
        return


def terminal_size(descriptor: int) -> tuple[int, int] | None:
    """Columns and rows of the terminal at a descriptor, or None where it is none."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return size.columns, size.lines
