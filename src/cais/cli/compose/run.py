"""`cais compose run`: one command in a container of its own, made as one of a service would be."""

from __future__ import annotations

import os

from cais.cli.command import Command, CommandError
from cais.cli.compose.call import for_compose
from cais.cli.compose.sources import Sources
from cais.cli.flags import Flag, switch, text_list
from cais.cli.foreground import Attachment, StartError, start_attached
from cais.cli.output import STDIN, STDOUT, out
from cais.cli.values import parse_env
from cais.client.errors import EngineError
from cais.compose import canonical, dotenv, labels
from cais.compose.bringing import Bringing
from cais.compose.creation import Choices
from cais.compose.errors import ComposeError
from cais.compose.images import Policy
from cais.compose.injection import inject
from cais.compose.parallel import run_all
from cais.compose.paths import absolute
from cais.compose.report import Step
from cais.compose.spec import Wanted
from cais.compose.spec_mounts import mounts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.document import Tree
    from cais.compose.model import Project
    from cais.compose.observed import Container

_SLUG_BYTES = 32
_SHOWN_OF_SLUG = 12


def _run(call: Call) -> int:
    given = call.flags
    service, *words = call.arguments
    whole = call.project([service])
    whole.service(service)
    project = call.selected(whole, [service], dependencies=not given.on("no-deps"))
    tree = _overridden(call, project, service, words)
    slug = os.urandom(_SLUG_BYTES).hex()
    name = (
        given.text("name")
        or tree.get("container_name")
        or project.separator.join((project.name, service, "run", slug[:_SHOWN_OF_SLUG]))
    )
    if given.on("quiet"):
        call.be_quiet()
    call.progress.begin("run")
    try:
        container = _prepared(call, project, service, tree, name=name, slug=slug)
    finally:
        call.progress.end()
    call.refuse_rehearsal("interactive run")
    inject(call.engines, project, tree, container.identity)
    if given.on("detach"):
        call.engines.post(f"/containers/{container.identity}/start")
        out(container.identity)
        return 0
    return _foreground(call, container, tree)


def _prepared(call: Call, project: Project, service: str, tree: Tree, *, name: str, slug: str) -> Container:
    """The container, made but not started, behind running containers of what the service depends on."""
    given = call.flags
    bringing = Bringing(call.engines, project, call.progress, Sources(call, quiet_build=given.on("quiet-build")))
    policy = Policy(pull=given.text("pull"), builds=given.on("build"), quiet_pull=given.on("quiet-pull"))
    creation = bringing.prepare(policy, Choices(), remove_orphans=given.on("remove-orphans"))
    tasks = creation.tasks()
    tasks.pop(f"create:{service}")
    run_all(tasks)
    bringing.containers = creation.containers
    bringing.start_dependencies(service)
    resolved = creation.resolved(tree)
    wanted = Wanted(project, service, resolved, name, 0)
    wanted.image_id = bringing.images.identity(service)
    wanted.aliases = given.on("use-aliases")
    wanted.mounts = mounts_of(project, resolved, [], None, call.progress)
    own_labels = canonical.labels(given.texts("label"))
    wanted.extra_labels = {**own_labels, labels.ONE_OFF: "True", labels.SLUG: slug}
    if given.on("rm"):
        wanted.auto_remove = True
    wanted.attaches_stdin = given.on("interactive") and not given.on("detach")
    with Step(call.progress, f"Container {name}", "Creating", "Created"):
        return creation.create(wanted, name)


def _overridden(call: Call, project: Project, service: str, words: list[str]) -> Tree:
    """The service with what the command line says instead."""
    given = call.flags
    tree = dict(project.services[service])
    tty = not given.on("no-tty") and not given.on("detach") and os.isatty(STDIN) and os.isatty(STDOUT)
    tree["tty"], tree["stdin_open"] = tty, given.on("interactive")
    tree.pop("restart", None)
    tree.pop("scale", None)
    if deploy := tree.get("deploy"):
        tree["deploy"] = {key: value for key, value in deploy.items() if key not in {"restart_policy", "replicas"}}
    if words:
        tree["command"] = words
    if "entrypoint" in given.given:
        tree["entrypoint"] = canonical.command(given.text("entrypoint"))
        tree["command"] = words
    texts = {"user": given.text("user"), "working_dir": given.text("workdir")}
    tree.update({key: text for key, text in texts.items() if text})
    lists = {"cap_add": given.texts("cap-add"), "cap_drop": given.texts("cap-drop")}
    tree.update({key: [*(tree.get(key) or []), *more] for key, more in lists.items() if more})
    tree["environment"] = {**(tree.get("environment") or {}), **_environment(call, project)}
    _override_ports_and_volumes(call, tree)
    return tree


