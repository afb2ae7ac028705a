"""The images of a project's services: looked up, pulled or built as their pull policies say."""

from __future__ import annotations

from cais.client.errors import EngineError
from cais.client.http import quote
from cais.compose.errors import ComposeError
from cais.compose.parallel import Task, each, run_all
from cais.compose.report import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project
    from cais.compose.report import Reporter

    class Sources(Protocol):
        """How images come here. The command has the credentials and the building."""

        def pull(self, image: str, platform: str) -> None:
            """Raises CaisError."""

        def build(self, project: Project, service: str, tags: list[str]) -> None:
            """Raises CaisError."""


class Policy:
    """What the command line says of images, beside what the project says."""

    __slots__ = ("builds", "may_build", "pull", "quiet_pull")

    def __init__(
        self, *, pull: str = "policy", builds: bool = False, may_build: bool = True, quiet_pull: bool = False
    ) -> None:
        self.pull = pull
        self.builds = builds
        self.may_build = may_build
        self.quiet_pull = quiet_pull


class Images:
    def __init__(self, engines: Engines, project: Project, reporter: Reporter, sources: Sources) -> None:
        self._engines = engines
        self._project = project
        self._reporter = reporter
        self._sources = sources
        self._found: dict[str, Tree | None] = {}

    def ensure(self, services: Iterable[str], policy: Policy) -> None:
        """Have an image for each of the services. Raises CaisError."""
        services = [name for name in services if not self._project.services[name].get("provider")]
        names = list(dict.fromkeys(self._project.image(name) for name in services))
        self._look_up(names)
        to_build = [name for name in services if self._is_to_be_built(name, policy)]
        to_pull = [name for name in services if name not in to_build and self._is_to_be_pulled(name, policy)]
        self.pull(to_pull)
        if to_build:
            self.build(to_build)
        self._look_up(list(dict.fromkeys(self._project.image(name) for name in (*to_build, *to_pull))))

    def _look_up(self, images: list[str]) -> None:
        answers = self._engines.find_each([f"/images/{quote(image)}/json" for image in images])
        self._found.update(zip(images, answers, strict=True))

    def identity(self, service: str) -> str:
        """The id of a service's image, "" where it is not here."""
        found = self._found.get(self._project.image(service))
        return found["Id"] if found else ""

    def is_here(self, service: str) -> bool:
        """Ask the engine whether it has the image of a service."""
        self._look_up([self._project.image(service)])
        return bool(self.identity(service))

    def volumes(self, service: str) -> list[str]:
        """The mount points that the image has volumes for."""
        found = self._found.get(self._project.image(service)) or {}
        return list((found.get("Config") or {}).get("Volumes") or {})

    def _is_to_be_built(self, name: str, policy: Policy) -> bool:
        service = self._project.services[name]
        if not service.get("build"):
            return False
        if not policy.may_build:
            if not self.identity(name):
                raise ComposeError(f"no such image: {self._project.image(name)} (--no-build)")
            return False
        wanted = policy.builds or service.get("pull_policy") == "build"
        return wanted or (not self.identity(name) and not (service.get("image") and self._says_pull(service, policy)))

    def _says_pull(self, service: Tree, policy: Policy) -> bool:
        chosen = service.get("pull_policy", "") if policy.pull == "policy" else policy.pull
        return chosen in {"always", "missing"} and policy.pull != "never"

    def _is_to_be_pulled(self, name: str, policy: Policy) -> bool:
        service = self._project.services[name]
        chosen = service.get("pull_policy", "") if policy.pull in {"", "policy"} else policy.pull
        here = bool(self.identity(name))
        if chosen == "always":
            return not service.get("build") or bool(service.get("image"))
        if chosen == "never":
            if not here:
                raise ComposeError(
                    f"image {self._project.image(name)} of service {name!r} is not here, and is never to be pulled"
                )
            return False
        if chosen in {"daily", "weekly"} or chosen.startswith("every_"):
            return not here or self._is_old(name, chosen)
        return not here

    def _is_old(self, name: str, policy: str) -> bool:
        """Whether an image was tagged longer ago than its policy wants."""
        import time  # noqa: PLC0415 -- few policies ask for it

        from cais.compose.times import seconds_of  # noqa: PLC0415
        from cais.compose.units import nanoseconds  # noqa: PLC0415

        period = {"daily": "1d", "weekly": "1w"}.get(policy) or policy.removeprefix("every_")
        found = self._found.get(self._project.image(name)) or {}
        tagged = (found.get("Metadata") or {}).get("LastTagTime") or found.get("Created") or ""
        return time.time() - seconds_of(tagged) > nanoseconds(period) / 10**9

    def pull(self, services: Iterable[str], *, ignores_failures: bool = False) -> None:
        """Pull the images of services, each once."""
        platforms = {self._project.image(name): self._project.services[name].get("platform", "") for name in services}

        def pull_one(image: str) -> None:
            try:
                with Step(self._reporter, f"Image {image}", "Pulling", "Pulled"):
                    self._sources.pull(image, platforms[image])
            except EngineError as error:
                if not ignores_failures:
                    raise
                self._reporter.warn(f"{image}: {error}")

        each(list(platforms), pull_one)

    def build(self, services: Iterable[str]) -> None:
        """Build the images of services, those first that others are built on."""
        services = list(services)
        run_all({name: self._build_task(name, services) for name in services})

    def _build_task(self, name: str, services: list[str]) -> Task:
        build = self._project.services[name]["build"]
        contexts = (build.get("additional_contexts") or {}).values()
        before = [context.removeprefix("service:") for context in contexts if context.startswith("service:")]

        def run() -> None:
            image = self._project.image(name)
            with Step(self._reporter, f"Image {image}", "Building", "Built"):
                self._sources.build(self._project, name, [image, *(build.get("tags") or [])])

        return Task(run, [other for other in before if other in services])
