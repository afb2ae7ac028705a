"""`cais compose up`, `create` and `scale`: a project as it should be."""

from __future__ import annotations

from cais.cli.command import Command, CommandError
from cais.cli.compose.asking import agreed
from cais.cli.compose.call import for_compose
from cais.cli.compose.progress import warn
from cais.cli.compose.sources import Sources
from cais.cli.flags import Flag, number, switch, text_list
from cais.cli.output import out
from cais.compose.bringing import Bringing
from cais.compose.creation import DIVERGED, FORCE, NEVER, Choices
from cais.compose.errors import ComposeError
from cais.compose.images import Policy
from cais.compose.starting import RUNNING_OR_HEALTHY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.attached import Attached
    from cais.cli.compose.call import Call
    from cais.cli.flags import Parsed
    from cais.compose.model import Project
    from cais.compose.observed import Container

_INCOMPATIBLE = (
    ("build", "no-build"),
    ("force-recreate", "no-recreate"),
    ("always-recreate-deps", "no-recreate"),
    ("no-recreate", "renew-anon-volumes"),
)
_PULLS = {"policy", "always", "missing", "never"}


def _scales(texts: list[str]) -> dict[str, int]:
    found = {}
    for text in texts:
        name, separator, count = text.partition("=")
        if separator and not count.isdigit():
            raise CommandError(f'strconv.Atoi: parsing "{count}": invalid syntax')
        if not separator:
            raise CommandError(f"invalid scale specifier: {text}")
        found[name] = int(count)
    return found


def _scaled(project: Project, scales: dict[str, int]) -> Project:
    for name, count in scales.items():
        if name not in project.services:
            raise ComposeError(f"no such service: {name}: not found")
        service = project.services[name]
        service["scale"] = count
        if "deploy" in service:
            service["deploy"] = {**service["deploy"], "replicas": count}
        if count > 1 and service.get("container_name"):
            raise ComposeError(
                f'WARNING: The "{name}" service is using the custom container name "{service["container_name"]}". '
                "Docker requires each container to have a unique name. Remove the custom name to scale the service"
            )
    return project


def _chosen(call: Call, scales: dict[str, int]) -> Project:
    """The project with the services that are to be touched. Raises ComposeError."""
    no_dependencies = "no-deps" in call.flags.given and call.flags.on("no-deps")
    whole = call.project([*call.arguments, *scales])
    _scaled(whole, scales)
    if not whole.services and not call.whole.flags.on("all-resources"):
        raise ComposeError("no service selected")
    return call.selected(whole, call.arguments, dependencies=not no_dependencies)


def _policy(call: Call) -> Policy:
    pull = call.flags.text("pull")
    if pull not in _PULLS:
        raise CommandError(f'invalid --pull option "{pull}"')
    given = call.flags
    return Policy(
        pull=pull, builds=given.on("build"), may_build=not given.on("no-build"), quiet_pull=given.on("quiet-pull")
    )


def _choices(call: Call) -> Choices:
    given = call.flags
    named = FORCE if given.on("force-recreate") else NEVER if given.on("no-recreate") else DIVERGED
    dependencies = NEVER if given.on("no-recreate") else DIVERGED
    if "always-recreate-deps" in given.given and given.on("always-recreate-deps"):
        dependencies = FORCE
    inherits = not ("renew-anon-volumes" in given.given and given.on("renew-anon-volumes"))
    timeout = call.timeout() if "timeout" in given.given else None
    choices = Choices(
        call.arguments, named=named, dependencies=dependencies, inherits=inherits, timeout_seconds=timeout
    )
    choices.replaces_volumes = agreed if not given.on("yes") else lambda _question: True
    return choices


def _bringing(call: Call, project: Project) -> Bringing:
    sources = Sources(call, quiet_build="quiet-build" in call.flags.given)
    return Bringing(call.engines, project, call.progress, sources)