def _override_ports_and_volumes(call: Call, tree: Tree) -> None:
    given = call.flags
    if not given.on("service-ports"):
        tree["ports"] = []
    if given.texts("publish"):
        tree["ports"] = [*tree["ports"], *canonical.published(given.texts("publish"))]
    if given.texts("volume"):
        extra = canonical.mounted(given.texts("volume"))
        for mount in extra:
            if mount["type"] == "bind":
                mount["source"] = absolute(os.getcwd(), mount["source"])
        targets = {mount["target"] for mount in extra}
        tree["volumes"] = [*(use for use in tree.get("volumes") or () if use["target"] not in targets), *extra]


def _environment(call: Call, project: Project) -> Tree:
    found: Tree = {}
    for path in call.flags.texts("env-from-file"):
        try:
            found.update(dotenv.read_file(path, project.environment))
        except OSError as error:
            raise ComposeError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    for name, value in canonical.pairs(call.flags.texts("env")).items():
        if value is not None:
            found[name] = value
        elif name in project.environment:
            found[name] = project.environment[name]
    return found


def _foreground(call: Call, container: Container, tree: Tree) -> int:
    how = Attachment(
        tty=tree["tty"],
        stdin=call.flags.on("interactive"),
        stdout=True,
        stderr=True,
        detach_keys=call.settings.text("detachKeys"),
        sig_proxy=True,
    )
    try:
        return start_attached(call.engine, container.identity, how, removed=call.flags.on("rm")) or 0
    except StartError as error:
        raise CommandError(str(error)) from error
    except EngineError as error:
        raise CommandError(str(error)) from error


RUN = Command(
    "[OPTIONS] SERVICE [COMMAND] [ARGS...]",
    "",
    (
        switch("build", "Build image before starting container"),
        text_list("cap-add", "Add Linux capabilities"),
        text_list("cap-drop", "Drop Linux capabilities"),
        switch("detach", "Run container in background and print container ID", "d"),
        Flag("entrypoint", "Override the entrypoint of the image"),
        text_list("env", "Set environment variables", "e", parse_env, kind="stringArray"),
        text_list("env-from-file", "Set environment variables from file", kind="stringArray"),
        switch("interactive", "Keep STDIN open even if not attached", "i", default=True),
        text_list("label", "Add or override a label", "l", kind="stringArray"),
        Flag("name", "Assign a name to the container"),
        switch("no-deps", "Don't start linked services"),
        switch("no-tty", "Disable pseudo-TTY allocation (default: auto-detected)", "T"),
        text_list("publish", "Publish a container's port(s) to the host", "p", kind="stringArray"),
        Flag("pull", 'Pull image before running ("always"|"missing"|"never")', default="policy"),
        switch("quiet", "Don't print anything to STDOUT", "q"),
        switch("quiet-build", "Suppress progress output from the build process"),
        switch("quiet-pull", "Pull without printing progress information"),
        switch("remove-orphans", "Remove containers for services not defined in the Compose file"),
        switch("rm", "Automatically remove the container when it exits"),
        switch("service-ports", "Run command with all service's ports enabled and mapped to the host", "P"),
        switch("tty", "Allocate a pseudo-TTY", "t", default=True, hidden=True),
        switch("use-aliases", "Use the service's network useAliases in the network(s) the container connects to"),
        Flag("user", "Run as specified username or uid", "u"),
        text_list("volume", "Bind mount a volume", "v", kind="stringArray"),
        Flag("workdir", "Working directory inside the container", "w"),
    ),
    for_compose(_run),
    1,
    interspersed=False,
)
