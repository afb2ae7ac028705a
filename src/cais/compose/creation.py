"""Which containers a project needs, which of those that exist are current, and making the difference.

A container is current when the hash of its service's configuration, its image, its networks and its volumes are what
they would be if it were made now. One that is not is replaced: the new one is made beside it, then the old one is
stopped and removed, and the new one takes its name.
"""

from __future__ import annotations

from cais.compose import labels, references
from cais.compose.hashes import service_hash
from cais.compose.observed import Container, by_service
from cais.compose.parallel import Task
from cais.compose.report import DONE, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cais.compose.document import Tree
    from cais.compose.engines import Engines
    from cais.compose.images import Images
    from cais.compose.infrastructure import Infrastructure
    from cais.compose.model import Project
    from cais.compose.report import Reporter
    from cais.compose.spec import Wanted

DIVERGED, FORCE, NEVER = "diverged", "force", "never"
_MANY_NETWORKS = (1, 44)  # the version of the API in which a container is created with all of its networks


class Choices:
    """What is to be replaced: of the services that were named, and of those that they depend on."""

    __slots__ = ("dependencies", "inherits", "named", "replaces_volumes", "services", "timeout_seconds")

    def __init__(
        self,
        services: Iterable[str] = (),
        *,
        named: str = DIVERGED,
        dependencies: str = DIVERGED,
        inherits: bool = True,
        timeout_seconds: int | None = None,
    ) -> None:
        self.services = set(services)
        self.named = named
        self.dependencies = dependencies
        self.inherits = inherits
        self.timeout_seconds = timeout_seconds
        # Asked whether a volume that has changed may be made anew, which loses its data.
        self.replaces_volumes: Callable[[str], bool] = lambda _question: False

    def of(self, service: str) -> str:
        return self.named if not self.services or service in self.services else self.dependencies


