"""Containers as `ps` lists them: the filters of the API, and the words for a state and its age."""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.filters import Filters
from cais.engine.images import Images
from cais.engine.limits import refuse
from cais.engine.models import HealthStatus, MountPoint, Status
from cais.engine.text import printable
from cais.errors import CaisError, InvalidArgument, NotFound

FILTERS: Final = frozenset(
    {
        "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
        "publish", "since", "status", "volume",
    }
)  # fmt: skip

_STATUSES: Final = frozenset({"created", "restarting", "running", "removing", "paused", "exited", "dead"})
_HEALTH_WORDS: Final[dict[HealthStatus | None, str]] = {
    HealthStatus.STARTING: " (health: starting)",
    HealthStatus.HEALTHY: " (healthy)",
    HealthStatus.UNHEALTHY: " (unhealthy)",
}
_HEALTHS: Final = frozenset({"starting", "healthy", "unhealthy", "none"})
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def choose(
    containers: Containers, images: Images, filters: Filters, show_all: bool = False, limit: int = 0
) -> list[Container]:
    """The containers that the filters let through, newest first; those that run, unless all are asked for.

    Raises InvalidArgument for a filter or a value that does not exist, NotFound for a `before` or `since` that is none.
    """
    filters.validate(FILTERS)
    tests = _tests(containers, images, filters)
    wants_others = show_all or limit > 0 or bool(filters.get("status"))
    chosen = [
        container
        for container in containers
        if (wants_others or container.active) and all(test(container) for test in tests)
    ]
    chosen.sort(key=lambda container: container.record.created_ns, reverse=True)
    return chosen[:limit] if limit > 0 else chosen


def _tests(containers: Containers, images: Images, filters: Filters) -> list[Callable[[Container], bool]]:
    """A test for each filter that was given."""
    _check_values(filters)
    exited = filters.integers("exited")
    tasks_only = filters.boolean("is-task", False)
    before = [_created_ns(containers, value) for value in filters.get("before")]
    since = [_created_ns(containers, value) for value in filters.get("since")]
    ancestors = {image_id for value in filters.get("ancestor") for image_id in _image_ids(images, value)}
    published = [_ports("publish", value) for value in filters.get("publish")]
    exposed = [_ports("expose", value) for value in filters.get("expose")]
    tests: dict[str, Callable[[Container], bool]] = {
        "id": lambda item: filters.prefix("id", item.id) or filters.matches("id", item.id),
        "name": lambda item: filters.matches("name", item.name, f"/{item.name}"),
        "label": lambda item: filters.labels("label", item.record.config.labels),
        "status": lambda item: filters.exact("status", item.status),
        "exited": lambda item: (
            item.record.state.started_at_ns > 0 and not item.active and item.record.state.exit_code in exited
        ),
        "is-task": lambda _: not tasks_only,
        "before": lambda item: item.record.created_ns < min(before),
        "since": lambda item: item.record.created_ns > max(since),
        "ancestor": lambda item: item.record.image_id in ancestors,
        "health": lambda item: filters.exact("health", item.health),
        "network": lambda item: filters.exact("network", *network_names(item)),
        "volume": lambda item: _uses_volume(item.record.mounts, filters),
        "expose": lambda item: any(_exposes(item, ports) for ports in exposed),
        "publish": lambda item: any(_publishes(item, ports) for ports in published),
        "isolation": lambda _: True,
    }
    return [test for name, test in tests.items() if filters.get(name)]


def _check_values(filters: Filters) -> None:
    for value in filters.get("status"):
        refuse(value not in _STATUSES, f"invalid filter 'status={printable(value)}'")
    for value in filters.get("health"):
        refuse(value not in _HEALTHS, f"Unrecognised filter value for health: {printable(value)}")


def _created_ns(containers: Containers, reference: str) -> int:
    try:
        return containers.find(reference).record.created_ns
    except NotFound:
        raise NotFound(f"no such container {printable(reference)}") from None


def _image_ids(images: Images, reference: str) -> list[str]:
    try:
        return [images.resolve(reference).id]
    except CaisError:
        return []


def network_name(container: Container) -> str:
    """The network that a container is on, as filters and inspect name it."""
    mode = container.record.host_config.NetworkMode
    return "bridge" if mode == "default" else mode


def network_names(container: Container) -> list[str]:
    """The names and ids of the networks that a container is on."""
    endpoints = container.record.endpoints
    return [*endpoints, *(item.network_id for item in endpoints.values() if item.network_id)] or [
        network_name(container)
    ]


def _uses_volume(mounts: Iterable[MountPoint], filters: Filters) -> bool:
    return any(filters.exact("volume", mount.Destination, mount.Source, mount.Name) for mount in mounts)


def _ports(key: str, text: str) -> set[str]:
    """`80`, `80/udp` or `80-90/tcp` as the set of ports that are meant."""
    match = _PORT.fullmatch(text)
    if match is None or int(match[1]) > int(match[2] or match[1]) or int(match[2] or match[1]) > 65535:
        number = printable(text.partition("/")[0])
        problem = f'strconv.ParseUint: parsing "{number}": invalid syntax' if match is None else "invalid range"
        raise InvalidArgument(f"error while looking up for {key} {printable(text)}: {problem}")
    return {f"{port}/{match[3] or 'tcp'}" for port in range(int(match[1]), int(match[2] or match[1]) + 1)}


def _exposes(container: Container, ports: set[str]) -> bool:
    exposed = container.record.config.ExposedPorts
    own = exposed if isinstance(exposed, dict) else {}
    return any((port if "/" in port else f"{port}/tcp") in ports for port in own)


def _publishes(container: Container, ports: set[str]) -> bool:
    return any(f"{item.host_port}/{item.protocol}" in ports for item in container.record.published)


def status_text(container: Container, now_ns: int | None = None) -> str:
    """The state in the words of `ps`: "Up 5 minutes", "Exited (0) 2 hours ago", "Created"."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    state = container.record.state
    status = container.status
    up = f"Up {human_duration((now_ns - state.started_at_ns) / 1e9)}"
    if status is Status.RUNNING:
        return up + _HEALTH_WORDS.get(state.health.status if state.health else None, "")
    if status is Status.PAUSED:
        return f"{up} (Paused)"
    if status in {Status.EXITED, Status.RESTARTING}:
        age = human_duration((now_ns - state.finished_at_ns) / 1e9)
        return f"{status.capitalize()} ({state.exit_code}) {age} ago"
    return {Status.REMOVING: "Removal In Progress", Status.DEAD: "Dead"}.get(status, "Created")


def human_duration(seconds: float) -> str:
    """A duration as Docker rounds it."""
    whole = int(seconds)
    hours = int(seconds / _HOUR + 0.5)
    steps: tuple[tuple[bool, str], ...] = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < _MINUTE, f"{whole} seconds"),
        (whole < 2 * _MINUTE, "About a minute"),
        (whole < _HOUR, f"{whole // _MINUTE} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // (24 * 7)} weeks"),
        (hours < 24 * 365 * 2, f"{hours // (24 * 30)} months"),
        (True, f"{whole // (365 * _DAY)} years"),
    )
    return next(text for applies, text in steps if applies)


def mount_points(mounts: Iterable[MountPoint]) -> list[dict[str, Any]]:
    """Mounts as the API shows them."""
    return [mount.to_api() for mount in mounts]
