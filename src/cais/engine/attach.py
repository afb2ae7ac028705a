"""Attaching a client to a container: its socket is given to the monitor, and no data passes through this process.

A client that attaches before the start waits with its container, and gets the output from the first byte.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from cais.engine.container import Container, WaitingClient
from cais.engine.events import EventBus
from cais.engine.models import Status
from cais.errors import Conflict, InvalidArgument
from cais.runtime.errors import StartFailed
from cais.runtime.messages import Attachment

DETACH_KEYS: Final = b"\x10\x11"
"""ctrl-p, ctrl-q."""

_CONTROLS: Final = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What a client wants: its streams, what was written before (`logs`), what comes from now on (`stream`).

    Without a terminal the output is framed as Docker's multiplexed stream, unless the client wants it `raw`.
    """

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    raw: bool = False
    detach_keys: bytes = DETACH_KEYS


def parse_detach_keys(text: str) -> bytes:
    """The bytes of a sequence like `ctrl-p,ctrl-q` or `a,ctrl-c`; the default when it is empty.

    Raises InvalidArgument.
    """
    if not text:
        return DETACH_KEYS
    keys = bytearray()
    for key in text.split(","):
        code = _key(key)
        if code is None:
            raise InvalidArgument(f"Invalid detach keys ({text}) provided")
        keys.append(code)
    return bytes(keys)


def _key(key: str) -> int | None:
    if len(key) == 1 and ord(key) < 128:
        return ord(key)
    control = key.removeprefix("ctrl-")
    if control == key or len(control) != 1:
        return None
    if "a" <= control <= "z":
        return ord(control) - ord("a") + 1
    return _CONTROLS.get(control)


async def attach(
    container: Container,
    connection: socket.socket,
    options: AttachOptions,
    events: EventBus,
    earlier: AsyncGenerator[bytes, None] | None = None,
) -> None:
    """Serves a client on its connection, which is taken over, whatever happens.

    `earlier` is what was written before, framed as the client needs it. Returns when the monitor has the connection, or
    when the client waits for the start.
    """
    config = container.record.config
    client = WaitingClient(
        connection=connection,
        stdin=options.stdin and config.OpenStdin,
        stdout=options.stdout,
        stderr=options.stderr,
        framed=not (config.Tty or options.raw),
        detach_keys=options.detach_keys if config.Tty else b"",
    )
    try:
        if earlier is not None and not await _send(connection, earlier):
            connection.close()
            return
        if not options.stream:
            connection.close()
            return
        async with container.lock:
            if container.removed or container.removing:
                connection.close()
            elif container.monitor is None:
                container.add_waiting_client(client)
            else:
                await _give(container, client)
    except BaseException:
        connection.close()
        raise
    events.emit("container", "attach", container.id, container.event_attributes())


async def _give(container: Container, client: WaitingClient) -> None:
    """Hands the connection to the monitor; a container that ended just now has nothing more to say."""
    monitor = container.monitor
    with client.connection as connection:
        attachment = Attachment(
            connection.fileno(), client.stdin, client.stdout, client.stderr, client.framed, client.detach_keys
        )
        if monitor is not None:
            with contextlib.suppress(StartFailed):
                await monitor.attach(attachment)


async def _send(connection: socket.socket, chunks: AsyncGenerator[bytes, None]) -> bool:
    """Writes everything to the connection; False when the client is gone."""
    loop = asyncio.get_running_loop()
    try:
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                await loop.sock_sendall(connection, chunk)
    except OSError:
        return False
    return True


def check_attachable(container: Container, reference: str) -> None:
    """Raises Conflict while it is paused, restarting or being removed; `reference` is what the user calls it."""
    if container.removing:
        raise Conflict(f"container {container.id} is marked for removal and cannot be attached to")
    if container.paused:
        raise Conflict(f"container {reference} is paused, unpause the container before attach")
    if container.record.state.status is Status.RESTARTING:
        raise Conflict(f"container {reference} is restarting, wait until the container is running")
