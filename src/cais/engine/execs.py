"""Further commands in running containers: made, started, inspected.

An exec is kept in memory while its container runs and for a while after its end. One that runs is known
to the container's monitor, and so survives this engine: `restore` takes it up again with what was noted of it in
the container's run folder.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from cais.engine import names, spec
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.host import Host
from cais.engine.models import ExecConfig, Status, strings
from cais.engine.settings import Settings
from cais.engine.signals import parse_signal
from cais.engine.starting import custom_seccomp, seccomp_program
from cais.engine.validation import check_environment
from cais.errors import CaisError, Conflict, Internal, InvalidArgument, NotFound
from cais.runtime.client import Monitor
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Attachment, ExecRequest, RunningExec

_log = logging.getLogger("cais.engine.execs")

FAILED: Final = "OCI runtime exec failed: exec failed: unable to start container process: "
_EXIT_CODES: Final = {Reason.NOT_FOUND: 127, Reason.NOT_EXECUTABLE: 126}
_OTHER_EXIT_CODE: Final = 126
_KEPT_SECONDS: Final = 300.0
_ENDED_WITH_CONTAINER: Final = 137
_NOTE_PREFIX: Final = "exec-"
_READY_SECONDS: Final = 1.0
_NOTED_AFTER_SECONDS: Final = 0.02


class Exec:
    """One exec of a container. `exit_code` is None until it has ended."""

    __slots__ = (
        "__weakref__", "config", "container", "ended_at", "exit_code", "id", "noted", "pid", "request", "started",
    )  # fmt: skip

    def __init__(self, exec_id: str, container: Container, config: ExecConfig) -> None:
        self.id = exec_id
        self.container = container
        self.config = config
        self.request: ExecRequest | None = None  # what the runtime is asked, from when it is made to the start
        self.noted = False
        self.started = False
        self.pid = 0
        self.exit_code: int | None = None
        self.ended_at = 0.0

    @property
    def running(self) -> bool:
        """True between its start and its end."""
        return self.started and self.exit_code is None

    def end(self, exit_code: int) -> None:
        """Records the end."""
        self.exit_code = exit_code
        self.ended_at = time.monotonic()

    def end_with_container(self) -> None:
        """The container has ended, and everything in it."""
        if self.running:
            self.end(_ENDED_WITH_CONTAINER)

    @property
    def forgettable(self) -> bool:
        """True when nobody is likely to ask for it again."""
        return self.exit_code is not None and time.monotonic() - self.ended_at > _KEPT_SECONDS


class Note(msgspec.Struct):
    """What is noted of a running exec for an engine that takes it up again."""

    id: str
    config: ExecConfig


class Execs:
    """The execs of all containers of one engine."""

    def __init__(
        self, settings: Settings, host: Host, containers: Containers, events: EventBus,
        linked: Callable[[Container], Sequence[str]],
    ) -> None:  # fmt: skip
        """linked: the variables of a container's links, as they are now."""
        self._settings = settings
        self._host = host
        self._containers = containers
        self._events = events
        self._linked = linked
        # the containers hold their execs
        self._by_id: weakref.WeakValueDictionary[str, Exec] = weakref.WeakValueDictionary()

    def create(self, reference: str, config: ExecConfig) -> Exec:
        """Makes an exec in a running container. Raises NotFound, Conflict, InvalidArgument."""
        container = self._containers.find(reference)
        if not strings(config.Cmd):
            raise InvalidArgument("No exec command specified")
        check_environment(config.Env or ())
        if any("\0" in text for text in (*strings(config.Cmd), config.User, config.WorkingDir)):
            raise InvalidArgument("invalid exec configuration: a value contains a NUL byte")
        if config.WorkingDir and not config.WorkingDir.startswith("/"):
            raise InvalidArgument(f"Cwd must be an absolute path: {config.WorkingDir!r}")
        require_running(container, reference)
        self._forget(container)
        made = Exec(names.new_id(), container, config)
        container.execs[made.id] = made
        self._by_id[made.id] = made
        self._emit(made, "exec_create")
        self._get_ready(made)
        return made

    def find(self, exec_id: str) -> Exec:
        """The exec with this id; the end of its process is known as soon as its client can know it.

        Raises NotFound.
        """
        found = self._by_id.get(exec_id)
        if found is None or found.container.removed:
            raise NotFound(f"No such exec instance: {exec_id}")
        if found.container.monitor is not None:
            found.container.monitor.poll()
        return found

    def check_startable(self, item: Exec) -> None:
        """Raises Conflict when it has been started before, or its container does not run or is paused."""
        if item.exit_code is not None:
            raise Conflict(f"exec command {item.id} has already run")
        if item.started:
            raise Conflict(f"exec command {item.id} is already running")
        require_running(item.container, item.container.id)

    async def start_detached(self, item: Exec, size: tuple[int, int] | None = None) -> None:
        """Starts an exec whose output nobody reads.

        Raises Conflict, InvalidArgument when the command cannot be executed.
        """
        self.check_startable(item)
        try:
            await self._start(item, None, size)
        except StartFailed as error:
            raise _translate(error) from error

    async def start_attached(
        self, item: Exec, connection: socket.socket, detach_keys: bytes, size: tuple[int, int] | None = None,
        *, framed: bool = True,
    ) -> None:  # fmt: skip
        """Starts an exec and gives the connection to it; the connection is taken over, whatever happens.

        framed: the output comes as Docker's multiplexed stream; that is for the client to say, terminal or not.

        What goes wrong from here on is told in the stream itself, as Docker does.
        """
        with connection:
            try:
                self.check_startable(item)
                attachment = Attachment(
                    connection.fileno(),
                    stdin=item.config.AttachStdin,
                    stdout=item.config.AttachStdout,
                    stderr=item.config.AttachStderr,
                    framed=framed,
                    detach_keys=detach_keys if item.config.Tty else b"",
                )
                await self._start(item, attachment, size)
            except StartFailed as error:
                await _tell(connection, f"{_describe(error)}\r\n", framed=framed)
            except CaisError as error:
                await _tell(connection, f"{error.message}\r\n", framed=framed)

    async def resize(self, item: Exec, rows: int, columns: int) -> None:
        """Sets the size of an exec's terminal. Raises Conflict when it does not run."""
        monitor = item.container.monitor
        if monitor is None or not item.running:
            raise Conflict(f"exec {item.id} is not running")
        try:
            await monitor.resize_exec(item.id, rows, columns)
        except StartFailed as error:
            raise Conflict(f"cannot resize exec {item.id}: {error.message}") from error

    async def kill(self, item: Exec, signal: str) -> None:
        """Sends a signal, SIGKILL unless named, to an exec's process. Raises Conflict when it does not run."""
        number = parse_signal(signal or "SIGKILL")
        monitor = item.container.monitor
        if monitor is None or not item.running:
            raise Conflict(f"exec {item.id} is not running")
        try:
            await monitor.signal_exec(item.id, number)
        except StartFailed as error:
            raise Conflict(f"cannot kill exec {item.id}: {error.message}") from error

    def forget(self, item: Exec) -> None:
        """Drops an exec that nobody will ask for any more."""
        item.container.execs.pop(item.id, None)
        self._remove_note(item)

    def restore(self, container: Container, monitor: Monitor) -> None:
        """Takes up the execs that a container's monitor knows. Blocks for a moment: it reads small files."""
        for known in monitor.execs:
            item = Exec(known.id, container, self._read_note(container, known))
            item.started = item.noted = True
            item.pid = known.pid
            if known.exit_code is not None:
                item.end(known.exit_code)
            container.execs[item.id] = item
            self._by_id[item.id] = item

    async def _start(self, item: Exec, attachment: Attachment | None, size: tuple[int, int] | None) -> None:
        container = item.container
        monitor = container.monitor
        if monitor is None:
            raise Conflict(f"container {container.id} is not running")
        item.started = True
        self._emit(item, "exec_start")
        try:
            request, item.request = self._request(item), None
            if item.config.Tty:
                request = replace(request, terminal_size=size)
            item.pid = await monitor.exec(request, attachment)
            if attachment is None:
                self._note(item)
            else:  # its client waits for it, and most are short: a file takes as long as a request does
                asyncio.get_running_loop().call_later(_NOTED_AFTER_SECONDS, self._note, item)
        except StartFailed as error:
            item.end(_EXIT_CODES.get(error.reason, _OTHER_EXIT_CODE))
            raise
        except CaisError:
            item.end(_OTHER_EXIT_CODE)
            raise

    def _get_ready(self, item: Exec) -> None:
        """Have the monitor begin with what the start will need; most clients ask for it at once."""
        monitor = item.container.monitor
        if monitor is None:
            return
        with contextlib.suppress(CaisError):  # the start will say it
            monitor.prepare_exec(self._request(item))
        asyncio.get_running_loop().call_later(_READY_SECONDS, self._stand_down, item, monitor)

    def _stand_down(self, item: Exec, monitor: Monitor) -> None:
        """Nobody has started the exec: what was made ready is not kept."""
        if not item.started:
            monitor.forget_exec(item.id)

    def _request(self, item: Exec) -> ExecRequest:
        """What the runtime is asked, made once; but for the size of the terminal, which the start brings."""
        if item.request is None:
            record = item.container.record
            item.request = ExecRequest(
                item.id,
                spec.exec_process(record, item.config, self._host, self._linked(item.container)),
                open_stdin=item.config.AttachStdin,
                seccomp=seccomp_program(record.host_config, self._host, self._settings),
                waits_inside=not custom_seccomp(record.host_config),
            )
        return item.request

    def _note(self, item: Exec) -> None:
        if not item.running:
            return
        note = msgspec.json.encode(Note(item.id, item.config))
        with contextlib.suppress(OSError):  # without the note an exec can still be run, only not taken up again in full
            self._note_path(item.container, item.id).write_bytes(note)
            item.noted = True

    def _remove_note(self, item: Exec) -> None:
        if not item.noted:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._note_path(item.container, item.id))

    def _note_path(self, container: Container, exec_id: str) -> Path:
        return self._settings.bundles / container.id / f"{_NOTE_PREFIX}{exec_id}.json"

    def _read_note(self, container: Container, known: RunningExec) -> ExecConfig:
        try:
            return msgspec.json.decode(self._note_path(container, known.id).read_bytes(), type=Note).config
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("container %s: nothing is noted of exec %s: %s", container.id, known.id, error)
            return ExecConfig()

    def _forget(self, container: Container) -> None:
        """Drops what nobody will ask for any more: execs that ended some minutes ago."""
        for item in _forgettable(container):
            self.forget(item)

    def _emit(self, item: Exec, action: str) -> None:
        """The event of a step, worded as Docker does: a space follows the command, whether an argument does or not."""
        command, *arguments = strings(item.config.Cmd)
        attributes = item.container.event_attributes(execID=item.id)
        text = f"{action}: {command} {' '.join(arguments)}"
        self._events.emit("container", text, item.container.id, attributes)


def _forgettable(container: Container) -> Iterator[Exec]:
    """The oldest execs first, up to the first that is still of use."""
    for item in list(container.execs.values()):
        if not item.forgettable:
            return
        yield item


def require_running(container: Container, reference: str) -> None:
    """Raises Conflict unless a further command can be run; `reference` is what the user calls the container."""
    if container.record.state.status is Status.RESTARTING:
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    if container.paused:
        raise Conflict(f"Container {reference} is paused, unpause the container before exec")


def _translate(error: StartFailed) -> CaisError:
    message = _describe(error)
    return Internal(message) if error.reason is Reason.INTERNAL else InvalidArgument(message)


def _describe(error: StartFailed) -> str:
    """A user that is not there is named plainly, as in Docker."""
    return error.message if error.message.startswith("unable to find ") else f"{FAILED}{error.message}"


async def _tell(connection: socket.socket, text: str, framed: bool) -> None:
    """Writes a message into the stream, as standard output, and ends the stream."""
    data = text.encode()
    if framed:
        data = b"\x01\0\0\0" + len(data).to_bytes(4) + data
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        await loop.sock_sendall(connection, data)
        connection.shutdown(socket.SHUT_RDWR)