def _up(call: Call) -> int:
    given = call.flags
    _check_up(call)
    project = _chosen(call, _scales(given.texts("scale")))
    _check_exit_code_from(project, given.text("exit-code-from"))
    bringing = _bringing(call, project)
    detached = given.on("detach") or given.on("wait")
    follows = not detached and not given.on("no-start")
    if follows and call.rehearses:
        _make(call, project, "up")
        out("end of 'compose up' output, interactive run is not supported in dry-run mode")
        return 0
    attached: list[Attached] = []
    shown = _shown_services(call, project) if follows else []

    def before_start(containers: list[Container]) -> None:
        from cais.cli.compose.attached import Attached  # noqa: PLC0415 -- only in the foreground
        from cais.cli.compose.printing import Printer  # noqa: PLC0415

        printer = Printer(prefixes=not given.on("no-log-prefix"), colours=call.colours(plain=given.on("no-color")))
        follower = Attached(call.engines, project.name, printer, shown, timestamps=given.on("timestamps"))
        follower.awaited = set(_named(call, project))
        follower.announced = {name for name in follower.awaited if project.services[name].get("attach") is not False}
        call.progress.end()  # what moves would be drawn over the output
        names = [one.name_in(project.name) for one in containers if one.service in shown]
        for name in sorted(names):
            printer.reserve(name)
        if names:
            out(f"Attaching to {', '.join(sorted(names))}")
        attached.append(follower)
        call.progress.listener = follower.hear
        follower.watch(containers)

    call.progress.begin("up")
    try:
        bringing.run(
            _policy(call),
            _choices(call),
            remove_orphans=call.removes_orphans(project),
            starts=not given.on("no-start"),
            before_start=before_start if follows else None,
        )
        if given.on("wait"):
            _await_all(call, project, bringing)
    except KeyboardInterrupt:
        call.progress.end()
        if not attached:
            raise
        return _interrupted(call, project)
    finally:
        call.progress.end()
    if not follows:
        return 0
    if given.on("watch"):
        _watch_beside(call, project)
    return _follow(call, project, attached[0])


def _watch_beside(call: Call, project: Project) -> None:
    """Watch the sources in a thread, while the output is shown."""
    import threading  # noqa: PLC0415

    from cais.cli.compose.watch import watch_project  # noqa: PLC0415

    threading.Thread(target=watch_project, args=(call, project), daemon=True).start()


def _check_up(call: Call) -> None:
    given = call.flags
    if given.text("exit-code-from") and not given.on("abort-on-container-exit"):
        given.take(_ABORT, "true")
    if given.on("menu"):
        warn("there is no menu in this version: --menu is ignored")
    exits, fails = given.on("abort-on-container-exit"), given.on("abort-on-container-failure")
    if exits and fails:
        raise CommandError("--abort-on-container-failure cannot be combined with --abort-on-container-exit")
    attaches = bool(given.texts("attach")) or given.on("attach-dependencies")
    if given.on("wait") and (exits or attaches):
        raise CommandError(
            "--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies"
        )
    if given.on("detach") and (exits or fails or attaches or given.on("watch")):
        raise CommandError(
            "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, "
            "--attach-dependencies or --watch"
        )
    _check_compatible(given)


def _check_exit_code_from(project: Project, name: str) -> None:
    if name and name not in project.services:
        raise ComposeError(f"no such service: {name}: not found")


def _check_compatible(given: Parsed) -> None:
    wanted = {name for name in given.given if given.value(name) is True}
    for first, second in _INCOMPATIBLE:
        if {first, second} <= wanted:
            raise CommandError(f"--{first} and --{second} are incompatible")


def _shown_services(call: Call, project: Project) -> list[str]:
    """The services whose output is shown: those that are named, unless flags say otherwise."""
    given = call.flags
    shown = given.texts("attach") or (call.arguments if not given.on("attach-dependencies") else [])
    if missing := [name for name in shown if name not in project.services]:
        raise CommandError(f"cannot attach to services not included in up: {', '.join(missing)}")
    names = shown or list(project.services)
    hidden = given.texts("no-attach")
    return [name for name in names if name not in hidden and project.services[name].get("attach") is not False]


def _await_all(call: Call, project: Project, bringing: Bringing) -> None:
    services = list(project.services)
    call.within_timeout(lambda deadline: bringing.await_condition(services, RUNNING_OR_HEALTHY, deadline))


def _follow(call: Call, project: Project, attached: Attached) -> int:
    given = call.flags
    aborts = given.on("abort-on-container-exit")
    try:
        attached.finish(until_first=aborts, until_failure=given.on("abort-on-container-failure"))
    except KeyboardInterrupt:
        return _interrupted(call, project)
    if not aborts and not given.on("abort-on-container-failure"):
        return 0
    from cais.compose.ending import Ending  # noqa: PLC0415

    call.progress.begin("stop")
    call.progress.on("Compose", "Stopping", 2, "Aborting on container exit...")
    try:
        found = call.containers(project.name, _named(call, project))
        Ending(call.engines, project, call.progress, call.timeout()).stop(found)
    finally:
        call.progress.end()
    attached.finish()
    chosen = given.text("exit-code-from")
    if chosen:
        return attached.code_of(chosen) or 0
    codes = [code for _, code in attached.ended if aborts or code]
    return codes[0] if codes else 0


