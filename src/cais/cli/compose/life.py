"""`cais compose start`, `restart`, `pause`, `unpause` and `wait`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError
from cais.cli.compose.call import for_compose
from cais.cli.flags import number, switch
from cais.cli.output import out
from cais.client.http import quote
from cais.compose.errors import ComposeError
from cais.compose.observed import by_service, project_of
from cais.compose.parallel import Task, each, run_all
from cais.compose.report import DONE, Step
from cais.compose.starting import RUNNING_OR_HEALTHY, Starting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.compose.call import Call
    from cais.compose.model import Project
    from cais.compose.observed import Container


def _start(call: Call) -> int:
    name, whole = call.project_or_name(call.arguments)
    present = call.containers(name)
    if whole is None:
        if not present:
            raise ComposeError(f'no container found for project "{name}": not found')
        whole = project_of(name, present)
        for service in call.arguments:
            if service not in whole.services:
                raise ComposeError(f'no such service: "{service}": not found')
    project, found = whole.selected(call.arguments), by_service(present)
    for name in call.arguments or project.services:
        if not found.get(name) and project.scale(name):
            raise ComposeError(f'service "{name}" has no container to start')
    starting = Starting(call.engines, project, call.progress, found)
    call.progress.begin("start")
    try:
        run_all(starting.tasks())
        if call.flags.on("wait"):
            call.within_timeout(lambda deadline: _await_all(call, project, found, deadline))
    finally:
        call.progress.end()
    return 0


def _await_all(call: Call, project: Project, found: dict[str, list[Container]], deadline: float | None) -> None:
    starting = Starting(call.engines, project, call.progress, found, deadline)
    each(project.services, lambda name: starting.await_condition(name, RUNNING_OR_HEALTHY))


def _restart(call: Call) -> int:
    name, project = call.project_or_name(call.arguments)
    if project is None:
        project = project_of(name, call.containers(name))
    call.check_services(project)
    chosen = list(call.arguments)
    if chosen and not call.flags.on("no-deps"):
        # What wants to be restarted with one of them is.
        chosen += [
            other
            for service in call.arguments
            for other in project.dependents(service)
            if project.dependencies(other)[service].get("restart")
        ]
    found = by_service(call.own(project, call.containers(name, chosen)))
    timeout = call.timeout()
    query = {} if timeout is None else {"t": str(timeout)}

    def restart(container: Container) -> None:
        with Step(call.progress, container.resource, "Restarting", "Started"):
            call.engines.post(f"/containers/{container.identity}/restart", query)

    tasks = {}
    for service, group in found.items():
        after: list[str] = []
        if service in project.services and not call.flags.on("no-deps"):
            after = list(project.dependencies(service))
        tasks[service] = Task(lambda group=group: each(group, restart), after)  # type: ignore[misc]
    call.progress.begin("restart")
    try:
        run_all(tasks)
    finally:
        call.progress.end()
    return 0


def _each_running(verb: str, ends: str) -> Callable[[Call], int]:
    def act(call: Call) -> int:
        name, project = call.project_or_name(call.arguments)
        call.check_services(project)
        found = call.own(project, call.containers(name, call.arguments, stopped=False))

        def one(container: Container) -> None:
            call.engines.post(f"/containers/{quote(container.identity)}/{verb}")
            call.progress.on(container.resource, ends, DONE)

        call.progress.begin(verb)
        try:
            each(found, one)
        finally:
            call.progress.end()
        return 0

    return act


def _wait(call: Call) -> int:
    name, project = call.project_or_name(call.arguments)
    found = call.containers(name, call.arguments, stopped=False)
    if not found:
        raise CommandError(f'no containers for project "{name}"')
    codes: dict[str, int] = {}

    def wait(container: Container) -> None:
        answer = call.engines.post(f"/containers/{container.identity}/wait")
        codes[container.identity] = code = answer["StatusCode"]
        out(f'container "{container.identity}" exited with status code {code}')

    if call.flags.on("down-project"):
        wait(found[0])
        from cais.compose.ending import Down  # noqa: PLC0415

        down = Down(call.engines, name, project, call.progress, None)
        down.run(orphans=True, volumes=False, images="")
    else:
        each(found, wait)
    return list(codes.values())[-1]  # of the one that has ended last


START = Command(
    "[SERVICE...]",
    "",
    (
        switch("wait", "Wait for services to be running|healthy. Implies detached mode."),
        number("wait-timeout", "Maximum duration in seconds to wait for the project to be running|healthy"),
    ),
    for_compose(_start),
)
RESTART = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("no-deps", "Don't restart dependent services"),
        number("timeout", "Specify a shutdown timeout in seconds", "t"),
    ),
    for_compose(_restart),
)
PAUSE = Command("[SERVICE...]", "", (), for_compose(_each_running("pause", "Paused")))
UNPAUSE = Command("[SERVICE...]", "", (), for_compose(_each_running("unpause", "Unpaused")))
WAIT = Command(
    "SERVICE [SERVICE...]",
    "",
    (switch("down-project", "Drops project when the first container stops"),),
    for_compose(_wait),
    1,
)
