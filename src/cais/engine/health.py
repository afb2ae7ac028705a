"""Health checks: a command run in a container from time to time, and what its exit codes say together.

A container is "starting" until a check succeeds, "unhealthy" after a number of failures in a row. Failures within
the start period don't count. As in Docker, one whose checks have stopped (it has ended, or is paused) is shown as
unhealthy until the next success.

A container with the label or annotation `cais.restart-unhealthy=true` is stopped and started again when it
becomes unhealthy, with the waits of a restart policy.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.events import EventBus
from cais.engine.execs import Exec, Execs
from cais.engine.models import (
    ContainerConfig,
    ExecConfig,
    Health,
    HealthConfig,
    HealthResult,
    HealthStatus,
    Record,
)
from cais.engine.tasks import Tasks
from cais.errors import CaisError
from cais.runtime.errors import StartFailed

RESTART_UNHEALTHY: Final = "cais.restart-unhealthy"

INTERVAL_NS: Final = 30_000_000_000
TIMEOUT_NS: Final = 30_000_000_000
START_INTERVAL_NS: Final = 5_000_000_000
RETRIES: Final = 3
KEPT_RESULTS: Final = 5
MAX_OUTPUT_BYTES: Final = 4096

_SIGKILL: Final = 9
_KILL_SECONDS: Final = 5.0
_DEFAULT_SHELL: Final = ("/bin/sh", "-c")
_NO_PROCESS: Final = -1


def command(config: ContainerConfig) -> list[str] | None:
    """The command of a container's health check; None when it has none."""
    check = config.Healthcheck
    test = check.Test if isinstance(check, HealthConfig) else None
    if not test or len(test) < 2:
        return None
    if test[0] == "CMD":
        return test[1:]
    if test[0] == "CMD-SHELL":
        shell = config.Shell if isinstance(config.Shell, list) and config.Shell else _DEFAULT_SHELL
        return [*shell, *test[1:]]
    return None


def restarts_unhealthy(record: Record) -> bool:
    """Whether the container is to be started again when it is not well."""
    annotations = record.host_config.Annotations
    given = annotations if isinstance(annotations, dict) else {}
    value = given.get(RESTART_UNHEALTHY, record.config.labels.get(RESTART_UNHEALTHY, "false"))
    return value.lower() in {"", "1", "true", "yes"}


def judge(health: Health, result: HealthResult, config: HealthConfig, started_at_ns: int) -> None:
    """Adds a result to what is known of a container's health."""
    health.log = [*health.log, result][-KEPT_RESULTS:]
    if result.exit_code == 0:
        health.failing_streak = 0
        health.status = HealthStatus.HEALTHY
        return
    if health.status is HealthStatus.STARTING and result.start_ns - started_at_ns < config.StartPeriod:
        return
    health.failing_streak += 1
    if health.failing_streak >= (config.Retries or RETRIES):
        health.status = HealthStatus.UNHEALTHY


def interval_ns(health: Health, config: HealthConfig, up_ns: int) -> int:
    """The time until the next check of a container that has been up for so long."""
    if health.status is HealthStatus.STARTING and up_ns < config.StartPeriod:
        return config.StartInterval or START_INTERVAL_NS
    return config.Interval or INTERVAL_NS


