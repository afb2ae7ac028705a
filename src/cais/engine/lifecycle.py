"""The life of a container: started, stopped, killed, ended, restarted by its policy, removed.

What the monitors report arrives in `_on_event`, in the event loop; the state in memory changes there and
then, so that whoever asks next sees it. What follows from an end (storing it, removing a container that
was to be removed) happens in a task under the container's lock.

A container whose policy wants it back is "restarting" until a timer starts it again, or somebody stops it.
"""

import asyncio
import functools
import logging
import time
from typing import Final, Protocol

from cais.engine import joining, resources, restarts, starting
from cais.engine.container import Condition, Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.host import Host
from cais.engine.images import Images
from cais.engine.models import Asker, OomRecord, SentSignal, Status
from cais.engine.network_endpoints import Endpoints
from cais.engine.settings import Settings
from cais.engine.signals import parse_signal
from cais.engine.tasks import Tasks
from cais.engine.volumes import Volumes
from cais.errors import CaisError, Conflict, Internal, NotFound, NotModified
from cais.runtime.client import Monitor, Runtime
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.messages import Attachment, Detached, Event, ExecExited, Exited, Lost, Oom

_log = logging.getLogger("cais.engine.lifecycle")

SIGKILL = 9
RESTARTS_AT_ONCE: Final = 8
KILL_SECONDS = 10.0
HANDOVER_SECONDS = 3.0
"""For how long after its start an engine keeps what an earlier one has started, and what ended without any."""
LINGER_SECONDS = 0.3
"""For how long what is removed at its end is still found: Docker takes about that time, and programs rely on it."""
LOST_EXIT_CODE = 137
LOST_ERROR = "the monitor of the container ended without a word; the container was killed"
_EXIT_CODES = {Reason.NOT_FOUND: 127, Reason.NOT_EXECUTABLE: 126}
_OTHER_EXIT_CODE = 128


