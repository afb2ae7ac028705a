"""Attaching a client to a container: its socket is given to the monitor, and no data passes through this process.

A client that attaches before the start waits with its container, and gets the output from the first byte. One that
wants what was written earlier too is given to the monitor first, which holds its output back and tells where the log
stands; the log is sent up to there, and the monitor goes on.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from cais.engine.container import Condition, Container, WaitingClient
from cais.engine.events import EventBus
from cais.engine.logs import History
from cais.engine.models import Status
from cais.errors import Conflict, InvalidArgument
from cais.runtime.client import Monitor
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
    history: History | None = None,
) -> None:
    """Serves a client on its connection, which is taken over, whatever happens.

    `history` is what was written before, framed as the client needs it. Returns when the monitor has the connection,
    when the client waits for the start, or when there is nothing more for it.
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
    waits = False
    try:
        if options.stream:
            waits = await _follow(container, client, history)
        elif history is not None:
            await _send(connection, history.read())
    except _Gone:
        return
    finally:
        if not waits:
            connection.close()
    events.emit("container", "attach", container.id, container.event_attributes())


async def _follow(container: Container, client: WaitingClient, history: History | None) -> bool:
    """Sends the history, and sees to it that what comes after that follows, each byte once.

    Returns: True when the client waits for the start with its container, which has its connection then; False when
        a copy of the connection is with the monitor, or the container has ended.
    """
    was_running, run = container.running, container.record.state.started_at_ns
    if history is not None and not was_running:
        await _send(client.connection, history.read())
    async with container.lock:
        if container.removed or container.removing:
            raise _Gone
        if container.monitor is None:
            if not was_running and container.record.state.started_at_ns == run:
                container.add_waiting_client(client)
                return True
            handing = None
        elif history is None:
            await _give(container.monitor, client)
            return False
        else:
            handing = await _HandOver.begin(container, container.monitor, client)
    if history is not None:
        await _finish(client, history, handing)
    return False


class _Gone(Exception):
    """The client is gone, or its container."""


@dataclass(frozen=True, slots=True)
class _HandOver:
    """A client that the monitor has, and to which it sends nothing yet.

    gate: a descriptor, -1 where the container is just ending. log_size: see `Monitor.attach_after_log`. end: done when
    the container has ended, and its log is whole.
    """

    gate: int
    log_size: int | None
    end: "asyncio.Future[int]"

    @classmethod
    async def begin(cls, container: Container, monitor: Monitor, client: WaitingClient) -> "_HandOver":
        """Gives the monitor the connection."""
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        end = container.wait(Condition.NEXT_EXIT)
        try:
            return cls(ours, await monitor.attach_after_log(_attachment(client), theirs), end)
        except BaseException as error:
            os.close(ours)
            if not isinstance(error, StartFailed):
                end.cancel()
                raise
            return cls(-1, None, end)
        finally:
            os.close(theirs)

    def let_in(self) -> None:
        """Has the monitor send: what is in the log has been sent."""
        if self.gate >= 0:
            with contextlib.suppress(OSError):
                os.write(self.gate, b"\0")

    def close(self) -> None:
        """A client that was not let in is let go."""
        self.end.cancel()
        if self.gate >= 0:
            os.close(self.gate)


async def _finish(client: WaitingClient, history: History, handing: _HandOver | None) -> None:
    """Sends what the history has up to the point where the monitor goes on; all of it if there is no monitor."""
    if handing is None:
        await _send(client.connection, history.read())
        return
    try:
        if handing.gate < 0:
            await handing.end
        await _send(client.connection, history.read(handing.log_size))
        handing.let_in()
    finally:
        handing.close()


async def _give(monitor: Monitor, client: WaitingClient) -> None:
    """Hands the connection to the monitor; a container that ended just now has nothing more to say."""
    with contextlib.suppress(StartFailed):
        await monitor.attach(_attachment(client))


def _attachment(client: WaitingClient) -> Attachment:
    return Attachment(
        client.connection.fileno(), client.stdin, client.stdout, client.stderr, client.framed, client.detach_keys
    )


async def _send(connection: socket.socket, chunks: AsyncGenerator[bytes, None]) -> None:
    """Writes everything to the connection. Raises _Gone when the client is."""
    loop = asyncio.get_running_loop()
    try:
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                await loop.sock_sendall(connection, chunk)
    except OSError:
        raise _Gone from None


def check_attachable(container: Container, reference: str) -> None:
    """Raises Conflict while it is paused, restarting or being removed; `reference` is what the user calls it."""
    if container.removing:
        raise Conflict(f"container {container.id} is marked for removal and cannot be attached to")
    if container.paused:
        raise Conflict(f"container {reference} is paused, unpause the container before attach")
    if container.record.state.status is Status.RESTARTING:
        raise Conflict(f"container {reference} is restarting, wait until the container is running")
