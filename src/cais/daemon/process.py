"""caisd as a process: in the background, with a pid file, ready when its parent is told so."""

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Final, Self

from cais.errors import Unavailable
from cais.linux.heap import share_arena

_READY: Final = b"ready"


class Readiness:
    """Tells whoever started this process that it serves, or why it does not; without a parent it does nothing."""

    def __init__(self, descriptor: int = -1) -> None:
        self._descriptor = descriptor

    def ready(self) -> None:
        """Everything works."""
        self._tell(_READY)

    def failed(self, message: str) -> bool:
        """It does not; False when nobody waits for the message."""
        return self._tell(message.encode("utf-8", "replace"))

    def _tell(self, message: bytes) -> bool:
        if self._descriptor < 0:
            return False
        with contextlib.suppress(OSError):
            os.write(self._descriptor, message)
        os.close(self._descriptor)
        self._descriptor = -1
        return True


def detach() -> tuple[Readiness, str | None]:
    """Goes on in a process of its own, in a session of its own, without a terminal.

    Returns twice: in that process with what tells the parent; in the parent, when the other serves or has failed,
    with the error, which is empty when all is well.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child > 0:
        os.close(writing)
        os.waitpid(child, 0)
        with open(reading, "rb") as pipe:
            answer = pipe.read()
        return Readiness(), "" if answer == _READY else answer.decode("utf-8", "replace") or "it ended without a word"
    os.close(reading)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(null, number)
    if null > 2:
        os.close(null)
    return Readiness(writing), None


def prepare() -> None:
    """What every start does: a known umask, as many descriptors as allowed, little memory for threads."""
    os.umask(0o022)
    share_arena()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(AttributeError, OSError):
        sys.stdout.flush()


class PidFile:
    """The pid of this process in a file, while it runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(f"{os.getpid()}\n", encoding="ascii")
        except OSError as error:
            raise Unavailable(f"cannot write the pid file {str(self._path)!r}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self._path.read_text(encoding="ascii").strip() == str(os.getpid()):
                self._path.unlink()
