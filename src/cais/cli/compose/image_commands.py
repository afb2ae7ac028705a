"""`cais compose pull`, `push` and `build`."""

from __future__ import annotations

from cais.cli.command import Command, CommandError
from cais.cli.compose.call import for_compose
from cais.cli.compose.progress import warn
from cais.cli.compose.sources import Sources
from cais.cli.flags import Flag, switch, text_list
from cais.cli.progress import show
from cais.cli.reference import Reference
from cais.client import images as image_calls
from cais.compose.errors import ComposeError
from cais.compose.images import Images
from cais.compose.parallel import each
from cais.compose.report import DONE, Step
from cais.errors import CaisError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cais.cli.compose.call import Call
    from cais.compose.model import Project


def _project(call: Call, with_dependencies: str) -> Project:
    whole = call.project(call.arguments)
    return whole.selected(call.arguments, dependencies=call.flags.on(with_dependencies))


_POLICIES = {"", "always", "build", "daily", "if_not_present", "missing", "never", "weekly"}


def _has_version(image: str) -> bool:
    """Whether a name stands for one and the same image for good, as far as can be told."""
    reference = Reference(image)
    return bool(reference.digest) or reference.tag not in {"", "latest", None}


def _pull(call: Call) -> int:
    given = call.flags
    project = _project(call, "include-deps")
    images = Images(call.engines, project, call.progress, Sources(call))
    chosen = []
    for name, service in project.services.items():
        policy = given.text("policy") or service.get("pull_policy", "")
        if policy not in _POLICIES and not policy.startswith("every_"):
            raise CommandError(f'invalid pull_policy "{policy}"')
        resource = f"Image {project.image(name)}"
        if not service.get("image"):
            call.progress.on(name, "Skipped", DONE, "No image to be pulled")
        elif policy in {"never", "build"} or (given.on("ignore-buildable") and service.get("build")):
            call.progress.on(resource, "Skipped", DONE)
        elif policy in {"missing", "if_not_present"} and _has_version(service["image"]) and images.is_here(name):
            call.progress.on(resource, "Skipped", DONE, "Image is already present locally")
        else:
            chosen.append(name)
    call.progress.begin("pull")
    try:
        images.pull(chosen, ignores_failures=given.on("ignore-pull-failures"))
    finally:
        call.progress.end()
    return 0


def _push(call: Call) -> int:
    from cais.cli.credentials import authorization  # noqa: PLC0415

    given = call.flags
    project = _project(call, "include-deps")
    names = []
    for name, service in project.services.items():
        if not service.get("build") or not service.get("image"):
            call.progress.on(name, "Skipped", DONE)
        else:
            names += [service["image"], *(service["build"].get("tags") or [])]

    def push(image: str) -> None:
        if call.rehearses:
            call.progress.on(f"Image {image}", "Pushed", DONE)
            return
        reference = Reference(image).tagged()
        headers = authorization(call.settings, reference.domain)
        try:
            with Step(call.progress, f"Image {image}", "Pushing", "Pushed"), call.engines.one() as engine:
                name = f"{reference.domain}/{reference.path}"
                show(image_calls.push(engine, name, {"tag": reference.tag}, headers), None)
        except (CommandError, CaisError) as error:
            if not given.on("ignore-push-failures"):
                raise ComposeError(str(error)) from None
            warn(f"{image}: {error}")

    call.progress.begin("push")
    try:
        each(list(dict.fromkeys(names)), push)
    finally:
        call.progress.end()
    return 0


def _build(call: Call) -> int:
    given = call.flags
    project = _project(call, "with-dependencies")
    chosen = [name for name, service in project.services.items() if service.get("build")]
    if not chosen:
        warn("No services to build")
        return 0
    for flag in ("builder", "provenance", "sbom"):
        if given.text(flag):
            raise CommandError(f"--{flag} is not supported")
    sources = Sources(call, quiet_build=given.on("quiet"))
    sources.build_words = [f"--{flag}" for flag in ("no-cache", "pull") if given.on(flag)]
    for argument in given.texts("build-arg"):
        sources.build_words += ["--build-arg", argument]
    if given.text("ssh"):
        sources.build_words += ["--ssh", given.text("ssh")]
    if given.text("memory"):
        sources.build_words += ["--memory", given.text("memory")]
    call.progress.begin("build")
    try:
        Images(call.engines, project, call.progress, sources).build(chosen)
    finally:
        call.progress.end()
    return _push(call) if given.on("push") else 0


PULL = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("ignore-buildable", "Ignore images that can be built"),
        switch("ignore-pull-failures", "Pull what it can and ignores images with pull failures"),
        switch("include-deps", "Also pull services declared as dependencies"),
        Flag("policy", 'Apply pull policy ("missing"|"always")'),
        switch("quiet", "Pull without printing progress information", "q"),
    ),
    for_compose(_pull),
)
PUSH = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        switch("ignore-push-failures", "Push what it can and ignores images with push failures"),
        switch("include-deps", "Also push images of services declared as dependencies"),
        switch("quiet", "Push without printing progress information", "q"),
    ),
    for_compose(_push),
)
BUILD = Command(
    "[OPTIONS] [SERVICE...]",
    "",
    (
        text_list("build-arg", "Set build-time variables for services", kind="stringArray"),
        Flag("builder", "Set builder to use"),
        switch("ignore-push-failures", "Push what it can and ignores images with push failures", hidden=True),
        switch("include-deps", "Also push images of services declared as dependencies", hidden=True),
        Flag("memory", "Set memory limit for the build container.", "m", kind="bytes"),
        switch("no-cache", "Do not use cache when building the image"),
        Flag("provenance", "Add a provenance attestation"),
        switch("pull", "Always attempt to pull a newer version of the image"),
        switch("push", "Push service images"),
        switch("quiet", "Suppress the build output", "q"),
        Flag("sbom", "Add a SBOM attestation"),
        Flag("ssh", "Set SSH authentications used when building service images."),
        switch("with-dependencies", "Also build dependencies (transitively)"),
    ),
    for_compose(_build),
)
