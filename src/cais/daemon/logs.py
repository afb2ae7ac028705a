"""Where caisd's own log goes: a file, standard error, or the journal of systemd."""

import logging
import logging.handlers
import socket
from enum import StrEnum
from pathlib import Path
from typing import Final

from cais.errors import Unavailable

DEFAULT_FILE: Final = Path("/var/log/cais/caisd.log")
JOURNAL: Final = "/run/systemd/journal/socket"

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MAX_BYTES: Final = 16 * 1024 * 1024
_KEPT_FILES: Final = 3


class Target(StrEnum):
    """The kinds of log."""

    FILE = "file"
    STDERR = "stderr"
    JOURNALD = "journald"


class OneLineFormatter(logging.Formatter):
    """Escapes control characters in what is logged, which may come from a client; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class JournalHandler(logging.Handler):
    """Sends records to journald's native socket.

    https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
    """

    _PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def __init__(self, address: str = JOURNAL) -> None:
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"cannot log to the journal at {address!r}: {error.strerror}") from error

    def emit(self, record: logging.LogRecord) -> None:
        priority = next((number for level, number in self._PRIORITIES if record.levelno >= level), 7)
        fields = {"PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "caisd", "LOGGER": record.name}
        fields["MESSAGE"] = self.format(record)
        try:
            self._socket.send(b"".join(_field(name, value) for name, value in fields.items()))
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def configure(target: Target, file: Path, debug: bool) -> None:
    """Sends everything that is logged in this process to the target.

    Raises Unavailable when the target cannot be written.
    """
    handler = _handler(target, file)
    plain = target is Target.JOURNALD
    handler.setFormatter(OneLineFormatter("%(message)s" if plain else _FORMAT))
    root = logging.getLogger()
    for known in list(root.handlers):
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("cais").setLevel(logging.DEBUG if debug else logging.INFO)
    logging.raiseExceptions = False


def _handler(target: Target, file: Path) -> logging.Handler:
    if target is Target.STDERR:
        return logging.StreamHandler()
    if target is Target.JOURNALD:
        return JournalHandler()
    try:
        file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            file, maxBytes=_MAX_BYTES, backupCount=_KEPT_FILES, encoding="utf-8"
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"cannot write the log {str(file)!r}: {error.strerror}") from error