def _interrupted(call: Call, project: Project) -> int:
    from cais.cli.compose.stopping import stop_gracefully  # noqa: PLC0415

    stop_gracefully(call, project, _named(call, project))
    return 130


def _named(call: Call, project: Project) -> list[str]:
    """The services that are brought up for their own sake, not because others depend on them."""
    return call.arguments or list(project.services)


def _create(call: Call) -> int:
    _check_compatible(call.flags)
    _make(call, _chosen(call, _scales(call.flags.texts("scale"))), "create")
    return 0


def _make(call: Call, project: Project, title: str) -> None:
    """Everything up to the containers; none is started. Raises CaisError."""
    call.progress.begin(title)
    try:
        _bringing(call, project).run(
            _policy(call),
            _choices(call),
            remove_orphans=call.removes_orphans(project),
            starts=False,
            before_start=None,
        )
    finally:
        call.progress.end()


def _scale(call: Call) -> int:
    scales = _scales(call.arguments)
    whole = _scaled(call.project(list(scales)), scales)
    project = call.selected(whole, scales, dependencies=not call.flags.on("no-deps"))
    call.progress.begin("scale")
    try:
        _bringing(call, project).run(
            Policy(),
            Choices(scales, dependencies=NEVER),
            remove_orphans=False,
            starts=True,
            before_start=None,
        )
    finally:
        call.progress.end()
    return 0


_ABORT = switch("abort-on-container-exit", "Stops all containers if any container was stopped. Incompatible with -d")
_CREATION_FLAGS = (
    switch("build", "Build images before starting containers"),
    switch("force-recreate", "Recreate containers even if their configuration and image haven't changed"),
    switch("no-build", "Don't build an image, even if it's policy"),
    switch("no-recreate", "If containers already exist, don't recreate them. Incompatible with --force-recreate."),
    Flag(
        "pull",
        'Pull image before running ("always"|"missing"|"never")',
        default="policy",
        default_text='(default "policy")',
    ),
    switch("quiet-pull", "Pull without printing progress information"),
    switch("remove-orphans", "Remove containers for services not defined in the Compose file"),
    text_list(
        "scale",
        "Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.",
        kind="scale",
    ),
    switch("yes", 'Assume "yes" as answer to all prompts and run non-interactively', "y"),
)
UP = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        *_CREATION_FLAGS,
        _ABORT,
        switch(
            "abort-on-container-failure",
            "Stops all containers if any container exited with failure. Incompatible with -d",
        ),
        switch("always-recreate-deps", "Recreate dependent containers. Incompatible with --no-recreate."),
        text_list(
            "attach",
            "Restrict attaching to the specified services. Incompatible with --attach-dependencies.",
            kind="stringArray",
        ),
        switch("attach-dependencies", "Automatically attach to log output of dependent services"),
        switch("detach", "Detached mode: Run containers in the background", "d"),
        Flag(
            "exit-code-from",
            "Return the exit code of the selected service container. Implies --abort-on-container-exit",
        ),
        switch("menu", "Enable interactive shortcuts when running attached. Incompatible with --detach.", hidden=True),
        text_list("no-attach", "Do not attach (stream logs) to the specified services", kind="stringArray"),
        switch("no-color", "Produce monochrome output"),
        switch("no-deps", "Don't start linked services"),
        switch("no-log-prefix", "Don't print prefix in logs"),
        switch("no-start", "Don't start the services after creating them"),
        switch("quiet-build", "Suppress the build output"),
        switch(
            "renew-anon-volumes",
            "Recreate anonymous volumes instead of retrieving data from the previous containers",
            "V",
        ),
        number(
            "timeout",
            "Use this timeout in seconds for container shutdown when attached or when containers are already running",
            "t",
        ),
        switch("timestamps", "Show timestamps"),
        switch("wait", "Wait for services to be running|healthy. Implies detached mode."),
        number("wait-timeout", "Maximum duration in seconds to wait for the project to be running|healthy"),
        switch("watch", "Watch source code and rebuild/refresh containers when files are updated.", "w"),
    ),
    for_compose(_up),
)
CREATE = Command("[OPTIONS] [SERVICE...]", "", _CREATION_FLAGS, for_compose(_create))
SCALE = Command(
    "[OPTIONS] SERVICE=REPLICAS...", "", (switch("no-deps", "Don't start linked services"),), for_compose(_scale), 1
)
