"""`cais compose watch`: what changes in the sources goes into the containers, or makes their images anew."""

from __future__ import annotations

from cais.cli.command import Command
from cais.cli.compose.call import for_compose
from cais.cli.compose.sources import Sources
from cais.cli.flags import switch
from cais.cli.output import out
from cais.compose.bringing import Bringing
from cais.compose.creation import Choices
from cais.compose.errors import ComposeError
from cais.compose.images import Policy
from cais.compose.watching import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.model import Project


def _watch(call: Call) -> int:
    call.refuse_rehearsal("watch")
    project = call.selected(call.project(call.arguments), call.arguments)
    if not call.flags.on("no-up"):
        _up(call, project)
    watch_project(call, project)
    return 0


def _up(call: Call, project: Project) -> None:
    sources = Sources(call, quiet_build=call.flags.on("quiet"))
    call.progress.begin("up")
    try:
        Bringing(call.engines, project, call.progress, sources).run(
            Policy(builds=True), Choices(), remove_orphans=False, starts=True, before_start=None
        )
    finally:
        call.progress.end()


def watch_project(call: Call, project: Project) -> None:
    """Watch until the user has enough. Raises ComposeError where nothing is to be watched."""

    def rebuild(service: str) -> None:
        out(f"Rebuilding service {service!r} after changes were detected...")
        _up(call, project.selected([service], dependencies=False))

    watcher = Watcher(call.engines, project, out, rebuild)
    if not watcher.rules:
        raise ComposeError(
            "none of the selected services is configured for watch, consider setting a 'develop' section"
        )
    out("Watch enabled")
    watcher.run()


WATCH = Command(
    "[SERVICE...]",
    "",
    (
        switch("no-up", "Do not build & start services before watching"),
        switch("prune", "Prune dangling images on rebuild", default=True),
        switch("quiet", "hide build output"),
    ),
    for_compose(_watch),
)
