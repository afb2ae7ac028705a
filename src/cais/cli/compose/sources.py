"""How the images of a project come to the engine: pulled with the user's credentials, or built as `cais build` does."""

from __future__ import annotations

from cais.cli.command import CommandError, Invocation
from cais.cli.progress import show
from cais.cli.reference import Reference
from cais.client import images
from cais.compose import labels
from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.cli.compose.call import Call
    from cais.compose.document import Tree
    from cais.compose.model import Project

_REFUSED = ("entitlements", "isolation", "privileged", "provenance", "sbom")
_OFF = {"", "false"}


class Sources:
    """`build_words` are flags of `cais build` for all that is built."""

    def __init__(self, call: Call, *, quiet_build: bool = False) -> None:
        self._call = call
        self._quiet_build = quiet_build
        self.build_words: list[str] = []

    def pull(self, image: str, platform: str) -> None:
        from cais.cli.credentials import authorization  # noqa: PLC0415 -- seldom needed

        reference = Reference(image)
        headers = authorization(self._call.settings, reference.domain)
        name = f"{reference.domain}/{reference.path}"
        with self._call.engines.one() as engine:
            if self._call.rehearses:
                images.distribution(engine, image, headers)
                return
            tag = reference.digest or reference.tag or "latest"
            try:
                show(images.pull(engine, name, tag, platform, headers), None)
            except CommandError as error:
                raise ComposeError(error.message) from None

    def build(self, project: Project, service: str, tags: list[str]) -> None:
        if self._call.rehearses:
            return
        import tempfile  # noqa: PLC0415

        from cais.cli import flags  # noqa: PLC0415
        from cais.cli.build import BUILD  # noqa: PLC0415 -- most services are not built

        build: Tree = project.services[service]["build"]
        for key in _REFUSED:
            if str(build.get(key) or "").lower() not in _OFF:
                raise project.error(
                    ("services", service, "build", key), f"services.{service}.build.{key}: not supported"
                )
        words = [*self.build_words, "--progress", "quiet" if self._quiet_build else "plain"]
        for tag in tags:
            words += ["--tag", tag]
        words += build_words(project, service, build)
        with tempfile.NamedTemporaryFile("w", prefix="Dockerfile.", encoding="utf-8") as inline:
            if (text := build.get("dockerfile_inline")) is not None:
                inline.write(text)
                inline.flush()
                words += ["--file", inline.name]
            elif file := build.get("dockerfile"):
                words += ["--file", _in_context(build["context"], file)]
            try:
                parsed = flags.parse(BUILD.flags, [*words, "--", build["context"]])
                status = BUILD.run(Invocation("build", parsed, lambda: self._call.choice, debug=self._call.debug))
            except (CommandError, flags.FlagError) as error:
                raise ComposeError(f"failed to build service {service!r}: {error.message}") from None
        if status:
            raise ComposeError(f"failed to build service {service!r}")


def _in_context(context: str, file: str) -> str:
    import os  # noqa: PLC0415

    return file if "://" in context else os.path.join(context, file)


def build_words(project: Project, service: str, build: Tree) -> Iterator[str]:
    """The `build` of a service as flags of `cais build`."""
    known = {
        **(build.get("labels") or {}),
        labels.PROJECT: project.name,
        labels.SERVICE: service,
        labels.COMPOSE_VERSION: labels.VERSION,
    }
    lists = {
        "build-arg": [f"{name}={value}" for name, value in (build.get("args") or {}).items() if value is not None],
        "label": [f"{name}={value}" for name, value in known.items()],
        "add-host": [host.replace("=", ":", 1) for host in build.get("extra_hosts") or ()],
        "cache-from": build.get("cache_from") or (),
        "cache-to": build.get("cache_to") or (),
        "secret": [_secret(project, use) for use in build.get("secrets") or ()],
        "ssh": [key.replace(": ", "=", 1) for key in build.get("ssh") or ()],
        "build-context": [_context(project, *item) for item in (build.get("additional_contexts") or {}).items()],
        "ulimit": [_ulimit(name, value) for name, value in (build.get("ulimits") or {}).items()],
    }
    for flag, values in lists.items():
        for value in values:
            yield from (f"--{flag}", value)
    texts = {
        "target": build.get("target"),
        "network": build.get("network"),
        "shm-size": build.get("shm_size"),
        "platform": next(iter(build.get("platforms") or ()), project.services[service].get("platform")),
    }
    for flag, text in texts.items():
        if text:
            yield from (f"--{flag}", str(text))
    for flag in ("no_cache", "pull"):
        if build.get(flag):
            yield f"--{flag.replace('_', '-')}"


def _secret(project: Project, use: Tree) -> str:
    entry = project.secrets[use["source"]]
    identity = use.get("target") or use["source"]
    if entry.get("file"):
        return f"id={identity},src={entry['file']}"
    return f"id={identity},env={entry.get('environment', '')}"


def _context(project: Project, name: str, where: str) -> str:
    if where.startswith("service:"):
        where = f"docker-image://{project.image(where.removeprefix('service:'))}"
    return f"{name}={where}"


def _ulimit(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"{name}={value['soft']}:{value['hard']}"
    return f"{name}={value}"
