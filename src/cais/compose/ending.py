"""Stopping, killing and removing what an engine has of a project: what depends on others goes first."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.client.errors import EngineError
from cais.client.http import quote
from cais.compose import labels
from cais.compose.errors import ComposeError
from cais.compose.hooks import run_hook
from cais.compose.observed import EXCLUDED, INCLUDED, by_service, containers
from cais.compose.parallel import Task, each, run_all
from cais.compose.report import DONE, WORKING, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cais.client.engine import Query
    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project
    from cais.compose.observed import Container
    from cais.compose.report import Reporter

_LIVE = {"running", "restarting", "paused"}


class Ending:
    """`project` is None where only its name is known: then what the containers say of themselves has to do."""

    def __init__(
        self, engines: Engines, project: Project | None, reporter: Reporter, timeout_seconds: int | None = None
    ) -> None:
        self._engines = engines
        self._project = project
        self._reporter = reporter
        self._timeout_seconds = timeout_seconds

    def stop(self, found: Iterable[Container]) -> None:
        self._in_reverse(found, self._stop_one)

    def stop_and_remove(self, found: Iterable[Container], *, volumes: bool) -> None:
        def act(container: Container) -> None:
            self._stop_one(container)
            self.remove_one(container, volumes=volumes)

        self._in_reverse(found, act)

    def _in_reverse(self, found: Iterable[Container], act: Callable[[Container], None]) -> None:
        """Do something with the containers of each service once it is done with those that depend on it."""
        groups = by_service(found)
        tasks = {}
        for name, group in groups.items():
            after = [other for other in groups if other != name and name in self._dependencies(other, groups[other])]
            tasks[name] = Task(lambda group=group: each(group, act), after)  # type: ignore[misc]
        if _has_circle(tasks):
            tasks = {name: Task(task.run) for name, task in tasks.items()}
        run_all(tasks)

    def _dependencies(self, service: str, group: list[Container]) -> list[str]:
        if self._project is not None and service in self._project.services:
            return list(self._project.dependencies(service))
        return [name for container in group for name in container.depends_on()]

    def _stop_one(self, container: Container) -> None:
        if container.state not in _LIVE:
            if container.state in {"exited", "created", "dead"}:
                self._reporter.on(container.resource, "Stopping", WORKING)
                self._reporter.on(container.resource, "Stopped", DONE)
            return
        with Step(self._reporter, container.resource, "Stopping", "Stopped"):
            if self._project is not None and container.service in self._project.services:
                for hook in self._project.services[container.service].get("pre_stop") or ():
                    run_hook(self._engines, container, hook, self._reporter)
            query = {} if self._timeout_seconds is None else {"t": str(self._timeout_seconds)}
            _unless_gone(lambda: self._engines.post(f"/containers/{container.identity}/stop", query))
        container.state = "exited"

    def remove_one(self, container: Container, *, volumes: bool) -> None:
        with Step(self._reporter, container.resource, "Removing", "Removed"):
            query = {"force": "1", **({"v": "1"} if volumes else {})}
            _unless_gone(lambda: self._engines.delete(f"/containers/{container.identity}", query))


def _unless_gone(act: Callable[[], object]) -> None:
    try:
        act()
    except EngineError as error:
        if error.status != 404 and not (error.status == 409 and "already in progress" in error.message):
            raise


def _own_names(resources: dict[str, Tree]) -> set[str]:
    return {entry["name"] for entry in resources.values() if not entry.get("external")}


def _has_circle(tasks: dict[str, Task]) -> bool:
    left = dict(tasks)
    while left:
        free = [name for name, task in left.items() if not task.after & set(left)]
        if not free:
            return True
        for name in free:
            del left[name]
    return False


class Down:
    """Removes a project: containers, networks, and as asked for volumes and images."""

    def __init__(
        self, engines: Engines, name: str, project: Project | None, reporter: Reporter, timeout_seconds: int | None
    ) -> None:
        self._engines = engines
        self._name = name
        self._project = project
        self._reporter = reporter
        self._ending = Ending(engines, project, reporter, timeout_seconds)

    def run(self, services: Iterable[str] = (), *, orphans: bool, volumes: bool, images: str) -> None:
        """`images` is "", "local" or "all". Of services that are named, what others do not use is removed too."""
        services = list(services)
        chosen = set(services)
        found = containers(self._engines, self._name, one_off=INCLUDED if orphans else EXCLUDED)
        if chosen:
            found = [container for container in found if container.service in chosen]
        elif self._project is not None:
            own, known = self._project.services, {*self._project.services, *self._project.disabled}
            found = [one for one in found if one.service in own or (orphans and one.is_orphan(known))]
        if chosen and not found:
            listed = " ".join(services)
            self._reporter.warn(f'Any of the services [{listed}] not running in project "{self._name}"', level="info")
            return
        self._ending.stop_and_remove(found, volumes=volumes)
        tasks: dict[str, Task] = {}
        tasks.update(self._network_tasks())
        if volumes:
            tasks.update(self._volume_tasks())
        if images:
            tasks.update(self._image_tasks(images, found))
        if not found and not tasks:
            self._reporter.warn(f'Warning: No resource found to remove for project "{self._name}".')
        run_all(tasks)

    def _network_tasks(self) -> dict[str, Task]:
        query = {"filters": filters_text({"label": [f"{labels.PROJECT}={self._name}"]})}
        return {
            f"network:{network['Id']}": Task(lambda network=network: self._remove_network(network))  # type: ignore[misc]
            for network in self._engines.get("/networks", query)
            if self._project is None or network["Name"] in _own_names(self._project.networks)
        }

    def _remove_network(self, network: Tree) -> None:
        self._remove_unless_used(f"Network {network['Name']}", f"/networks/{network['Id']}")

    def _volume_tasks(self) -> dict[str, Task]:
        query = {"filters": filters_text({"label": [f"{labels.PROJECT}={self._name}"]})}
        found = self._engines.get("/volumes", query).get("Volumes") or []
        names: list[str] = [volume["Name"] for volume in found]
        if self._project is not None:
            names = [name for name in names if name in _own_names(self._project.volumes)]
        return {f"volume:{name}": Task(lambda name=name: self._remove_volume(name)) for name in names}  # type: ignore[misc]

    def _remove_volume(self, name: str) -> None:
        self._remove_unless_used(f"Volume {name}", f"/volumes/{quote(name)}", {"force": "1"})

    def _image_tasks(self, which: str, found: list[Container]) -> dict[str, Task]:
        if which not in {"local", "all"}:
            raise ComposeError(f'invalid value for --rmi: "{which}"')
        names: list[str] = []
        if self._project is not None:
            for name, service in self._project.services.items():
                if which == "all" or not service.get("image"):
                    names.append(self._project.image(name))
        elif which == "all":
            names = [container.summary["Image"] for container in found]
        unique = dict.fromkeys(names)
        return {f"image:{name}": Task(lambda name=name: self._remove_image(name)) for name in unique}  # type: ignore[misc]

    def _remove_image(self, name: str) -> None:
        self._remove_unless_used(f"Image {name}", f"/images/{quote(name)}")

    def _remove_unless_used(self, resource: str, path: str, query: Query | None = None) -> None:
        """Remove something that others may use: then it stays, and that is told."""
        self._reporter.on(resource, "Removing", WORKING)
        outcome = "Removed"
        try:
            self._engines.delete(path, query)
        except EngineError as error:
            if error.status in {403, 409}:
                outcome = "Resource is still in use"
            elif error.status != 404:
                raise
        self._reporter.on(resource, outcome, DONE)