class Watcher(Protocol):
    """Who looks after running containers: their health checks."""

    def resume(self, container: Container, fresh: bool = False) -> None:
        """The container's processes run: again, or (`fresh`) since just now."""

    def halt(self, container: Container) -> None:
        """The container's processes have ended, or stand still."""


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
        watcher: Watcher,
        volumes: Volumes,
        endpoints: Endpoints,
    ) -> None:
        self._settings = settings
        self._host = host
        self._containers = containers
        self._images = images
        self._runtime = runtime
        self._events = events
        self._tasks = tasks
        self._watcher = watcher
        self._volumes = volumes
        self._endpoints = endpoints
        self._open = False
        self._opened_at = 0.0
        self._restarting = asyncio.Semaphore(RESTARTS_AT_ONCE)

    def open(self) -> None:
        """Restart policies count from now on; what they want back after an end that no engine saw is started."""
        self._open = True
        self._opened_at = asyncio.get_running_loop().time()
        for container in self._containers:
            record = container.record
            if record.state.active and record.state.status is not Status.RESTARTING:
                continue
            always = record.host_config.restart_policy.Name in {"always", "unless-stopped"}
            if always and record.state.started_at_ns and restarts.wanted(
                record.host_config.restart_policy, record.state, record.restart_count
            ):  # fmt: skip
                record.state.status = Status.RESTARTING
            if record.state.status is Status.RESTARTING:
                self._restart_after(container, 0.0)

    def close(self) -> None:
        """Nothing is restarted any more, and what ends is not removed: the next engine will."""
        self._open = False
        for container in self._containers:
            _stop_timer(container)

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
            if container.paused:
                raise Conflict("cannot start a paused container, try unpause instead")
            if container.active:
                raise NotModified(f"container {container.name} is already started")
            container.record.restart_count = 0
            container.record.state.manually_stopped = False
            container.backoff.reset()
            await self._launch(container)

    async def stop(self, container: Container, timeout_seconds: int | None = None, signal: str = "") -> None:
        """Asks the container to end, waits, and kills it after the time it has; -1 is for ever.

        Raises NotModified when it does not run.
        """
        await self._stop(container, timeout_seconds, signal, Asker.STOP)

    async def _stop(self, container: Container, timeout_seconds: int | None, signal: str, asker: Asker) -> None:
        number = parse_signal(signal) if signal else _stop_signal(container)
        if not container.active:
            raise NotModified(f"container {container.name} is already stopped")
        await self._mark_stopped(container)
        if not await self._gave_up_restarting(container):
            await self._end(container, number, timeout_seconds, asker)
        self._events.emit("container", "stop", container.id, container.event_attributes())

    async def restart(self, container: Container, timeout_seconds: int | None = None, signal: str = "") -> None:
        """Stops the container if it runs, and starts it; `--rm` does not remove it in between."""
        container.restarting = True
        try:
            if container.active:
                await self._stop(container, timeout_seconds, signal, Asker.RESTART)
            await self.start(container)
        finally:
            container.restarting = False
        self._events.emit("container", "restart", container.id, container.event_attributes())

    async def restart_unhealthy(self, container: Container) -> None:
        """Stops a container that is not well and lets it start again, as its policy does after an end."""
        container.restarting = True
        try:
            async with container.lock:
                if not container.running or container.removing or container.ending:
                    return
            wait_seconds = container.backoff.next_seconds(_ran_seconds(container))
            await self._end(container, _stop_signal(container), None, Asker.HEALTH)
            async with container.lock:
                if _is_let_be(container):
                    return
                container.record.restart_count += 1
                container.record.state.status = Status.RESTARTING
                self._restart_after(container, wait_seconds)
                self._containers.save(container)
        finally:
            container.restarting = False

    async def kill(self, container: Container, signal: str = "", reference: str = "") -> None:
        """Sends a signal; KILL, the default, waits for the end. `reference` is the container's name in messages.

        Raises Conflict when it does not run, InvalidArgument for an unknown signal.
        """
        number = parse_signal(signal or "SIGKILL")
        if not container.active:
            raise Conflict(
                f"cannot kill container: {reference or container.name}: container {container.id} is not running"
            )
        await self._mark_stopped(container)
        if await self._gave_up_restarting(container):
            return
        given = container.record.config.StopSignal
        is_the_end = number == SIGKILL or not isinstance(given, str) or number == _stop_signal(container)
        container.ending = container.ending or is_the_end
        if number == SIGKILL:
            await self._kill(container, Asker.KILL)
            return
        await self._signal(container, number, Asker.KILL)
        if is_the_end:
            await self._let_go_on(container)

    async def remove(
        self, container: Container, force: bool = False, reference: str = "", *, volumes: bool = False
    ) -> None:
        """Removes a container; with `force` one that runs is killed first, with `volumes` those without a name go too.

        Raises Conflict when it runs, or when somebody else is removing it.
        """
        name = reference or container.name
        if container.removed:
            raise NotFound(f"No such container: {name}")
        if container.removing:
            raise Conflict(f"removal of container {name} is already in progress")
        if (container.active or container.starting) and not force:
            status = container.status if container.active else Status.RUNNING
            procedure = "unpause and then stop" if status is Status.PAUSED else "stop"
            raise Conflict(
                f'cannot remove container "{name}": container is {status}: '
                f"{procedure} the container before removing or force remove"
            )
        container.removing = True
        try:
            if container.starting:
                async with container.lock:
                    pass
            container.ending = True
            await self._gave_up_restarting(container)
            if container.running:
                await self._kill(container, Asker.REMOVE)
            async with container.lock:
                self._watcher.halt(container)
                await self._volumes.release(container.id)
                await self._containers.discard(container, volumes=volumes)
        finally:
            container.removing = False

    async def adopt(self, container: Container) -> bool:
        """Finds the monitor of a container that an earlier engine started; False where there is none."""
        exit_file = str(starting.exit_file(self._containers.folder(container.id)))
        on_event = functools.partial(self._on_event, container)
        container.starting = True
        try:
            monitor = await self._runtime.adopt(container.id, exit_file, on_event)
            if monitor is not None:
                frozen = await asyncio.to_thread(resources.is_frozen, container.record, self._settings)
                self._set_running(container, monitor, Status.PAUSED if frozen else Status.RUNNING, fresh=False)
                await self._volumes.use(container.id, container.record.mounts, adopted=True)
                self._endpoints.adopt(container)
        finally:
            container.starting = False
            early, container.early_events = container.early_events, []
        for known, event in early:
            self._on_event(container, known, event)
        return monitor is not None

    def record_end(self, container: Container, exited: Exited) -> None:
        """The container has ended: its state changes, everyone who waits is told, and the rest follows."""
        state = container.record.state
        container.monitor = None
        state.pid = 0
        state.exit_code = exited.exit_code
        state.error = exited.error
        state.oom_killed = state.oom_killed or exited.oom_killed
        state.finished_at_ns = exited.finished_at_ns
        state.signal = exited.signal
        state.oom = OomRecord(**exited.oom.to_json()) if exited.oom else None
        state.status = Status.RESTARTING if self._comes_back(container) else Status.EXITED
        self._watcher.halt(container)
        if any(mount.Type == "volume" for mount in container.record.mounts):
            self._tasks.start(self._release_volumes(container), f"volumes of container {container.id[:12]}")
        self._endpoints.end(container)
        for item in container.execs.values():
            item.end_with_container()
        ran_seconds = _ran_seconds(container)
        attributes = container.event_attributes(exitCode=str(exited.exit_code), execDuration=str(int(ran_seconds)))
        self._events.emit("container", "die", container.id, attributes)
        container.tell_exit()
        if state.status is Status.RESTARTING:
            container.record.restart_count += 1
            self._restart_after(container, container.backoff.next_seconds(ran_seconds))
        self.remove_soon(container)

    async def _release_volumes(self, container: Container) -> None:
        async with container.lock:
            if not container.running:
                await self._volumes.release(container.id)

    def remove_soon(self, container: Container) -> None:
        """Saves a container that has ended, and removes it if it was to be removed at its end.

        That waits a little where an earlier engine may have been asked for the exit code: whoever did asks again. It
        also waits for a client that has started it and is about to ask, unless one waits for the removal, or wanted the
        end.
        """
        loop = asyncio.get_running_loop()
        wait_seconds = 0.0
        if not self._open:
            wait_seconds = HANDOVER_SECONDS
        elif container.inherited:
            wait_seconds = self._opened_at + HANDOVER_SECONDS - loop.time()
        if not container.record.host_config.AutoRemove:
            self._follow_end(container)
        elif wait_seconds > 0:
            self._containers.save(container)
            loop.call_later(wait_seconds, self._follow_late, container)
        elif container.ending or container.removal_awaited:
            self._follow_end(container)
        else:
            self._containers.save(container)
            container.linger(LINGER_SECONDS, lambda: self._follow_late(container))

    def _follow_late(self, container: Container) -> None:
        if self._open:
            self._follow_end(container)

    def _follow_end(self, container: Container) -> None:
        self._tasks.start(self._after_end(container), f"end of container {container.id[:12]}")

    def _comes_back(self, container: Container) -> bool:
        """Whether a container that has just ended is to be started again by its policy."""
        if container.ending or container.restarting or container.removing:
            return False
        record = container.record
        return restarts.wanted(record.host_config.restart_policy, record.state, record.restart_count)

    def _restart_after(self, container: Container, wait_seconds: float) -> None:
        _stop_timer(container)
        if self._open:
            loop = asyncio.get_running_loop()
            container.restart_timer = loop.call_later(wait_seconds, self._restart_now, container)

    def _restart_now(self, container: Container) -> None:
        self._tasks.start(self._start_again(container), f"restart of container {container.id[:12]}")

    async def _start_again(self, container: Container) -> None:
        async with self._restarting, container.lock:
            if container.record.state.status is not Status.RESTARTING or container.removing or not self._open:
                return
            try:
                await self._launch(container)
            except CaisError as error:
                _log.error("container %s could not be started again: %s", container.id, error)

    async def _gave_up_restarting(self, container: Container) -> bool:
        """Ends the wait for a restart; True when the container has ended with it, False when it has a process."""
        if container.record.state.status is not Status.RESTARTING:
            return False
        async with container.lock:
            if container.record.state.status is Status.RESTARTING:
                _stop_timer(container)
                container.record.state.status = Status.EXITED
                self._containers.save(container)
                container.tell_exit()
            return not container.running

    async def _mark_stopped(self, container: Container) -> None:
        """A user ends it: a policy that minds knows it even if this engine ends now."""
        container.record.state.manually_stopped = True
        if container.record.host_config.restart_policy.Name not in {"", "no"}:
            self._containers.save(container)
            await self._containers.flush()

    async def _launch(self, container: Container) -> None:
        """Starts a container, whose lock the caller holds. Raises what `start` does."""
        container.starting = True
        try:
            await self._start(container)
        except CaisError as error:
            await self._volumes.release(container.id)
            await self._start_failed(container, error)
            raise
        finally:
            container.starting = False
            early, container.early_events = container.early_events, []
        for monitor, event in early:
            self._on_event(container, monitor, event)

    async def _start(self, container: Container) -> None:
        lower = self._containers.lower_dirs(self._images.get(container.record.image_id))
        folder = self._containers.folder(container.id)
        joined = joining.join(container, self._containers, self._images.folders_of)
        await self._volumes.use(container.id, container.record.mounts)
        network = self._endpoints.begin(container)
        prepared = asyncio.to_thread(
            starting.prepare, container.record, self._host, self._settings, folder, lower, joined=joined,
            network=network, around=self._endpoints.surroundings(container),
        )  # fmt: skip
        if network is not None and network.links:
            # An engine that finds the container running must know its addresses, lest it give them twice.
            self._containers.save(container)
            request, _ = await asyncio.gather(prepared, self._containers.flush())
        else:
            request = await prepared
        clients = [
            Attachment(item.connection.fileno(), item.stdin, item.stdout, item.stderr, item.framed, item.detach_keys)
            for item in container.waiting_clients
        ]
        try:
            monitor = await self._runtime.start(request, clients, functools.partial(self._on_event, container))
        except StartFailed as error:
            raise starting.translate(error) from error
        self._set_running(container, monitor)
        self._endpoints.started(container)
        container.drop_waiting_clients()
        self._containers.save(container)
        self._events.emit("container", "start", container.id, container.event_attributes())

    def _set_running(
        self, container: Container, monitor: Monitor, status: Status = Status.RUNNING, fresh: bool = True
    ) -> None:
        state = container.record.state
        container.monitor = monitor
        container.ending = False
        container.inherited = not fresh
        state.status = status
        state.pid = monitor.pid
        state.exit_code = 0
        state.error = ""
        state.oom_killed = False
        state.start_failure = ""
        if fresh:
            state.sent, state.signal, state.oom = None, 0, None
        state.started_at_ns = monitor.started_at_ns
        if status is Status.RUNNING:
            self._watcher.resume(container, fresh)

    async def _start_failed(self, container: Container, error: CaisError) -> None:
        """Records why a container could not be started; one that was to be removed at its end is removed."""
        self._endpoints.end(container)
        cause = error.__cause__
        code = _EXIT_CODES.get(cause.reason, _OTHER_EXIT_CODE) if isinstance(cause, StartFailed) else _OTHER_EXIT_CODE
        state = container.record.state
        state.exit_code = code
        state.error = error.message
        state.start_failure = cause.reason if isinstance(cause, StartFailed) else Reason.INVALID
        state.sent, state.signal, state.oom = None, 0, None
        if state.status is Status.RESTARTING:
            state.status = Status.EXITED
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
            self.record_end(container, event)
        elif isinstance(event, Lost):
            _log.error("container %s: its monitor is gone; the container was killed", container.id)
            self.record_end(container, Exited(LOST_EXIT_CODE, False, event.finished_at_ns, LOST_ERROR))
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
            if container.removed or container.active:
                self._containers.save(container)
                return
            self._containers.save(container)
            if not container.record.host_config.AutoRemove or container.restarting or container.removing:
                return
            container.removing = True
            try:
                await self._containers.discard(container)
            finally:
                container.removing = False

    async def _signal(self, container: Container, number: int, asker: Asker, overdue: bool = False) -> None:
        """Sends a signal, and remembers it. A container that ended just before is none the worse for it."""
        monitor = container.monitor
        if monitor is None:
            return
        sent = SentSignal(number=number, asker=asker, time_ns=time.time_ns(), overdue=overdue)
        before, container.record.state.sent = container.record.state.sent, sent
        self._containers.save(container)
        try:
            await monitor.signal(number)
        except StartFailed as error:
            _log.info("container %s: signal %d was not delivered: %s", container.id, number, error.message)
            if container.record.state.sent is sent:
                container.record.state.sent = before
        attributes = container.event_attributes(signal=str(number))
        self._events.emit("container", "kill", container.id, attributes)

    async def _end(self, container: Container, number: int, timeout_seconds: int | None, asker: Asker) -> None:
        """Asks with a signal, waits, and kills after the time the container has: None is its own, -1 for ever."""
        if timeout_seconds is None:
            given = container.record.config.StopTimeout
            timeout_seconds = given if isinstance(given, int) else self._settings.stop_timeout_seconds
        container.ending = True
        ended = container.wait(Condition.NOT_RUNNING)
        await self._signal(container, number, asker)
        await self._let_go_on(container)
        if not await _within(ended, None if timeout_seconds < 0 else float(timeout_seconds)):
            await self._kill(container, asker, overdue=True)

    async def _let_go_on(self, container: Container) -> None:
        """Processes that stand still go on: what was sent to them arrives only then."""
        if container.paused and container.monitor is not None:
            try:
                await container.monitor.thaw()
            except StartFailed as error:
                _log.info("container %s cannot be thawed: %s", container.id, error.message)
            if container.paused:
                container.record.state.status = Status.RUNNING
                self._events.emit("container", "unpause", container.id, container.event_attributes())

    async def _kill(self, container: Container, asker: Asker, overdue: bool = False) -> None:
        """Kills the container and waits for its end. Raises Internal when it does not come."""
        container.ending = True
        ended = container.wait(Condition.NOT_RUNNING)
        await self._signal(container, SIGKILL, asker, overdue)
        await self._let_go_on(container)
        if not await _within(ended, KILL_SECONDS):
            raise Internal(f"could not kill container {container.id}: it has not ended after {KILL_SECONDS:.0f} s")


def _is_let_be(container: Container) -> bool:
    """Whether a container that was ended for its health runs again already, or is not wanted any more."""
    return container.active or container.removing or container.record.state.manually_stopped


def _stop_signal(container: Container) -> int:
    """The signal that asks this container to end."""
    given = container.record.config.StopSignal
    return parse_signal((given if isinstance(given, str) else "") or "SIGTERM")


def _stop_timer(container: Container) -> None:
    if container.restart_timer is not None:
        container.restart_timer.cancel()
        container.restart_timer = None


def _ran_seconds(container: Container) -> float:
    """How long the container ran the last time, or has run until now."""
    state = container.record.state
    end_ns = time.time_ns() if state.running else state.finished_at_ns
    return max(0, end_ns - state.started_at_ns) / 1e9


async def _within(future: "asyncio.Future[int]", seconds: float | None) -> bool:
    """Waits for a future; False when it has not come in time (it is cancelled then)."""
    done, _ = await asyncio.wait({future}, timeout=seconds)
    if not done:
        future.cancel()
    return bool(done)
