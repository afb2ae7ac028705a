"""A command of `cais compose` as it was called: its flags, and what it needs of project, engine and progress."""

from __future__ import annotations

import os

from cais.cli.command import CommandError, Invocation
from cais.cli.compose.progress import chosen, warn
from cais.compose.engines import Engines
from cais.compose.errors import ComposeError
from cais.compose.normalize import resolve_files
from cais.compose.observed import EXCLUDED, containers
from cais.compose.project import Reading, Sources, Workspace, is_set, without_unused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cais.cli.compose.progress import Progress
    from cais.cli.flags import Parsed
    from cais.compose.model import Project
    from cais.compose.observed import Container


def for_compose(run: Callable[[Call], int]) -> Callable[[Invocation], int]:
    """A function of a `Call`, as the tables of commands want it."""

    def with_call(call: Invocation) -> int:
        if not isinstance(call, Call):
            raise TypeError(f"{call.path} is no command of compose")
        return run(call)

    return with_call


def sources_of(given: Parsed) -> Sources:
    """Where the project comes from, as the flags of `cais compose` say it."""
    return Sources(
        files=given.texts("file"),
        name=given.text("project-name"),
        directory=given.text("project-directory"),
        env_files=given.texts("env-file"),
        profiles=given.texts("profile"),
        compatible=given.on("compatibility"),
    )


class Call(Invocation):
    """`flags` and `arguments` are those of the command; `whole` is the call of `cais compose` itself."""

    __slots__ = ("_engines", "_progress", "_workspace", "whole")

    def __init__(self, path: str, flags: Parsed, whole: Invocation) -> None:
        super().__init__(path, flags, lambda: whole.choice, debug=whole.debug)
        self.whole = whole
        self._workspace: Workspace | None = None
        self._engines: Engines | None = None
        self._progress: Progress | None = None

    @property
    def workspace(self) -> Workspace:
        """The project's place. Raises ComposeError."""
        if self._workspace is None:
            self._workspace = Workspace(sources_of(self.whole.flags), os.environ, warn)
        return self._workspace

    def project(self, services: Iterable[str] = (), how: Reading | None = None) -> Project:
        """The project; those of its services that are named count as enabled. Raises ComposeError.

        Unless `how` says otherwise, no `env_file` is read: many commands need none, so it may be missing.
        """
        how = how or Reading(resolves_env_files=False)
        how.keeps_unused = how.keeps_unused or self.whole.flags.on("all-resources")
        return self.workspace.read(list(services), how)

    def selected(self, project: Project, names: Iterable[str], *, dependencies: bool = True) -> Project:
        """The project with only these services, what they depend on, and what is used by them. Raises ComposeError.

        Only now their `env_file` is read.
        """
        chosen = project.selected(names, dependencies=dependencies)
        resolve_files(chosen.services, project.environment)
        return self.pruned(chosen)

    def pruned(self, project: Project) -> Project:
        """The project with only what its services use, unless a flag wants it all."""
        return project if self.whole.flags.on("all-resources") else without_unused(project)

    def project_or_name(self, services: Iterable[str] = ()) -> tuple[str, Project | None]:
        """The project, or only its name, where that is given and no file. Raises ComposeError."""
        given = self.whole.flags.text("project-name")
        if given and not self.whole.flags.texts("file"):
            return given, None
        try:
            project = self.project(services)
        except ComposeError:
            if known := os.environ.get("COMPOSE_PROJECT_NAME", ""):
                return known, None
            raise
        return project.name, project

    @property
    def rehearses(self) -> bool:
        """Whether it is only to be shown what would be done."""
        return self.whole.flags.on("dry-run") or self.flags.on("dry-run")

    def refuse_rehearsal(self, what: str) -> None:
        """Raises CommandError where it is only to be shown what would be done."""
        if self.rehearses:
            raise CommandError(f"{what} is not supported in dry-run mode")

    @property
    def engines(self) -> Engines:
        if self._engines is None:
            kind = Engines
            if self.rehearses:
                from cais.compose.rehearsal import Rehearsal  # noqa: PLC0415 -- seldom wanted

                kind = Rehearsal
            self._engines = kind(self.engine, self._parallel())
        return self._engines

    def _parallel(self) -> int:
        """How many requests are made at once; 0 is any number. Raises CommandError."""
        given = self.whole.flags
        text = os.environ.get("COMPOSE_PARALLEL_LIMIT", "")
        if "parallel" not in given.given and text:
            if not text.lstrip("-").isdigit():
                raise CommandError("COMPOSE_PARALLEL_LIMIT must be an integer (found: " + f'"{text}")')
            return max(int(text), 0)
        return max(given.number("parallel"), 0)

    @property
    def progress(self) -> Progress:
        """Where what happens is shown."""
        if self._progress is None:
            self._progress = chosen(self.whole.flags.text("progress"), self.whole.flags.text("ansi"))
            self._progress.rehearses = self.rehearses
        return self._progress

    def own(self, project: Project | None, found: list[Container]) -> list[Container]:
        """Without the containers of services that the project does not have, unless they are named."""
        if project is None:
            return found
        return [one for one in found if one.service in project.services or one.service in self.arguments]

    def removes_orphans(self, project: Project | None) -> bool:
        """Whether a flag or a variable asks for containers of services to be removed that the project does not have."""
        environment = os.environ if project is None else project.environment
        return is_set(environment, "COMPOSE_REMOVE_ORPHANS") or self.flags.on("remove-orphans")

    def be_quiet(self) -> None:
        """Show nothing of what happens but warnings."""
        self._progress = chosen("quiet", "never")

    def containers(
        self, name: str, services: Iterable[str] = (), *, stopped: bool = True, one_off: int = EXCLUDED
    ) -> list[Container]:
        return containers(self.engines, name, services, stopped=stopped, one_off=one_off)

    def check_services(self, project: Project | None) -> list[str]:
        """The arguments, which are names of services of the project. Raises ComposeError."""
        if project is not None:
            for name in self.arguments:
                if name not in project.services and name not in project.disabled:
                    raise ComposeError(f"no such service: {name}")
        return self.arguments

    def about(self, arguments: list[str]) -> Invocation:
        """The call of a command that is not compose's, with the same flags and these arguments."""
        self.flags.arguments = arguments
        return Invocation(self.path, self.flags, lambda: self.choice, debug=self.debug)

    def one_container(self, service: str, index: int = 0) -> Container:
        """The container of a service with a number, or the first one. Raises CommandError."""
        name, _ = self.project_or_name([service])
        found = self.containers(name, [service], stopped=False)
        if index:
            found = [container for container in found if container.number == index]
        if not found:
            suffix = f" container #{index}" if index else ""
            raise CommandError(f'service "{service}" is not running{suffix}')
        return found[0]

    def colours(self, *, plain: bool) -> bool | None:
        """Whether output is coloured; None: where it goes to a terminal."""
        ansi = self.whole.flags.text("ansi")
        if plain or ansi == "never":
            return False
        return True if ansi == "always" else None

    def within_timeout(self, wait: Callable[[float | None], None]) -> None:
        """Wait until --wait-timeout ends it: what waits is told when, in seconds of the monotonic clock.

        Raises: ComposeError for its TimeoutError.
        """
        import time  # noqa: PLC0415 -- seldom needed

        limit = self.flags.number("wait-timeout")
        try:
            wait(time.monotonic() + limit if limit else None)
        except TimeoutError:
            raise ComposeError(f"application not healthy after {limit}s") from None

    def timeout(self) -> int | None:
        """The flag --timeout, None where it was not given."""
        return self.flags.number("timeout") if "timeout" in self.flags.given else None