class Creation:
    """Makes the containers of a project what they should be; none is started."""

    def __init__(
        self,
        *,
        engines: Engines,
        project: Project,
        reporter: Reporter,
        images: Images,
        infrastructure: Infrastructure,
        found: Iterable[Container],
        choices: Choices,
    ) -> None:
        self._engines = engines
        self._project = project
        self._reporter = reporter
        self._images = images
        self._infrastructure = infrastructure
        self._choices = choices
        self._lost: set[str] = set()  # the services of which a container was replaced
        self.containers = by_service(found)
        self.created: set[str] = set()  # the ids of containers that were made now

    def tasks(self) -> dict[str, Task]:
        """Everything up to containers that are ready to be started; `create:NAME` is the last one of a service."""
        tasks: dict[str, Task] = {}
        for key in self._project.networks:
            tasks[f"network:{key}"] = self._network_task(key)
        for key in self._project.volumes:
            tasks[f"volume:{key}"] = self._volume_task(key)
        for name in self._project.ordered():
            after = [f"create:{other}" for other in self._project.dependencies(name)]
            after += list(tasks) if not after else [task for task in tasks if not task.startswith("create:")]
            tasks[f"create:{name}"] = self._service_task(name, after)
        return tasks

    def _network_task(self, key: str) -> Task:
        there = self._infrastructure
        return Task(lambda: there.ensure_network(key), (), lambda: there.finds_network(key))

    def _volume_task(self, key: str) -> Task:
        there = self._infrastructure
        return Task(lambda: there.ensure_volume(key), (), lambda: there.finds_volume(key))

    def _service_task(self, name: str, after: list[str]) -> Task:
        return Task(lambda: self._service(name), after, lambda: self._is_settled(name))

    def container_of(self, service: str) -> str:
        """The id of the first container of a service. Raises ComposeError."""
        found = self.containers.get(service)
        if not found:
            raise references.missing(service)
        return found[0].identity

    def _resolved(self, name: str) -> Tree:
        return self.resolved(self._project.services[name])

    def resolved(self, service: Tree) -> Tree:
        """A service with its references to others replaced by their containers. Raises ComposeError."""
        return references.resolve(service, self.container_of)

    def _service(self, name: str) -> None:
        if self._project.services[name].get("provider"):
            return
        wanted = self._project.scale(name)
        tree = self._resolved(name)
        existing = self.containers.get(name, [])
        stale = self._stale(name, tree)
        # The ones that go first are those that would have to be replaced, and then those with the highest numbers.
        kept = sorted(existing, key=lambda one: (one in stale, one.number))[:wanted]
        for one in existing:
            if one not in kept:
                self._remove(one)
        self.containers[name] = sorted(kept, key=lambda one: one.number)
        for one in [one for one in self.containers[name] if one in stale]:
            self._replace(name, tree, one)
        self._report_running([one for one in kept if one not in stale])
        number = max((one.number for one in existing), default=0)
        for offset in range(1, wanted - len(kept) + 1):
            self._create(name, tree, number + offset)

    def _is_settled(self, name: str) -> bool:
        """Whether a service has the containers that it should have. Raises ComposeError."""
        if self._project.services[name].get("provider"):
            return True
        tree = self._resolved(name)
        existing = self.containers.get(name, [])
        if len(existing) != self._project.scale(name) or self._stale(name, tree):
            return False
        self.containers[name] = sorted(existing, key=lambda one: one.number)
        self._report_running(self.containers[name])
        return True

    def _report_running(self, containers: Iterable[Container]) -> None:
        for one in containers:
            if one.state == "running":
                self._reporter.on(one.resource, "Running", DONE)

    def _stale(self, name: str, tree: Tree) -> list[Container]:
        """The containers of a service that are not what it should be, and are to be replaced."""
        existing = self.containers.get(name, [])
        expected = service_hash(tree) if existing else ""
        return [one for one in existing if self._is_stale(name, tree, expected, one)]

    def _is_stale(self, name: str, tree: Tree, expected: str, one: Container) -> bool:
        strategy = self._choices.of(name)
        if strategy == NEVER:
            return False
        if strategy == FORCE or self._lost & set(_shared_with(self._project.services[name])):
            return True
        if one.labels.get(labels.CONFIG_HASH) != expected:
            return True
        if one.labels.get(labels.IMAGE, "") != self._images.identity(name):
            return True
        return self._lacks_network(tree, one) or self._lacks_volume(tree, one)

    def _lacks_network(self, tree: Tree, one: Container) -> bool:
        if one.state != "running":
            return False
        connected = {network.get("NetworkID") for network in one.networks.values()}
        for key in tree.get("networks") or ():
            identity = self._infrastructure.network_id(key)
            if identity and identity not in connected:
                return True
        return False

    def _lacks_volume(self, tree: Tree, one: Container) -> bool:
        mounted = {mount.get("Name") for mount in one.mounts if mount.get("Type") == "volume"}
        for use in tree.get("volumes") or ():
            source = use.get("source")
            if use["type"] == "volume" and source in self._project.volumes:
                if self._project.volumes[source]["name"] not in mounted:
                    return True
        return False

    def _wanted(self, name: str, tree: Tree, number: int, before: Container | None) -> Wanted:
        from cais.compose.spec import Wanted  # noqa: PLC0415 -- nothing may be to be made
        from cais.compose.spec_mounts import mounts_of  # noqa: PLC0415

        wanted = Wanted(self._project, name, tree, self._project.container_name(name, number), number)
        wanted.image_id = self._images.identity(name)
        wanted.links = self._links(tree)
        inherited = before if self._choices.inherits else None
        wanted.mounts = mounts_of(self._project, tree, self._images.volumes(name), inherited, self._reporter)
        return wanted

    def _links(self, tree: Tree) -> list[str]:
        found = []
        for link in tree.get("links") or ():
            service, _, alias = link.partition(":")
            for container in self.containers.get(service, ()):
                others = (alias or service, f"{service}-{container.number}", container.name)
                found += [f"{container.name}:{other}" for other in others]
        for link in tree.get("external_links") or ():
            name, _, alias = link.partition(":")
            found.append(f"{name}:{alias or name}")
        return found

    def _create(self, name: str, tree: Tree, number: int) -> None:
        wanted = self._wanted(name, tree, number, None)
        with Step(self._reporter, f"Container {wanted.name}", "Creating", "Created"):
            created = self.create(wanted, wanted.name)
        self.containers.setdefault(name, []).append(created)

    def create(self, wanted: Wanted, name: str) -> Container:
        """Make a container under a name. Raises EngineError."""
        from cais.compose.spec import connections, create_body  # noqa: PLC0415

        many = self._engines.version() >= _MANY_NETWORKS
        body = create_body(wanted, many_networks=many)
        query = {"name": name}
        if platform := wanted.tree.get("platform"):
            query["platform"] = platform
        answer = self._engines.post("/containers/create", query, body)
        for warning in answer.get("Warnings") or ():
            self._reporter.warn(warning)
        identity: str = answer["Id"]
        if not many and not wanted.tree.get("network_mode"):
            for path, connection in connections(wanted, identity):
                self._engines.post(path, None, connection)
        self.created.add(identity)
        summary = {"Id": identity, "Names": [f"/{name}"], "Labels": body["Labels"], "State": "created"}
        return Container(summary)

    def _replace(self, name: str, tree: Tree, old: Container) -> None:
        wanted = self._wanted(name, tree, old.number, old)
        wanted.extra_labels[labels.REPLACED] = old.name
        with Step(self._reporter, old.resource, "Recreate", "Recreated"):
            new = self.create(wanted, f"{old.identity[:12]}_{wanted.name}")
            self._stop_dependents(name)
            query = {} if self._choices.timeout_seconds is None else {"t": str(self._choices.timeout_seconds)}
            if old.state in {"running", "restarting", "paused"}:
                self._engines.post(f"/containers/{old.identity}/stop", query)
            self._engines.delete(f"/containers/{old.identity}", {"force": "1"})
            self._engines.post(f"/containers/{new.identity}/rename", {"name": wanted.name})
        self._lost.add(name)
        new.name = wanted.name
        self.containers[name][self.containers[name].index(old)] = new

    def _stop_dependents(self, name: str) -> None:
        """Stop what wants to be restarted with a service; it is started behind it again."""
        for other in self._project.dependents(name):
            if not self._project.dependencies(other)[name].get("restart"):
                continue
            for one in self.containers.get(other, ()):
                if one.state == "running":
                    with Step(self._reporter, one.resource, "Stopping", "Stopped"):
                        self._engines.post(f"/containers/{one.identity}/stop")
                    one.state = "exited"

    def _remove(self, one: Container) -> None:
        with Step(self._reporter, one.resource, "Stopping", "Stopped"):
            query = {} if self._choices.timeout_seconds is None else {"t": str(self._choices.timeout_seconds)}
            self._engines.post(f"/containers/{one.identity}/stop", query)
        with Step(self._reporter, one.resource, "Removing", "Removed"):
            self._engines.delete(f"/containers/{one.identity}", {"force": "1"})


def _shared_with(service: Tree) -> list[str]:
    """The services whose namespaces or volumes a service uses: when they are replaced, so is it."""
    modes = (service.get(key) or "" for key in ("network_mode", "ipc", "pid"))
    found = [mode.removeprefix("service:") for mode in modes if mode.startswith("service:")]
    sources = service.get("volumes_from") or ()
    return found + [source.split(":")[0] for source in sources if not source.startswith("container:")]
