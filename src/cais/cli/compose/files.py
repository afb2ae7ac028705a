"""`cais compose cp`, `commit` and `export`: what these do with a container is what they do without compose."""

from __future__ import annotations

from cais.cli.command import Command, CommandError
from cais.cli.commands import find
from cais.cli.commit import COMMIT as COMMIT_CONTAINER
from cais.cli.compose.call import for_compose
from cais.cli.files import EXPORT as EXPORT_CONTAINER
from cais.cli.flags import Flag, number, switch, text_list
from cais.compose.observed import EXCLUDED, INCLUDED
from cais.compose.report import DONE, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.observed import Container


def _commit(call: Call) -> int:
    service, *target = call.arguments
    container = call.one_container(service, call.flags.number("index"))
    if call.rehearses:
        call.progress.on(container.resource, "Committed", DONE)
        return 0
    return COMMIT_CONTAINER.run(call.about([container.identity, *target]))


def _export(call: Call) -> int:
    container = call.one_container(call.arguments[0], call.flags.number("index"))
    if call.rehearses:
        call.progress.on(container.resource, "Exported", DONE)
        return 0
    return EXPORT_CONTAINER.run(call.about([container.identity]))


def _cp(call: Call) -> int:
    source, target = call.arguments
    from_service, _, source_path = source.rpartition(":") if _names_service(source) else ("", "", source)
    to_service, _, target_path = target.rpartition(":") if _names_service(target) else ("", "", target)
    if from_service and to_service:
        raise CommandError("copying between services is not supported")
    service = from_service or to_service
    if not service:
        raise CommandError("unknown copy direction")
    command = find(["cp"]).entry
    if command is None:
        raise CommandError("cp is no command of this version of cais")
    for container in _copied(call, service, many=bool(to_service)):
        inside = f"{container.name}:{source_path if from_service else target_path}"
        what = f"{inside} to {target_path}" if from_service else f"{source_path} to {inside}"
        arguments = [source_path, f"{container.identity}:{target_path}"]
        if from_service:
            arguments = [f"{container.identity}:{source_path}", target_path]
        with Step(call.progress, container.name, f"Copying {what}", f"Copied {what}"):
            status = 0 if call.rehearses else command.load().run(call.about(arguments))
        if status:
            return status
    return 0


def _names_service(text: str) -> bool:
    name, separator, _ = text.partition(":")
    return bool(separator) and "/" not in name and not name.startswith(".")


def _copied(call: Call, service: str, *, many: bool) -> list[Container]:
    """The containers that are copied from or to: all of the service's, where files go to them."""
    index = call.flags.number("index")
    name, _ = call.project_or_name([service])
    found = call.containers(name, [service], one_off=INCLUDED if call.flags.on("all") else EXCLUDED)
    if index:
        found = [container for container in found if container.number == index]
    if not found:
        raise CommandError(f'no container found for service "{service}"')
    return found if many else found[:1]


CP = Command(
    "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n\tcais compose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
    "",
    (
        switch("all", "Include containers created by the run command"),
        switch("archive", "Archive mode (copy all uid/gid information)", "a"),
        switch("follow-link", "Always follow symbol link in SRC_PATH", "L"),
        number("index", "Index of the container if service has multiple replicas"),
        switch("quiet", "Suppress progress output during copy.", "q", hidden=True, default=True),
    ),
    for_compose(_cp),
    2,
    2,
)
COMMIT = Command(
    "[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
    "",
    (
        Flag("author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', "a"),
        text_list("change", "Apply Dockerfile instruction to the created image", "c"),
        number("index", "index of the container if service has multiple replicas."),
        Flag("message", "Commit message", "m"),
        switch("pause", "Pause container during commit", "p", default=True),
    ),
    for_compose(_commit),
    1,
    2,
)
EXPORT = Command(
    "[OPTIONS] SERVICE",
    "",
    (
        number("index", "index of the container if service has multiple replicas."),
        Flag("output", "Write to a file, instead of STDOUT", "o"),
    ),
    for_compose(_export),
    1,
    1,
)
