"""Bringing a project up: its images, networks, volumes and containers, and their starts, as one graph of tasks."""

from __future__ import annotations

from cais.compose.creation import Creation
from cais.compose.images import Images
from cais.compose.infrastructure import Infrastructure
from cais.compose.observed import INCLUDED, containers
from cais.compose.parallel import each, run_all
from cais.compose.starting import Starting
from cais.compose.support import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cais.compose.creation import Choices
    from cais.compose.engines import Engines
    from cais.compose.images import Policy, Sources
    from cais.compose.model import Project
    from cais.compose.observed import Container
    from cais.compose.report import Reporter


class Bringing:
    def __init__(self, engines: Engines, project: Project, reporter: Reporter, sources: Sources) -> None:
        self._engines = engines
        self._project = project
        self._reporter = reporter
        self.images = Images(engines, project, reporter, sources)
        self.containers: dict[str, list[Container]] = {}

    def run(
        self,
        policy: Policy,
        choices: Choices,
        *,
        remove_orphans: bool,
        starts: bool,
        before_start: Callable[[list[Container]], None] | None,
    ) -> None:
        """`before_start` is told of the containers when all are there and those that are new do not run yet.

        Raises CaisError.
        """
        creation = self.prepare(policy, choices, remove_orphans=remove_orphans)
        tasks = creation.tasks()
        self.containers = creation.containers
        starting = Starting(self._engines, self._project, self._reporter, self.containers)
        if starts and before_start is None:
            run_all({**tasks, **starting.tasks()})
            return
        run_all(tasks)
        if before_start is not None:
            before_start([one for name in self._project.services for one in self.containers.get(name, ())])
        if starts:
            run_all(starting.tasks())

    def start_dependencies(self, service: str) -> None:
        """Start what a service depends on, and wait until it is as the service wants it."""
        starting = Starting(self._engines, self._project, self._reporter, self.containers)
        tasks = starting.tasks()
        tasks.pop(f"start:{service}")
        run_all(tasks)
        starting.await_dependencies(service)

    def prepare(self, policy: Policy, choices: Choices, *, remove_orphans: bool) -> Creation:
        """Have the images, look at what there is, and take away what is not wanted any more."""
        refuse(self._project)
        self.images.ensure(self._project.services, policy)
        infrastructure = Infrastructure(self._engines, self._project, self._reporter)
        infrastructure.observe()
        infrastructure.check_external()
        found = containers(self._engines, self._project.name, one_off=INCLUDED)
        known = {*self._project.services, *self._project.disabled}
        orphans = [one for one in found if one.is_orphan(known)]
        own = [one for one in found if not one.is_one_off and one.service in self._project.services]
        self._deal_with_orphans(orphans, remove=remove_orphans)
        own = self._make_way(infrastructure, own, choices)
        return Creation(
            engines=self._engines,
            project=self._project,
            reporter=self._reporter,
            images=self.images,
            infrastructure=infrastructure,
            found=own,
            choices=choices,
        )

    def _deal_with_orphans(self, orphans: list[Container], *, remove: bool) -> None:
        ignored = self._project.environment.get("COMPOSE_IGNORE_ORPHANS", "").lower() in {"1", "true"}
        if not orphans or (ignored and not remove):
            return
        if remove:
            from cais.compose.ending import Ending  # noqa: PLC0415 -- seldom needed

            Ending(self._engines, self._project, self._reporter).stop_and_remove(orphans, volumes=False)
            return
        names = ", ".join(one.name for one in orphans)
        self._reporter.warn(
            f"Found orphan containers ({names}) for this project. If you removed or renamed this service in your "
            "compose file, you can run this command with the --remove-orphans flag to clean it up."
        )

    def _make_way(self, infrastructure: Infrastructure, own: list[Container], choices: Choices) -> list[Container]:
        """Remove networks and volumes that have changed, and the containers that use them; the rest is left."""
        networks = infrastructure.changed_networks()
        volumes = [
            key
            for key in infrastructure.changed_volumes()
            if choices.replaces_volumes(
                f'Volume "{self._project.volumes[key]["name"]}" exists but doesn\'t match configuration in compose '
                "file. Recreate (data will be lost)?"
            )
        ]
        if not networks and not volumes:
            return own
        from cais.compose.ending import Ending  # noqa: PLC0415 -- seldom needed

        users = [one for one in own if self._uses(one, networks, volumes)]
        Ending(self._engines, self._project, self._reporter).stop_and_remove(users, volumes=False)
        each(networks, infrastructure.remove_network)
        each(volumes, infrastructure.remove_volume)
        return [one for one in own if one not in users]

    def _uses(self, one: Container, networks: list[str], volumes: list[str]) -> bool:
        service = self._project.services[one.service]
        sources = {use.get("source") for use in service.get("volumes") or () if use["type"] == "volume"}
        return not (sources.isdisjoint(volumes) and set(networks).isdisjoint(service.get("networks") or ()))

    def await_condition(self, services: Iterable[str], condition: str, deadline: float | None) -> None:
        """Wait for all containers of services. Raises ComposeError, and TimeoutError after the deadline."""
        starting = Starting(self._engines, self._project, self._reporter, self.containers, deadline)
        each(
            [name for name in services if self._project.scale(name)],
            lambda name: starting.await_condition(name, condition),
        )
