"""`cais compose config`: the project as it has been understood."""

from __future__ import annotations

from cais.cli.command import Command, CommandError
from cais.cli.compose.call import for_compose
from cais.cli.compose.progress import warn
from cais.cli.flags import Flag, switch
from cais.cli.output import out
from cais.compose.errors import ComposeError
from cais.compose.hashes import service_hash
from cais.compose.interpolate import variables_of
from cais.compose.load import Loader
from cais.compose.project import Reading
from cais.compose.render import escaped, indented, to_json, to_yaml, tree, tree_as_written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.compose.call import Call
    from cais.compose.document import Tree
    from cais.compose.interpolate import Variable
    from cais.compose.model import Project


_LISTS = {"services", "volumes", "networks", "models", "profiles"}  # for which no env_file is read


def _config(call: Call) -> int:
    given = call.flags
    lists: dict[str, Callable[[Call, Project], list[str]]] = {
        "services": lambda _call, project: list(project.ordered()),
        "volumes": lambda _call, project: list(project.volumes),
        "networks": lambda _call, project: list(project.networks),
        "models": lambda _call, project: list(project.models),
        "profiles": _profiles,
        "images": _images,
        "hash": _hashes,
    }
    if given.on("environment"):
        call.project()
        for name, value in sorted(call.workspace.environment.items()):
            out(f"{name}={value}")
        return 0
    if given.on("variables"):
        return _variables(call)
    how = Reading(
        interpolates=not given.on("no-interpolate"),
        normalizes=not given.on("no-normalize"),
        checks=not (given.on("no-consistency") or given.on("no-interpolate")),
        resolves_paths=not given.on("no-path-resolution"),
        resolves_env_files=not _LISTS.intersection(given.given)
        and not (given.on("no-env-resolution") or given.on("no-interpolate")),
        keeps_unused=given.on("no-interpolate"),
    )
    project = call.project(call.arguments, how)
    if how.interpolates:
        project = project.selected(call.arguments)
    elif call.arguments:
        warn("service filtering is not applied when --no-interpolate is set, the full model will be rendered")
    for name, listed in lists.items():
        if name in given.given and given.value(name):
            for line in listed(call, project):
                out(line)
            return 0
    if not given.on("quiet"):
        _print(call, project)
    return 0


def _print(call: Call, project: Project) -> None:
    given = call.flags
    as_written = given.on("no-interpolate")
    data = tree_as_written(project) if as_written else tree(project)
    if given.on("resolve-image-digests") or given.on("lock-image-digests"):
        data = _with_digests(call, data)
    if given.on("lock-image-digests"):
        data = {"services": {name: {"image": service["image"]} for name, service in data["services"].items()}}
    if not as_written:
        data = escaped(data)
    form = given.text("format") or "yaml"
    if form not in {"yaml", "json"}:
        raise CommandError(f'unsupported format "{form}"')
    if as_written:
        text = indented(data) + "\n" if form == "json" else to_yaml(data, None)
    else:
        text = to_json(data) + "\n" if form == "json" else to_yaml(data)
    if path := given.text("output"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    out(text, end="")


def _with_digests(call: Call, data: Tree) -> Tree:
    """Images by what their registries say that the names stand for."""
    from cais.cli.credentials import authorization  # noqa: PLC0415
    from cais.cli.reference import Reference  # noqa: PLC0415
    from cais.client.images import distribution  # noqa: PLC0415

    services = {}
    for name, service in data["services"].items():
        image = service.get("image")
        if image and "@" not in image:
            reference = Reference(image)
            headers = authorization(call.settings, reference.domain)
            found = distribution(call.engine, image, headers)
            service = {**service, "image": f"{image}@{found['Descriptor']['digest']}"}  # noqa: PLW2901
        services[name] = service
    return {**data, "services": services}


def _profiles(_call: Call, project: Project) -> list[str]:
    everything = {**project.services, **project.disabled}
    return sorted({profile for service in everything.values() for profile in service.get("profiles") or ()})


def _images(_call: Call, project: Project) -> list[str]:
    return [project.image(name) for name in project.services]


def _hashes(call: Call, project: Project) -> list[str]:
    wanted = call.flags.text("hash")
    names = sorted(project.services) if wanted == "*" else [name for name in wanted.split(",") if name]
    for name in names:
        if name not in project.services:
            raise ComposeError(f"no such service: {name}")
    return [f"{name} {service_hash(project.services[name])}" for name in names]


def _variables(call: Call) -> int:
    workspace = call.workspace
    loader = Loader(workspace.directory, workspace.environment, lambda _text: None, interpolates=False)
    loader.load(workspace.files)
    found: dict[str, Variable] = {}
    for document in loader.documents:
        for variable in variables_of(document.data):
            found.setdefault(variable.name, variable)
    rows = [["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"]]
    for name in sorted(found):
        operator, word = found[name].operator, found[name].word
        default = word if operator.endswith("-") else ""
        alternate = word if operator.endswith("+") else ""
        rows.append([name, str(operator.endswith("?")).lower(), default, alternate])
    out("\n".join("".join(f"{cell:<20}" for cell in row[:-1]) + row[-1] for row in rows))
    return 0


CONFIG = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("environment", "Print environment used for interpolation."),
        Flag("format", "Format the output. Values: [yaml | json]"),
        Flag("hash", "Print the service config hash, one per line."),
        switch("images", "Print the image names, one per line."),
        switch("lock-image-digests", "Produces an override file with image digests"),
        switch("models", "Print the model names, one per line."),
        switch("networks", "Print the network names, one per line."),
        switch("no-consistency", "Don't check model consistency - warning: may produce invalid Compose output"),
        switch("no-env-resolution", "Don't resolve service env files"),
        switch("no-interpolate", "Don't interpolate environment variables"),
        switch("no-normalize", "Don't normalize compose model"),
        switch("no-path-resolution", "Don't resolve file paths"),
        Flag("output", "Save to file (default to stdout)", "o"),
        switch("profiles", "Print the profile names, one per line."),
        switch("quiet", "Only validate the configuration, don't print anything", "q"),
        switch("resolve-image-digests", "Pin image tags to digests"),
        switch("services", "Print the service names, one per line."),
        switch("variables", "Print model variables and default values."),
        switch("volumes", "Print the volume names, one per line."),
    ),
    for_compose(_config),
)
