"""What an engine has of a project: its containers, by their labels."""

from __future__ import annotations

from cais.client.engine import filters_text
from cais.compose import labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.model import Project

EXCLUDED, INCLUDED, ONLY = range(3)  # containers of `compose run`


class Container:
    """A container of a project, from the engine's list."""

    __slots__ = ("identity", "labels", "name", "number", "service", "state", "summary")

    def __init__(self, summary: Tree) -> None:
        self.summary = summary
        self.identity: str = summary["Id"]
        names = [name[1:] for name in summary.get("Names") or [] if "/" not in name[1:]]
        self.name: str = names[0] if names else self.identity[:12]
        self.labels: dict[str, str] = summary.get("Labels") or {}
        self.service = self.labels.get(labels.SERVICE, "")
        number = self.labels.get(labels.NUMBER, "")
        self.number = int(number) if number.isdigit() else 0
        self.state: str = summary.get("State", "")

    @property
    def is_one_off(self) -> bool:
        return self.labels.get(labels.ONE_OFF) == "True"

    def is_orphan(self, services: Collection[str]) -> bool:
        """Whether it belongs to none of these services; one of `compose run` does as long as it may be of use."""
        if self.is_one_off:
            return self.state in {"exited", "dead"}
        return self.service not in services

    @property
    def resource(self) -> str:
        return f"Container {self.name}"

    @property
    def mounts(self) -> list[Any]:
        return self.summary.get("Mounts") or []

    @property
    def networks(self) -> Tree:
        return (self.summary.get("NetworkSettings") or {}).get("Networks") or {}

    def name_in(self, project: str) -> str:
        """The name without that of the project, which is in front of all of its containers' names."""
        return self.name.removeprefix(f"{project}-").removeprefix(f"{project}_")

    def depends_on(self) -> list[str]:
        """The services that the container's own depended on when it was made."""
        return list(self.dependencies())

    def dependencies(self) -> dict[str, Tree]:
        """The same, with the conditions."""
        found: dict[str, Tree] = {}
        for entry in self.labels.get(labels.DEPENDS_ON, "").split(","):
            name, _, rest = entry.partition(":")
            condition, _, restart = rest.partition(":")
            if name:
                found[name] = {"condition": condition or "service_started", "restart": restart == "true"}
        return found


def containers(
    engines: Engines, project: str, services: Iterable[str] = (), *, stopped: bool = True, one_off: int = EXCLUDED
) -> list[Container]:
    """Of a project, or of some of its services, in the order of their names."""
    wanted = set(services)
    query = {"filters": filters_text({"label": _label_filters(project, wanted)})}
    if stopped:
        query["all"] = "1"
    found = [Container(summary) for summary in engines.get("/containers/json", query)]
    return sorted(
        (
            container
            for container in found
            if (not wanted or container.service in wanted)
            and (one_off == INCLUDED or container.is_one_off == (one_off == ONLY))
        ),
        key=lambda container: (container.service, container.number, container.name),
    )


def _label_filters(project: str, services: set[str]) -> list[str]:
    filters = [f"{labels.PROJECT}={project}"]
    if len(services) == 1:
        filters.append(f"{labels.SERVICE}={next(iter(services))}")
    return filters


def project_of(name: str, found: Iterable[Container]) -> Project:
    """As much of a project as its containers tell: which services there are, and what they depend on."""
    from cais.compose.model import Project  # noqa: PLC0415 -- seldom needed

    project = Project(name, "", [], {})
    for container in found:
        project.services.setdefault(container.service, {"depends_on": container.dependencies()})
    project.services = dict(sorted(project.services.items()))
    return project


def by_service(found: Iterable[Container]) -> dict[str, list[Container]]:
    result: dict[str, list[Container]] = {}
    for container in found:
        result.setdefault(container.service, []).append(container)
    return result
