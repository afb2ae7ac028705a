"""Namespaces that containers share with the host or with another container: `host` and `container:NAME`.

A container that joins another needs it only while it starts; what it has joined stays when the other one ends
(a PID namespace excepted, which ends with its first process).
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from cais.engine.container import Container
from cais.engine.limits import refuse
from cais.engine.models import HostConfig, Record, Status
from cais.engine.modes import HOST_AND_LINKS
from cais.engine.spec import Joined
from cais.errors import Conflict, InvalidArgument, NotFound

CONTAINER: Final = "container:"
_WITH_LINKS: Final = frozenset({"", "default", "bridge", "none"})

# the option, the namespace's name in the OCI config and in /proc, and what messages call it
_MODES: Final = (
    ("NetworkMode", "network", "net", "network"),
    ("IpcMode", "ipc", "ipc", "IPC"),
    ("PidMode", "pid", "pid", "PID namespace"),
)


class Known(Protocol):
    """The containers of the engine, as far as they are asked for here."""

    def find(self, reference: str) -> Container:
        """The container with this id or name. Raises NotFound."""

    def folder(self, container_id: str) -> Path:
        """The folder of a container on the disk."""


def partner(mode: str) -> str:
    """The id or name in `container:NAME`; empty for any other mode."""
    return mode.removeprefix(CONTAINER) if mode.startswith(CONTAINER) else ""


def resolve(hc: HostConfig, containers: Known) -> None:
    """Replaces the names of other containers by their ids.

    Raises InvalidArgument where there is none: what is not found when a container is made is its image.
    """
    for option, *_ in _MODES:
        name = partner(getattr(hc, option))
        if name:
            try:
                setattr(hc, option, CONTAINER + containers.find(name).id)
            except NotFound as error:
                raise InvalidArgument(error.message) from error


def check_links(hc: HostConfig, containers: Known) -> None:
    """Raises InvalidArgument for a link to a container that does not exist, or that has the host's network."""
    for link in hc.Links or ():
        name = link_parts(link)[0]
        try:
            other = network_owner(containers.find(name), containers)
        except NotFound as error:
            raise InvalidArgument(f"could not get container for {name}: {error.message}") from error
        refuse(other.record.host_config.NetworkMode == "host", HOST_AND_LINKS)


def network_owner(container: Container, containers: Known) -> Container:
    """The container whose network this one has: itself, or another. Raises NotFound when that one is gone."""
    while name := partner(container.record.host_config.NetworkMode):
        container = containers.find(name)
    return container


def shown_links(record: Record) -> list[str] | None:
    """The links of the default bridge as inspect shows them; those of other networks are the endpoints'."""
    hc = record.host_config
    if not hc.Links or hc.NetworkMode not in _WITH_LINKS:
        return None
    return [f"/{name}:/{record.name}/{alias}" for name, alias in map(link_parts, hc.Links)]


def aliases(containers: Iterable[Container]) -> dict[str, list[str]]:
    """What links call containers, as `/OTHER/ALIAS`, by their names."""
    found: dict[str, list[str]] = {}
    for container in containers:
        for link in shown_links(container.record) or ():
            name, _, alias = link.partition(":")
            found.setdefault(name.removeprefix("/"), []).append(alias)
    return found


def renamed(links: list[str], old: str, new: str) -> list[str]:
    """The links, where the container that was called `old` is called `new`."""
    parts = map(link_parts, links)
    return [f"{new}:{alias}" if name == old else link for link, (name, alias) in zip(links, parts, strict=True)]


def link_parts(link: str) -> tuple[str, str]:
    """The container and the alias of `NAME`, `NAME:ALIAS` or, as inspect shows it, `/NAME:/OWN/ALIAS`."""
    name, _, alias = link.partition(":")
    name = name.lstrip("/")
    return name, alias.rpartition("/")[2] or name


def join(container: Container, containers: Known, layers_of: Callable[[str], tuple[str, ...]]) -> Joined:
    """What a container that is about to start joins. layers_of: the layers of an image, topmost first.

    Raises NotFound, Conflict when a partner does not run.
    """
    hc = container.record.host_config
    paths: dict[str, str] = {}
    etc, shm = None, ""
    for option, kind, name, words in _MODES:
        reference = partner(getattr(hc, option))
        if not reference:
            continue
        other = containers.find(reference)
        _check(container, other, words)
        pid = other.record.state.pid
        paths[kind] = f"/proc/{pid}/ns/{name}"
        if kind == "network":
            etc = containers.folder(other.id)
        elif kind == "ipc":
            shm = f"/proc/{pid}/ns/mnt"
    return Joined(paths, etc, shm, image_layers(container.record, layers_of))


def image_layers(record: Record, layers_of: Callable[[str], tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The layers of the images that are mounted in a container, by their ids. Raises NotFound."""
    return {
        mount.options.image_id: layers_of(mount.options.image_id) for mount in record.mounts if mount.Type == "image"
    }


def _check(container: Container, other: Container, words: str) -> None:
    if other is container:
        raise Conflict(f"cannot join own {words}")
    if other.monitor is not None:
        other.monitor.poll()
    if other.record.state.status is Status.RESTARTING:
        raise Conflict(f"Container {other.id} is restarting, wait until the container is running")
    if not other.running:
        raise Conflict(f"cannot join {words} of a non running container: {other.id}")
    if words == "IPC" and other.record.host_config.IpcMode != "shareable":
        raise Conflict(
            f"can't join IPC of container {other.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )
