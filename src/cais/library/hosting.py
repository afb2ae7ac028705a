"""Finding the engine of a pair of folders, or opening it in this process.

A state folder belongs to one process at a time. Whichever has it serves the API at the same socket,
`exec_root/cais.sock`: caisd, or a program that uses this library. So who comes second joins, and nobody needs to
know who was first. An engine that is open here runs in a thread with an event loop of its own: what the rest of the
program does, or whether it has an event loop at all, makes no difference to it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cais.engine.settings import Settings
from cais.errors import CaisError, Conflict, Forbidden, Internal

if TYPE_CHECKING:
    from cais.daemon.listeners import Listeners
    from cais.engine.engine import Engine

PATIENCE_SECONDS: Final = 10.0
"""How long an owner may take to begin to answer, or to be gone."""

SUCCESSOR_SECONDS: Final = 2.0
"""How long another process is left to take over from an owner that went away: a caisd that is restarted, say."""

_PAUSE_SECONDS: Final = 0.05


def socket_path(settings: Settings) -> str:
    """Where the engine of these folders answers."""
    return str(settings.exec_root / "cais.sock")


def answers(path: str) -> bool:
    """Whether somebody listens at a socket, whether or not we may connect."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


class Hosted:
    """An engine in a thread of this process, from `open` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self.users = 0
        self._settings = settings
        self._is_open = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._engine: Engine | None = None
        self._listeners: Listeners | None = None
        self._thread = threading.Thread(target=self._run, name="cais engine", daemon=True)

    def open(self) -> None:
        """Open the engine and serve it. Blocks. Raises CaisError: Conflict when another process has the folder."""
        self._thread.start()
        self._is_open.wait()
        if self._stop is None:
            self._join()

    def close(self) -> None:
        """Close it; containers run on. Blocks until nothing of it is left in this process."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        self._join()

    def disown(self) -> None:
        """In a forked process: leave the socket and the folder to the process that has the thread."""
        if self._engine is not None:
            self._engine.disown()
        if self._listeners is not None:
            for listener in self._listeners.sockets:
                listener.close()

    def _join(self) -> None:
        self._thread.join()
        failure, self._failure = self._failure, None
        if isinstance(failure, CaisError):
            raise failure
        if failure is not None:
            raise Internal(f"the engine failed: {type(failure).__name__}: {failure}") from failure

    def _run(self) -> None:
        try:
            _be_apart()
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  whoever opened or closes it gets it
            self._failure = error
        finally:
            self._is_open.set()

    async def _serve(self) -> None:
        from cais.daemon.listeners import unix_path  # noqa: PLC0415  who only joins an engine needs none of it
        from cais.daemon.serve import serving  # noqa: PLC0415

        path = unix_path(f"unix://{socket_path(self._settings)}")
        stop = asyncio.Event()
        async with serving(self._settings, [path]) as (self._engine, self._listeners):
            self._loop, self._stop = asyncio.get_running_loop(), stop
            self._is_open.set()
            await stop.wait()


class Hold:
    """A use of an engine that is open in this process; it stays open until the last is released."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give it up; the second time does nothing. Blocks while the engine closes."""
        release, self._release = self._release, None
        if release is not None:
            release()


class Register:
    """The engines that are open in this process, and those that stay open until it ends. There is one, `REGISTER`."""

    def __init__(self) -> None:
        self._forget()
        self._watches_process = False

    def hold(self, settings: Settings, *, may_open: bool) -> Hold | None:
        """A use of the engine of these folders; None when it is not open here and was not to be opened.

        Raises CaisError when it cannot be opened.
        """
        with self._lock:
            hosted = self._hosted.get(settings)
            if hosted is None:
                if not may_open:
                    return None
                self._watch_process()
                hosted = Hosted(settings)
                hosted.open()
                self._hosted[settings] = hosted
            hosted.users += 1
        return Hold(lambda: self._release(settings))

    def keep(self, settings: Settings) -> None:
        """Has the engine stay open, where it is open here, until `let_go` or the end of the process."""
        hold = self.hold(settings, may_open=False)
        if hold is not None and self._kept.setdefault(settings, hold) is not hold:
            hold.release()

    def let_go(self) -> None:
        """Closes what was kept open and is not used otherwise."""
        while self._kept:
            with contextlib.suppress(KeyError):  # somebody else was faster
                self._kept.popitem()[1].release()

    def _release(self, settings: Settings) -> None:
        with self._lock:
            hosted = self._hosted.get(settings)
            if hosted is not None:
                hosted.users -= 1
                if hosted.users <= 0:
                    del self._hosted[settings]
                    hosted.close()

    def _watch_process(self) -> None:
        if self._watches_process:
            return
        self._watches_process = True
        import concurrent.futures.thread  # noqa: F401, PLC0415  its own hook for the end must stand before ours

        logging.getLogger("cais").addHandler(logging.NullHandler())
        os.register_at_fork(after_in_child=self._on_fork)
        # An engine closes with the help of threads, and when the hooks of `atexit` are called there are none to be had.
        at_end = getattr(threading, "_register_atexit", atexit.register)
        at_end(self._on_end)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._hosted: dict[Settings, Hosted] = {}
        self._kept: dict[Settings, Hold] = {}

    def _on_fork(self) -> None:
        """These engines are the other process's."""
        for hosted in self._hosted.values():
            hosted.disown()
        self._forget()

    def _on_end(self) -> None:
        self._kept.clear()
        for settings in list(self._hosted):
            with contextlib.suppress(CaisError):
                self._hosted.pop(settings).close()


REGISTER: Final = Register()


def reach(settings: Settings, *, wait_for_successor: bool) -> Hold | None:
    """Sees to it that an engine answers for these folders; the hold on it when it is in this process.

    Blocks. Raises Forbidden where it would have to be opened by another user than root, Conflict when the folder is
    in use by a process that does not answer at the socket, and what opening raises.
    """
    began = time.monotonic()
    if wait_for_successor:
        while time.monotonic() - began < SUCCESSOR_SECONDS and not answers(socket_path(settings)):
            time.sleep(_PAUSE_SECONDS)
    while True:
        if (hold := REGISTER.hold(settings, may_open=False)) is not None:
            return hold
        if answers(socket_path(settings)):
            return None
        if os.geteuid() != 0:
            raise Forbidden(f"no engine answers at {socket_path(settings)!r}, and only root can open one")
        try:
            return REGISTER.hold(settings, may_open=True)
        except Conflict as error:
            if time.monotonic() - began > PATIENCE_SECONDS:
                path = socket_path(settings)
                raise Conflict(f"{error.message}, which does not answer at {path!r}") from error
        time.sleep(_PAUSE_SECONDS)


def _be_apart() -> None:
    """Gives the calling thread, and those that it starts, an umask and a working folder apart from the program's."""
    from cais.linux.namespaces import CLONE_FS, unshare  # noqa: PLC0415

    unshare(CLONE_FS)
    os.umask(0o022)
    os.chdir("/")
