"""A container in the foreground: attached to before it is started, waited for, its status ours.

    attach ──▶ (stream)                       on one connection
    wait ──▶ (the engine listens) ──▶ status  on another
    start                                     on the third, once both of the above are answered

So nothing of the output and no exit is missed, however short the container lives. A daemon that goes away meanwhile
takes neither: the stream comes from the container's own monitor, and the status is asked for again (ending.py).
"""

from __future__ import annotations

import os

from cais.cli.ending import Ending
from cais.cli.output import STDOUT, terminal_size
from cais.cli.session import Session
from cais.client import containers
from cais.client.errors import CannotConnect, ConnectionLost, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.signals import Handlers
    from cais.client.engine import Engine
    from cais.client.http import Response


class Attachment:
    """How a container is to be attached to."""

    __slots__ = ("detach_keys", "sig_proxy", "stderr", "stdin", "stdout", "tty")

    def __init__(
        self, *, tty: bool, stdin: bool, stdout: bool, stderr: bool, detach_keys: str, sig_proxy: bool
    ) -> None:
        self.tty = tty
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.detach_keys = detach_keys
        self.sig_proxy = sig_proxy

    @property
    def output(self) -> bool:
        return self.stdout or self.stderr


class StartError(Exception):
    """The engine could not start the container."""


def start_attached(engine: Engine, container: str, how: Attachment, *, removed: bool) -> int | None:
    """Start a container in the foreground. Its exit status, or None when the user detached.

    `removed`: the engine removes the container at its end. Raises StartError and CaisError.
    """
    attaching = containers.attach(
        engine, container, stdin=how.stdin, stdout=how.stdout, stderr=how.stderr, detach_keys=how.detach_keys
    )
    waiting = containers.wait(engine, container, "removed" if removed else "next-exit")
    stream = attaching.response()
    ending = Ending(engine, container, waiting.response(), removed=removed)
    with handlers(engine, container, how):
        try:
            containers.start(engine, container)
        except EngineError as error:
            stream.connection.close()
            if removed:
                ending.await_removal()
            raise StartError(str(error)) from error
        return ending.status() if converse(engine, container, how, stream, ending) else None


def converse(engine: Engine, container: str, how: Attachment, stream: Response, ending: Ending) -> bool:
    """Carry the streams of an attached container; False when the user detached."""
    socket, unread = stream.hijack()
    resize = resizer(lambda rows, columns: containers.resize(engine, container, rows, columns)) if how.tty else None
    session = Session(
        socket,
        unread,
        tty=how.tty,
        stdin=how.stdin,
        output=how.output,
        detach_keys=how.detach_keys,
        resize=resize,
        ending=ending,
    )
    return session.run()


def handlers(engine: Engine, container: str, how: Attachment) -> Handlers:
    """The signals that are handled while a container is in the foreground."""
    from cais.cli.signals import Handlers  # noqa: PLC0415

    made = Handlers()
    if how.sig_proxy:

        def kill(signal: str) -> None:
            try:
                with engine.aside() as aside:
                    containers.kill(aside, container, signal)
            except (EngineError, CannotConnect, ConnectionLost):
                return  # it does not run, or does not run any more

        made.forward_to(kill)
    if how.tty:
        made.on_resize(
            aside_resizer(engine, lambda aside, rows, columns: containers.resize(aside, container, rows, columns))
        )
    return made


def aside_resizer(engine: Engine, send: Callable[[Engine, int, int], None]) -> Callable[[], bool]:
    """A resizer for a handler of signals, which may run in the middle of a request: it has its own connection."""

    def send_aside(rows: int, columns: int) -> None:
        with engine.aside() as aside:
            send(aside, rows, columns)

    return resizer(send_aside) or (lambda: True)


def resizer(send: Callable[[int, int], None]) -> Callable[[], bool] | None:
    """A function that tells the size of our terminal through `send`, and whether that was taken; None without one."""
    if not os.isatty(STDOUT):
        return None

    def resize() -> bool:
        size = terminal_size(STDOUT)
        if size is None or not all(size):
            return True
        try:
            send(size[1], size[0])
        except (EngineError, CannotConnect, ConnectionLost):
            return False
        return True

    return resize
