"""`cais compose down`, `stop`, `kill` and `rm`."""

from __future__ import annotations

from cais.cli.command import Command
from cais.cli.compose.asking import agreed
from cais.cli.compose.call import for_compose
from cais.cli.flags import Flag, number, switch
from cais.cli.output import err, out
from cais.client.http import quote
from cais.compose.ending import Down, Ending
from cais.compose.observed import EXCLUDED, INCLUDED
from cais.compose.parallel import each
from cais.compose.report import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call


def _down(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    if project is not None and call.arguments:
        project = call.pruned(project.selected(call.arguments, dependencies=False))
    call.progress.begin("down")
    try:
        Down(call.engines, name, project, call.progress, call.timeout()).run(
            call.arguments,
            orphans=call.removes_orphans(project),
            volumes=given.on("volumes"),
            images=given.text("rmi"),
        )
    finally:
        call.progress.end()
    return 0


def _stop(call: Call) -> int:
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    call.progress.begin("stop")
    try:
        found = call.own(project, call.containers(name, call.arguments))
        Ending(call.engines, project, call.progress, call.timeout()).stop(found)
    finally:
        call.progress.end()
    return 0


def _kill(call: Call) -> int:
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    one_off = INCLUDED if call.flags.on("remove-orphans") else EXCLUDED
    found = call.containers(name, call.arguments, stopped=False, one_off=one_off)
    if one_off == EXCLUDED:
        found = call.own(project, found)
    if not found:
        err("No container to kill")
        return 0
    signal = call.flags.text("signal")
    query = {"signal": signal} if signal else None

    def kill(identity: str, resource: str) -> None:
        with Step(call.progress, resource, "Killing", "Killed"):
            call.engines.post(f"/containers/{quote(identity)}/kill", query)

    call.progress.begin("kill")
    try:
        each(found, lambda container: kill(container.identity, container.resource))
    finally:
        call.progress.end()
    return 0


def _rm(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    ending = Ending(call.engines, project, call.progress)
    found = call.own(project, call.containers(name, call.arguments, one_off=INCLUDED))
    if given.on("stop"):
        ending.stop(found)
    found = [one for one in found if one.state not in {"running", "paused", "restarting"}]
    if not found:
        err("No stopped containers")
        return 0
    question = f"Going to remove {', '.join(one.name for one in found)}"
    if given.on("force"):
        out(question)
    elif not agreed(question):
        return 0
    call.progress.begin("rm")
    try:
        each(found, lambda container: ending.remove_one(container, volumes=given.on("volumes")))
    finally:
        call.progress.end()
    return 0


_TIMEOUT = number("timeout", "Specify a shutdown timeout in seconds", "t")
DOWN = Command(
    "[OPTIONS] [SERVICES]",
    "",
    (
        switch("remove-orphans", "Remove containers for services not defined in the Compose file"),
        Flag("rmi", 'Remove images used by services. "local" remove only images that don\'t have a custom tag'),
        _TIMEOUT,
        switch("volumes", "Remove named volumes declared in the Compose file and anonymous ones of containers", "v"),
    ),
    for_compose(_down),
)
STOP = Command("[OPTIONS] [SERVICE...]", "", (_TIMEOUT,), for_compose(_stop))
KILL = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("remove-orphans", "Remove containers for services not defined in the Compose file"),
        Flag("signal", "SIGNAL to send to the container", "s", default="SIGKILL", default_text='(default "SIGKILL")'),
    ),
    for_compose(_kill),
)
RM = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("force", "Don't ask to confirm removal", "f"),
        switch("stop", "Stop the containers, if required, before removing", "s"),
        switch("volumes", "Remove any anonymous volumes attached to containers", "v"),
    ),
    for_compose(_rm),
)
