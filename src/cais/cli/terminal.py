"""The terminal of the user: raw while a container's terminal is shown in it, and the keys that leave it."""

from __future__ import annotations

import os

from cais.cli.command import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class RawTerminal:
    """A context in which the terminal at a descriptor passes every key on as it is. It is restored on every way out."""

    __slots__ = ("_descriptor", "_saved")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[object] | None = None

    def __enter__(self) -> None:
        import termios  # noqa: PLC0415 -- only with a terminal

        saved = termios.tcgetattr(self._descriptor)
        self._saved = list(saved)
        mode = termios.tcgetattr(self._descriptor)
        mode[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[1] &= ~termios.OPOST
        mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import termios  # noqa: PLC0415

        if self._saved is not None:
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._saved)  # type: ignore[arg-type]


def check_terminal(*, stdin: bool, tty: bool) -> None:
    """A container's terminal needs one on this side when keys are to reach it. Raises CommandError."""
    if stdin and tty and not os.isatty(0):
        raise CommandError("the input device is not a TTY")


def parse_detach_keys(text: str) -> bytes:
    """The bytes of a sequence like ctrl-p,ctrl-q or a,b. Raises ValueError."""
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1 and key.isascii():
            keys += key.encode()
        elif key == "DEL":
            keys.append(127)
        elif key.startswith("ctrl-") and len(key) == 6:
            letter = key[5]
            if "a" <= letter <= "z":
                keys.append(ord(letter) - ord("a") + 1)
            elif letter in _CONTROL:
                keys.append(_CONTROL[letter])
            else:
                raise ValueError(f"Unknown character: '{key}'")
        else:
            raise ValueError(f"Unknown character: '{key}'")
    return bytes(keys)


class DetachFilter:
    """Lets input through until the detach keys come; what may be their beginning is held back."""

    __slots__ = ("_held", "_keys", "detached")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """What of the input goes on; `detached` says whether the keys came."""
        if not self._held and self._keys[:1] not in data:
            return data
        passed = bytearray()
        for code in data:
            byte = bytes((code,))
            if self._keys.startswith(self._held + byte):
                self._held += byte
                if self._held == self._keys:
                    self.detached = True
                    return bytes(passed)
                continue
            passed += self._held
            self._held = b""
            if self._keys.startswith(byte):
                self._held = byte
            else:
                passed += byte
        return bytes(passed)
