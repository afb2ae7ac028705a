"""The life of a container: started, stopped, killed, ended, removed.

What the monitors report arrives in `_on_event`, in the event loop; the state in memory changes there and
then, so that whoever asks next sees it. What follows from an end (storing it, removing a container that
was to be removed) happens in a task under the container's lock.
"""

import asyncio
import functools
import logging

from cais.engine import starting
from cais.engine.container import Condition, Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.host import Host
from cais.engine.images import Images
from cais.engine.models import Status
from cais.engine.settings import Settings
from cais.engine.signals import parse_signal
from cais.engine.tasks import Tasks
from cais.errors import CaisError, Conflict, Internal, InvalidArgument, NotFound, NotModified
from cais.runtime.client import Monitor, Runtime
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Attachment, Detached, Event, ExecExited, Exited, Lost, Oom

_log = logging.getLogger("cais.engine.lifecycle")

SIGKILL = 9
KILL_SECONDS = 10.0
LOST_EXIT_CODE = 137
LOST_ERROR = "the monitor of the container ended without a word; the container was killed"
_EXIT_CODES = {Reason.NOT_FOUND: 127, Reason.NOT_EXECUTABLE: 126}
_OTHER_EXIT_CODE = 128


class Lifecycle:
    """Starts and ends the containers of one engine."""

    def __init__(
        self,
        *,
        settings: Settings,
        host: Host,
        containers: Containers,
        images: Images,
        runtime: Runtime,
        events: EventBus,
        tasks: Tasks,
    ) -> None:
        self._settings = settings
        self._host = host
        self._containers = containers
        self._images = images
        self._runtime = runtime
        self._events = events
        self._tasks = tasks

    async def start(self, container: Container) -> None:
        """Starts a container; returns when its process runs.

        Raises NotModified when it runs already, Conflict while it is being removed, InvalidArgument when its
        command cannot be executed, and what the runtime has to say.
        """
        async with container.lock:
            if container.removed:
                raise NotFound(f"No such container: {container.id}")
            if container.removing:
                raise Conflict("container is marked for removal and cannot be started")
            if container.running:
                raise NotModified(f"container {container.name} is already started")
            container.starting = True
            try:
                await self._start(container)
            except CaisError as error:
                await self._start_failed(container, error)
                raise
            finally:
                container.starting = False
                early, container.early_events = container.early_events, []
        for monitor, event in early:
            self._on_event(container, monitor, event)

    async def stop(self, container: Container, timeout_seconds: int | None = None, signal: str = "") -> None:
        """Asks the container to end, waits, and kills it after the time it has; -1 is for ever.

        Raises NotModified when it does not run.
        """
        config = container.record.config
        text = signal or (config.StopSignal if isinstance(config.StopSignal, str) else "") or "SIGTERM"
        number = parse_signal(text)
        if not container.running:
            raise NotModified(f"container {container.name} is already stopped")
        if timeout_seconds is None:
            given = config.StopTimeout
            timeout_seconds = given if isinstance(given, int) else self._settings.stop_timeout_seconds
        ended = container.wait(Condition.NOT_RUNNING)
        await self._signal(container, number)
        limit = None if timeout_seconds < 0 else float(timeout_seconds)
        if not await _within(ended, limit):
            await self._kill(container)
        self._events.emit("container", "stop", container.id, container.event_attributes())

    async def restart(self, container: Container, timeout_seconds: int | None = None, signal: str = "") -> None:
        """Stops the container if it runs, and starts it; `--rm` does not remove it in between."""
        container.restarting = True
        try:
            if container.running:
                await self.stop(container, timeout_seconds, signal)
            await self.start(container)
        finally:
            container.restarting = False
        self._events.emit("container", "restart", container.id, container.event_attributes())

    async def kill(self, container: Container, signal: str = "", reference: str = "") -> None:
        """Sends a signal; KILL, the default, waits for the end. `reference` is the container's name in messages.

        Raises Conflict when it does not run, InvalidArgument for an unknown signal.
        """
        number = parse_signal(signal or "SIGKILL")
        if not container.running:
            raise Conflict(
                f"cannot kill container: {reference or container.name}: container {container.id} is not running"
            )
        if number == SIGKILL:
            await self._kill(container)
        else:
            await self._signal(container, number)

    async def remove(self, container: Container, force: bool = False, reference: str = "") -> None:
        """Removes a container; with `force` one that runs is killed first.

        Raises Conflict when it runs, or when somebody else is removing it.
        """
        name = reference or container.name
        if container.removed:
            raise NotFound(f"No such container: {name}")
        if container.removing:
            raise Conflict(f"removal of container {name} is already in progress")
        if (container.running or container.starting) and not force:
            raise Conflict(
                f'cannot remove container "{name}": container is running: '
                "stop the container before removing or force remove"
            )
        container.removing = True
        try:
            if container.starting:
                async with container.lock:
                    pass
            if container.running:
                await self._kill(container)
            async with container.lock:
                await self._containers.discard(container)
        finally:
            container.removing = False

    async def resize(self, container: Container, rows: int, columns: int) -> None:
        """Sets the size of the container's terminal. Raises Conflict when it does not run."""
        monitor = container.monitor
        if monitor is None:
            raise Conflict(f"container {container.id} is not running")
        try:
            await monitor.resize(rows, columns)
        except StartFailed as error:
            raise Conflict(f"cannot resize container {container.id}: {error.message}") from error
        attributes = container.event_attributes(height=str(rows), width=str(columns))
        self._events.emit("container", "resize", container.id, attributes)

    async def adopt(self, container: Container) -> bool:
        """Finds the monitor of a container that an earlier engine started; False where there is none."""
        exit_file = str(starting.exit_file(self._containers.folder(container.id)))
        on_event = functools.partial(self._on_event, container)
        container.starting = True
        try:
            monitor = await self._runtime.adopt(container.id, exit_file, on_event)
            if monitor is not None:
                self._set_running(container, monitor)
        finally:
            container.starting = False
            early, container.early_events = container.early_events, []
        for known, event in early:
            self._on_event(container, known, event)
        return monitor is not None

    def record_end(self, container: Container, exit_code: int, finished_at_ns: int, error: str, oom: bool) -> None:
        """The container has ended: its state changes, everyone who waits is told, and the rest follows."""
        state = container.record.state
        started_at_ns = state.started_at_ns
        container.monitor = None
        state.status = Status.EXITED
        state.pid = 0
        state.exit_code = exit_code
        state.error = error
        state.oom_killed = state.oom_killed or oom
        state.finished_at_ns = finished_at_ns
        for item in container.execs.values():
            item.end_with_container()
        seconds = max(0, finished_at_ns - started_at_ns) // 1_000_000_000
        attributes = container.event_attributes(exitCode=str(exit_code), execDuration=str(seconds))
        self._events.emit("container", "die", container.id, attributes)
        container.tell_exit()
        self._tasks.start(self._after_end(container), f"end of container {container.id[:12]}")

    def remove_soon(self, container: Container) -> None:
        """Removes a container that was to be removed at its end."""
        self._tasks.start(self._after_end(container), f"end of container {container.id[:12]}")

    async def _start(self, container: Container) -> None:
        image = self._images.get(container.record.image_id)
        lower = (*self._images.lower_dirs(image), str(self._settings.init_layer))
        folder = self._containers.folder(container.id)
        request = await asyncio.to_thread(
            starting.prepare, container.record, self._host, self._settings, folder, lower
        )  # fmt: skip
        clients = [
            Attachment(item.connection.fileno(), item.stdin, item.stdout, item.stderr, item.framed, item.detach_keys)
            for item in container.waiting_clients
        ]
        try:
            monitor = await self._runtime.start(request, clients, functools.partial(self._on_event, container))
        except StartFailed as error:
            raise _translate(error) from error
        self._set_running(container, monitor)
        container.drop_waiting_clients()
        self._containers.save(container)
        self._events.emit("container", "start", container.id, container.event_attributes())

    def _set_running(self, container: Container, monitor: Monitor) -> None:
        state = container.record.state
        container.monitor = monitor
        state.status = Status.RUNNING
        state.pid = monitor.pid
        state.exit_code = 0
        state.error = ""
        state.oom_killed = False
        state.started_at_ns = monitor.started_at_ns

    async def _start_failed(self, container: Container, error: CaisError) -> None:
        """Records why a container could not be started; one that was to be removed at its end is removed."""
        cause = error.__cause__
        code = _EXIT_CODES.get(cause.reason, _OTHER_EXIT_CODE) if isinstance(cause, StartFailed) else _OTHER_EXIT_CODE
        container.record.state.exit_code = code
        container.record.state.error = error.message
        container.drop_waiting_clients()
        if container.record.host_config.AutoRemove and not container.removing:
            container.removing = True
            try:
                await self._containers.discard(container)
            except CaisError as failure:
                _log.error("container %s: cannot be removed after its failed start: %s", container.id, failure)
            finally:
                container.removing = False
        else:
            self._containers.save(container)
            container.tell_exit()

    def _on_event(self, container: Container, monitor: Monitor, event: Event) -> None:
        """A monitor's report, in the event loop."""
        if container.monitor is not monitor:
            if container.starting:
                container.early_events.append((monitor, event))
            return
        if isinstance(event, Exited):
            self.record_end(container, event.exit_code, event.finished_at_ns, event.error, event.oom_killed)
        elif isinstance(event, Lost):
            _log.error("container %s: its monitor is gone; the container was killed", container.id)
            self.record_end(container, LOST_EXIT_CODE, event.finished_at_ns, LOST_ERROR, False)
        elif isinstance(event, Oom):
            container.record.state.oom_killed = True
            self._events.emit("container", "oom", container.id, container.event_attributes())
        elif isinstance(event, ExecExited):
            self._exec_ended(container, event)
        elif isinstance(event, Detached):
            action = "detach" if event.exec_id is None else "exec_detach"
            extra = {} if event.exec_id is None else {"execID": event.exec_id}
            self._events.emit("container", action, container.id, container.event_attributes(**extra))

    def _exec_ended(self, container: Container, event: ExecExited) -> None:
        item = container.execs.get(event.exec_id)
        if item is not None and item.exit_code is None:
            item.end(event.exit_code)
            attributes = container.event_attributes(execID=event.exec_id, exitCode=str(event.exit_code))
            self._events.emit("container", "exec_die", container.id, attributes)

    async def _after_end(self, container: Container) -> None:
        async with container.lock:
            if container.removed or container.running:
                return
            self._containers.save(container)
            if not container.record.host_config.AutoRemove or container.restarting or container.removing:
                return
            container.removing = True
            try:
                await self._containers.discard(container)
            finally:
                container.removing = False

    async def _signal(self, container: Container, number: int) -> None:
        """Sends a signal. A container that ended just before is none the worse for it."""
        monitor = container.monitor
        if monitor is None:
            return
        try:
            await monitor.signal(number)
        except StartFailed as error:
            _log.info("container %s: signal %d was not delivered: %s", container.id, number, error.message)
        attributes = container.event_attributes(signal=str(number))
        self._events.emit("container", "kill", container.id, attributes)

    async def _kill(self, container: Container) -> None:
        """Kills the container and waits for its end. Raises Internal when it does not come."""
        ended = container.wait(Condition.NOT_RUNNING)
        await self._signal(container, SIGKILL)
        if not await _within(ended, KILL_SECONDS):
            raise Internal(f"could not kill container {container.id}: it has not ended after {KILL_SECONDS:.0f} s")


async def _within(future: "asyncio.Future[int]", seconds: float | None) -> bool:
    """Waits for a future; False when it has not come in time (it is cancelled then)."""
    done, _ = await asyncio.wait({future}, timeout=seconds)
    if not done:
        future.cancel()
    return bool(done)


def _translate(error: StartFailed) -> CaisError:
    """What a failed start is called by its cause. A user that is not there is named plainly, as in Docker."""
    if error.message.startswith("unable to find "):
        return InvalidArgument(error.message)
    message = f"failed to create task for container: {error.message}"
    return Internal(message) if error.reason is Reason.INTERNAL else InvalidArgument(message)
