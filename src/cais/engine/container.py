"""One container, as this process sees it: what is stored of it, and what only a running engine has."""

import asyncio
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cais.engine.models import Record, Status
from cais.engine.restarts import Backoff
from cais.runtime.client import Monitor
from cais.runtime.messages import Event

if TYPE_CHECKING:
    from cais.engine.execs import Exec


class Condition(StrEnum):
    """What a client may wait for."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


@dataclass(slots=True)
class WaitingClient:
    """A client that attached before the container was started; the socket is owned until it is handed on."""

    connection: socket.socket
    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    detach_keys: bytes


class Container:
    """A container of the engine.

    `lock` guards what takes several steps: starting, pausing, recording an end, removing. Everything else changes at
    once, in the event loop. `ending`: somebody asked for the end that is to come, so it is followed by no restart.
    `inherited`: an earlier engine started it.
    """

    __slots__ = (
        "_exit_waiters", "_lingering", "_removal_waiters", "backoff", "early_events", "ending", "execs", "inherited",
        "lock", "monitor", "record", "removed", "removing", "restart_timer", "restarting", "starting",
        "waiting_clients",
    )  # fmt: skip

    def __init__(self, record: Record) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.monitor: Monitor | None = None
        self.starting = False
        self.restarting = False
        self.ending = False
        self.inherited = False
        self.backoff = Backoff()
        self.restart_timer: asyncio.TimerHandle | None = None
        self.removing = False
        self.removed = False
        self.early_events: list[tuple[Monitor, Event]] = []
        self.waiting_clients: list[WaitingClient] = []
        self.execs: dict[str, Exec] = {}
        self._exit_waiters: set[asyncio.Future[int]] = set()
        self._removal_waiters: set[asyncio.Future[int]] = set()
        self._lingering: tuple[asyncio.TimerHandle, Callable[[], None]] | None = None

    @property
    def id(self) -> str:
        """The full id."""
        return self.record.id

    @property
    def name(self) -> str:
        """The name, without a slash."""
        return self.record.name

    @property
    def running(self) -> bool:
        """True while it has a process."""
        return self.record.state.running

    @property
    def paused(self) -> bool:
        """True while its processes stand still."""
        return self.record.state.status is Status.PAUSED

    @property
    def health(self) -> str:
        """The state of its health, "none" when nobody checks it."""
        health = self.record.state.health
        return "none" if health is None else health.status

    @property
    def active(self) -> bool:
        """True while it has a process, or waits for a restart."""
        return self.record.state.active

    @property
    def status(self) -> Status:
        """The state as it is shown."""
        return Status.REMOVING if self.removing and not self.running else self.record.state.status

    def event_attributes(self, **extra: str) -> dict[str, str]:
        """What every event about this container tells: its image, name and labels."""
        config = self.record.config
        return {**config.labels, "image": config.Image, "name": self.name, **extra}

    def wait(self, condition: Condition) -> "asyncio.Future[int]":
        """The exit code, at the moment that the condition holds; done already when it does now."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if condition is Condition.REMOVED:
            self.hurry()
            waiters = self._removal_waiters
            at_once = self.removed
        else:
            waiters = self._exit_waiters
            at_once = condition is Condition.NOT_RUNNING and not self.active and not self.starting
        if at_once:
            future.set_result(self.record.state.exit_code)
        else:
            waiters.add(future)
            future.add_done_callback(waiters.discard)
        return future

    @property
    def removal_awaited(self) -> bool:
        """Whether somebody waits for its removal."""
        return bool(self._removal_waiters)

    def linger(self, seconds: float, remove: Callable[[], None]) -> None:
        """Has an ended container removed a little later, or as soon as somebody waits for that: see `hurry`."""
        self._lingering = asyncio.get_running_loop().call_later(seconds, self.hurry), remove

    def hurry(self) -> bool:
        """Has a container removed now that only lingers; False when it does not."""
        if self._lingering is None:
            return False
        (timer, remove), self._lingering = self._lingering, None
        timer.cancel()
        remove()
        return True

    def tell_exit(self) -> None:
        """Answers those who wait for the end of the process."""
        _answer(self._exit_waiters, self.record.state.exit_code)

    def tell_removed(self) -> None:
        """Answers everyone who waits: there is nothing more to come."""
        self.removed = True
        if self._lingering is not None:
            self._lingering[0].cancel()
            self._lingering = None
        _answer(self._removal_waiters, self.record.state.exit_code)
        _answer(self._exit_waiters, self.record.state.exit_code)

    def add_waiting_client(self, client: WaitingClient) -> None:
        """Keeps a client until the next start; those that have hung up meanwhile are let go."""
        self.drop_waiting_clients(lambda known: not _is_open(known.connection))
        self.waiting_clients.append(client)

    def drop_waiting_clients(self, which: Callable[[WaitingClient], bool] = lambda _: True) -> None:
        """Closes the connections of the waiting clients, or of those that `which` chooses."""
        kept = []
        for client in self.waiting_clients:
            if which(client):
                client.connection.close()
            else:
                kept.append(client)
        self.waiting_clients = kept


def _answer(waiters: "Collection[asyncio.Future[int]]", exit_code: int) -> None:
    for future in list(waiters):
        if not future.done():
            future.set_result(exit_code)


def _is_open(connection: socket.socket) -> bool:
    """False when the peer has closed its end."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
