"""Writing to the terminal, or to whatever stands in its place: UTF-8, unbuffered, complete."""

from __future__ import annotations

import os

STDIN, STDOUT, STDERR = range(3)
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in {9, 10}}
_CONTROLS |= dict.fromkeys(range(0xDC80, 0xDD00), "\ufffd")  # bytes that are not UTF-8

_BADGE = "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m"


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


def printable(text: str) -> str:
    """`text` without what a terminal would obey: control characters, but for tabs and line ends, are spelled out.

    Names, labels and messages come from images and registries, which are not to be trusted with the user's terminal.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return text.translate(_CONTROLS)


def _shown(text: str, descriptor: int) -> bytes:
    if os.isatty(descriptor):
        text = printable(text)
    return text.encode("utf-8", "surrogateescape")


def out(text: str, end: str = "\n", *, template: str = "") -> None:
    """Print to standard output; what a terminal would obey is spelled out there.

    `template`: what the text was made by. A user who has put control characters in it wants them.
    """
    if template and printable(template) != template:
        write_all(STDOUT, (text + end).encode("utf-8", "surrogateescape"))
    else:
        write_all(STDOUT, _shown(text + end, STDOUT))


def err(text: str, end: str = "\n") -> None:
    """Print to standard error, as `out` does; nobody may be left to read it."""
    try:
        write_all(STDERR, _shown(text + end, STDERR))
    except OSError:
        return


def note(descriptor: int, text: str) -> None:
    """Write a remark, with the badge and the colours of Docker's command where there is a terminal."""
    first, *rest = text.split("\n")
    if os.isatty(descriptor):
        lines = [f"{_BADGE}\x1b[3m{first}\x1b[0m", *(f"         \x1b[3m{line}\x1b[0m" for line in rest)]
    else:
        lines = [f" Info -> {first}", *(f"         {line}" for line in rest)]
    write_all(descriptor, ("\n" + "\n".join(lines) + "\n").encode())


def terminal_size(descriptor: int) -> tuple[int, int] | None:
    """Columns and rows of the terminal at a descriptor, or None where it is none."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return size.columns, size.lines