class HealthChecks:
    """The health checks of all running containers of one engine."""

    def __init__(self, containers: Containers, execs: Execs, events: EventBus, tasks: Tasks) -> None:
        self._containers = containers
        self._execs = execs
        self._events = events
        self._tasks = tasks
        self._running: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self.on_unhealthy: Callable[[Container], Awaitable[None]] | None = None

    def resume(self, container: Container, fresh: bool = False) -> None:
        """Checks the container from now on. With `fresh` it has just been started, and its health is not known."""
        config = container.record.config
        test = command(config)
        if test is None or not isinstance(config.Healthcheck, HealthConfig):
            container.record.state.health = None
            return
        self._cancel(container)
        health = container.record.state.health or Health()
        if fresh:
            health.status, health.failing_streak = HealthStatus.STARTING, 0
        container.record.state.health = health
        if not self._closed:
            work = self._watch(container, health, config.Healthcheck, test)
            name = f"health of container {container.id[:12]}"
            self._running[container.id] = asyncio.get_running_loop().create_task(work, name=name)

    def halt(self, container: Container) -> None:
        """Ends the checks: the container has ended, or stands still."""
        self._cancel(container)
        if container.record.state.health is not None:
            container.record.state.health.status = HealthStatus.UNHEALTHY

    async def close(self) -> None:
        """Ends all checks; what is known stays as it is."""
        self._closed = True
        tasks, self._running = list(self._running.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cancel(self, container: Container) -> None:
        task = self._running.pop(container.id, None)
        if task is not None:
            task.cancel()

    async def _watch(self, container: Container, health: Health, config: HealthConfig, test: list[str]) -> None:
        state = container.record.state
        while True:
            up_ns = time.time_ns() - state.started_at_ns
            await asyncio.sleep(interval_ns(health, config, up_ns) / 1e9)
            result = await self._probe(container, test, (config.Timeout or TIMEOUT_NS) / 1e9)
            before = health.status
            judge(health, result, config, state.started_at_ns)
            self._containers.save(container)
            if health.status is not before:
                self._tell(container, health.status)

    def _tell(self, container: Container, status: HealthStatus) -> None:
        self._events.emit("container", f"health_status: {status}", container.id, container.event_attributes())
        if status is HealthStatus.UNHEALTHY and restarts_unhealthy(container.record) and self.on_unhealthy:
            # in a task of its own: this one ends with the container
            self._tasks.start(self._restart(container), f"restart of unhealthy container {container.id[:12]}")

    async def _restart(self, container: Container) -> None:
        if self.on_unhealthy is not None:
            await self.on_unhealthy(container)

    async def _probe(self, container: Container, test: list[str], timeout_seconds: float) -> HealthResult:
        """One check, killed when it takes too long."""
        start_ns = time.time_ns()
        output = bytearray()
        exit_code = _NO_PROCESS
        item: Exec | None = None
        try:
            item = self._execs.create(container.id, ExecConfig(AttachStdout=True, AttachStderr=True, Cmd=test))
            async with asyncio.timeout(timeout_seconds):
                await self._run(item, output)
            self._execs.find(item.id)
            exit_code = _NO_PROCESS if item.exit_code is None else item.exit_code
            text = _shortened(output)
        except TimeoutError:
            text = f"Health check exceeded timeout ({_duration(timeout_seconds)})"
            if output:
                text += f": {_shortened(output)}"
        except CaisError as error:
            text = error.message
        finally:
            if item is not None:
                self._execs.forget(item)
        return HealthResult(start_ns=start_ns, end_ns=time.time_ns(), exit_code=exit_code, output=text)

    async def _run(self, item: Exec, output: bytearray) -> None:
        """Runs the command to its end and collects what it writes; whatever happens, nothing of it is left running."""
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        loop = asyncio.get_running_loop()
        with mine:
            try:
                await self._execs.start_attached(item, theirs, b"")
                frames = bytearray()
                while data := await loop.sock_recv(mine, 65536):
                    frames += data
                    _take_frames(frames, output)
            except BaseException:
                await self._kill(item, mine)
                raise

    async def _kill(self, item: Exec, stream: socket.socket) -> None:
        """Kills the command, and waits until its end has been told: it is told of no exec that is forgotten."""
        monitor = item.container.monitor
        if monitor is None or not item.running:
            return
        with contextlib.suppress(StartFailed, TimeoutError, OSError):
            async with asyncio.timeout(_KILL_SECONDS):
                await monitor.signal_exec(item.id, _SIGKILL)
                while await asyncio.get_running_loop().sock_recv(stream, 65536):
                    pass
        monitor.poll()


def _take_frames(frames: bytearray, output: bytearray) -> None:
    """Moves the contents of whole frames of the multiplexed stream to the output, as far as it is kept."""
    while len(frames) >= 8:
        end = 8 + int.from_bytes(frames[4:8])
        if len(frames) < end:
            return
        output += frames[8:end][: max(0, MAX_OUTPUT_BYTES + 1 - len(output))]
        del frames[:end]


def _shortened(output: bytearray) -> str:
    text = bytes(output[:MAX_OUTPUT_BYTES]).decode("utf-8", "replace")
    return f"{text}..." if len(output) > MAX_OUTPUT_BYTES else text


def _duration(seconds: float) -> str:
    """Seconds as Go prints a duration, for the lengths that occur here."""
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"
