"""A project as it has been read: everything resolved, in the long form."""

from __future__ import annotations

from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from cais.compose.document import Path, Tree


class Project:
    """Services, networks and so on are by their keys in the file, in the form that `config` writes them in."""

    __slots__ = (
        "configs",
        "directory",
        "disabled",
        "env_files",
        "environment",
        "extensions",
        "files",
        "models",
        "name",
        "networks",
        "secrets",
        "separator",
        "services",
        "volumes",
        "where",
    )

    def __init__(self, name: str, directory: str, files: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self.directory = directory
        self.files = files
        self.environment = environment
        self.services: dict[str, Tree] = {}
        self.disabled: dict[str, Tree] = {}  # services whose profiles are not enabled
        self.networks: dict[str, Tree] = {}
        self.volumes: dict[str, Tree] = {}
        self.secrets: dict[str, Tree] = {}
        self.configs: dict[str, Tree] = {}
        self.models: dict[str, Tree] = {}
        self.extensions: Tree = {}
        self.env_files: list[str] = []
        self.separator = "-"  # between the parts of the names of containers and images
        # "FILE:LINE: " in front of what is said about a part of the project, or "".
        self.where: Callable[[Path], str] = lambda _path: ""

    def but(self, **changes: dict[str, Tree]) -> Project:
        """The same project with other services, networks and so on."""
        other = Project(self.name, self.directory, self.files, self.environment)
        for key in self.__slots__:
            setattr(other, key, changes.get(key, getattr(self, key)))
        return other

    def error(self, path: Path, what: str) -> ComposeError:
        """An error about a part of the project, which names the file and the line."""
        return ComposeError(f"{self.where(path)}{what}")

    def service(self, name: str) -> Tree:
        """Raises ComposeError."""
        if name in self.services:
            return self.services[name]
        if name in self.disabled:
            raise ComposeError(f"service {name!r} is disabled: enable one of its profiles")
        raise ComposeError(f"no such service: {name}")

    def dependencies(self, name: str) -> dict[str, Tree]:
        """What the service depends on, with the conditions; only services that are enabled."""
        found: dict[str, Tree] = self.services[name].get("depends_on") or {}
        return {other: entry for other, entry in found.items() if other in self.services}

    def dependents(self, name: str) -> list[str]:
        return [other for other in self.services if name in self.dependencies(other)]

    def selected(self, names: Iterable[str], *, dependencies: bool = True) -> Project:
        """The project with only these services, and what they depend on. No names: all of it. Raises ComposeError."""
        wanted: dict[str, None] = {}
        everything = {**self.disabled, **self.services}

        def visit(name: str) -> None:
            if name in wanted:
                return
            if name not in everything:
                raise ComposeError(f"no such service: {name}")
            wanted[name] = None
            if dependencies:
                for other, entry in (everything[name].get("depends_on") or {}).items():
                    if other in self.services or entry.get("required", True):
                        visit(other)

        names = list(names)
        for name in names:
            visit(name)
        if not names:
            return self
        services = {name: service for name, service in everything.items() if name in wanted}
        services = {name: _without_others(service, services) for name, service in services.items()}
        disabled = {name: service for name, service in everything.items() if name not in wanted}
        return self.but(services=dict(sorted(services.items())), disabled=disabled)

    def scale(self, name: str) -> int:
        return service_scale(self.services[name])

    def image(self, name: str) -> str:
        """The name of a service's image: the one it says, or the one that is built for it."""
        image: str = self.services[name].get("image") or f"{self.name}{self.separator}{name}"
        return image

    def container_name(self, name: str, number: int) -> str:
        own: str = self.services[name].get("container_name") or ""
        return own or self.separator.join((self.name, name, str(number)))

    def ordered(self) -> list[str]:
        """The services, each behind what it depends on. Raises ComposeError for a circle."""
        done: dict[str, None] = {}
        trail: list[str] = []

        def visit(name: str) -> None:
            if name in done:
                return
            if name in trail:
                circle = [*trail[trail.index(name) :], name]
                raise self.error(("services", name, "depends_on"), f"dependency cycle detected: {' -> '.join(circle)}")
            trail.append(name)
            for other in sorted(self.dependencies(name)):
                visit(other)
            trail.pop()
            done[name] = None

        for name in sorted(self.services):
            visit(name)
        return list(done)


def _without_others(service: Tree, services: dict[str, Any]) -> Tree:
    """The service with only those dependencies that are among the services."""
    if "depends_on" not in service:
        return service
    kept = {name: entry for name, entry in service["depends_on"].items() if name in services}
    return {**service, "depends_on": kept}


def service_scale(service: Tree) -> int:
    if (scale := service.get("scale")) is not None:
        return int(scale)
    replicas = (service.get("deploy") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)
