"""Starting the containers of a project, each behind what it depends on."""

from __future__ import annotations

from cais.compose.errors import ComposeError
from cais.compose.parallel import Task, each
from cais.compose.report import DONE, ERROR, WARNING, WORKING, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project
    from cais.compose.observed import Container
    from cais.compose.report import Reporter

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
RUNNING_OR_HEALTHY = "running_or_healthy"
_SETTLED_SECONDS = 0.5  # after which a container without a check of its health is thought to run
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.02, 0.25


class Starting:
    """Starts containers; `containers` is by service, and may grow while tasks run."""

    def __init__(
        self,
        engines: Engines,
        project: Project,
        reporter: Reporter,
        containers: Mapping[str, list[Container]],
        deadline: float | None = None,
    ) -> None:
        """`deadline`, of the monotonic clock, ends the waiting for conditions."""
        self._engines = engines
        self._project = project
        self._reporter = reporter
        self._containers = containers
        self._deadline = deadline

    def tasks(self) -> dict[str, Task]:
        """`start:NAME` for each service; it comes behind `create:NAME`, where there is such a task."""
        tasks = {}
        for name in self._project.ordered():
            after = [f"create:{name}", *(f"start:{other}" for other in self._project.dependencies(name))]
            tasks[f"start:{name}"] = self._task(name, after)
        return tasks

    def _task(self, name: str, after: list[str]) -> Task:
        return Task(lambda: self.service(name), after, lambda: self._is_settled(name))

    def _is_settled(self, name: str) -> bool:
        """Whether all of a service runs, and what it depends on is not to be waited for."""
        if any(self._is_awaited(other, entry) for other, entry in self._project.dependencies(name).items()):
            return False
        return all(one.state in {"running", "restarting"} for one in self._containers.get(name, ()))

    def service(self, name: str) -> None:
        """Start what does not run of a service. Raises ComposeError and EngineError."""
        self.await_dependencies(name)
        for container in self._containers.get(name, []):
            if container.state not in {"running", "restarting"}:
                self.start(name, container)

    def await_dependencies(self, name: str) -> None:
        """Wait until what a service depends on is as the service wants it. Raises ComposeError."""
        for other, entry in self._project.dependencies(name).items():
            self._await_dependency(other, entry)

    def start(self, name: str, container: Container) -> None:
        service = self._project.services[name]
        with Step(self._reporter, container.resource, "Starting", "Started"):
            if container.state == "paused":
                self._engines.post(f"/containers/{container.identity}/unpause")
            else:
                from cais.compose.injection import inject  # noqa: PLC0415 -- nothing may be to be started

                inject(self._engines, self._project, service, container.identity)
                self._engines.post(f"/containers/{container.identity}/start")
            for hook in service.get("post_start") or ():
                from cais.compose.hooks import run_hook  # noqa: PLC0415 -- few services have any

                run_hook(self._engines, container, hook, self._reporter)
        container.state = "running"

    def _await_dependency(self, name: str, entry: Tree) -> None:
        if not self._is_awaited(name, entry):
            return
        try:
            self.await_condition(name, entry["condition"], required=entry.get("required", True))
        except ComposeError as error:
            if entry.get("required", True):
                before = "" if entry["condition"] == COMPLETED else "dependency failed to start: "
                raise ComposeError(f"{before}{error}") from None
            self._reporter.warn(f'optional dependency "{name}" failed to start: {error}')

    def _is_awaited(self, name: str, entry: Tree) -> bool:
        if entry.get("condition", STARTED) == STARTED:
            return False
        return bool(self._project.scale(name)) and not self._project.services[name].get("provider")

    def await_condition(self, name: str, condition: str, *, required: bool = True) -> None:
        """Wait until all containers of a service are as they should. Raises ComposeError and TimeoutError."""
        containers = self._containers.get(name, [])
        if not containers:
            raise ComposeError(f"missing dependency {name}")
        each(containers, lambda container: self._await(name, container, condition, required=required))

    def _await(self, name: str, container: Container, condition: str, *, required: bool) -> None:
        import time  # noqa: PLC0415

        self._reporter.on(container.resource, "Waiting", WORKING)
        if self._engines.rehearses:
            self._reporter.on(container.resource, "Exited" if condition == COMPLETED else "Healthy", DONE)
            return
        pause, begun = _FIRST_PAUSE_SECONDS, time.monotonic()
        while True:
            state = self._engines.get(f"/containers/{container.identity}/json")["State"]
            try:
                done = _is_met(name, container, state, condition, settled=time.monotonic() - begun > _SETTLED_SECONDS)
            except ComposeError:
                if condition != RUNNING_OR_HEALTHY:
                    self._tell_failure(name, container, required=required)
                raise
            if done:
                self._reporter.on(container.resource, done, DONE)
                return
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise TimeoutError
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    def _tell_failure(self, name: str, container: Container, *, required: bool) -> None:
        if required:
            self._reporter.on(container.resource, "Error", ERROR, f"dependency {name} failed to start")
        else:
            said = f'Skipped: optional dependency "{name}" failed to start'
            self._reporter.on(container.resource, said, WARNING)


def _is_met(name: str, container: Container, state: Any, condition: str, *, settled: bool) -> str:
    """The word for what the container has become, or "". Raises ComposeError when it will not become that.

    Of what has no check of its health, nothing is said before it is `settled`: it may be one that ends at once.
    """
    if condition == COMPLETED:
        if state["Status"] != "exited":
            return ""
        if code := state["ExitCode"]:
            raise ComposeError(f'service "{name}" didn\'t complete successfully: exit {code}')
        return "Exited"
    health = (state.get("Health") or {}).get("Status", "")
    if state["Status"] == "exited":
        raise ComposeError(f"container {container.name} exited ({state['ExitCode']})")
    if health == "unhealthy":
        raise ComposeError(f"container {container.name} is unhealthy")
    if health == "healthy":
        return "Healthy"
    if not health or health == "none":
        if not settled:
            return ""
        if condition == RUNNING_OR_HEALTHY:
            return "Healthy" if state["Status"] == "running" else ""
        raise ComposeError(f"container {container.name} has no healthcheck configured")
    return ""
