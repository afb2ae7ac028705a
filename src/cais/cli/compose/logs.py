"""`cais compose logs`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError
from cais.cli.compose.call import for_compose
from cais.cli.compose.printing import Printer
from cais.cli.flags import Flag, number, switch
from cais.cli.times import timestamp
from cais.client.frames import STDOUT, Demultiplexer
from cais.client.http import quote
from cais.compose.parallel import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.observed import Container


def _logs(call: Call) -> int:
    given = call.flags
    name, project = call.project_or_name(call.arguments)
    call.check_services(project)
    found = call.containers(name, call.arguments)
    if project is not None and not call.arguments:
        services = project.services
        found = [one for one in found if one.service in services and services[one.service].get("attach") is not False]
    if index := given.number("index"):
        found = [one for one in found if one.number == index]
        if not found:
            raise CommandError(f'service "{"".join(call.arguments[:1])}" is not running container #{index}')
    printer = Printer(prefixes=not given.on("no-log-prefix"), colours=call.colours(plain=given.on("no-color")))
    for one in found if given.on("follow") else ():
        printer.reserve(one.name_in(name))
    query = {"stdout": "1", "stderr": "1", "tail": given.text("tail")}
    query |= {flag: "1" for flag in ("follow", "timestamps") if given.on(flag)}
    query |= {flag: moment for flag in ("since", "until") if (moment := timestamp(given.text(flag), flag))}

    def show(one: Container) -> None:
        source = printer.source(one.name_in(name))
        with call.engines.one() as engine:
            tty = bool(((engine.fetch("GET", f"/containers/{quote(one.identity)}/json"))["Config"] or {}).get("Tty"))
            frames = None if tty else Demultiplexer()
            for block in engine.call("GET", f"/containers/{quote(one.identity)}/logs", query).blocks():
                for _, content in frames.feed(block) if frames is not None else [(STDOUT, block)]:
                    source.take(STDOUT, content)
        source.take(STDOUT, b"")

    # What has been written is shown one container after the other; what is to come, as it comes.
    each(found, show, 0 if given.on("follow") else 1)
    return 0


LOGS = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("follow", "Follow log output", "f"),
        number("index", "index of the container if service has multiple replicas"),
        switch("no-color", "Produce monochrome output"),
        switch("no-log-prefix", "Don't print prefix in logs"),
        Flag("since", "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"),
        Flag(
            "tail",
            "Number of lines to show from the end of the logs for each container",
            "n",
            default="all",
            default_text='(default "all")',
        ),
        switch("timestamps", "Show timestamps", "t"),
        Flag("until", "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"),
    ),
    for_compose(_logs),
)
