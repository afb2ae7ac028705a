"""Whether the parts of a project fit together."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cais.compose.document import Path, Tree
    from cais.compose.errors import ComposeError
    from cais.compose.model import Project

_INVALID = ": invalid compose project"


def check(project: Project) -> None:
    """Raises ComposeError for the first thing that does not fit."""
    for name, service in project.services.items():
        _check_service(project, name, service)
    for name, secret in project.secrets.items():
        if not secret.get("external") and not any(secret.get(key) for key in ("file", "environment", "driver")):
            raise _error(project, ("secrets", name), f'secret "{name}" must declare either `file` or `environment`')
    for name, config in project.configs.items():
        if not config.get("external") and not any(config.get(key) for key in ("file", "environment", "content")):
            what = f'config "{name}" must declare either `file`, `content` or `environment`'
            raise _error(project, ("configs", name), what)
    _check_container_names(project)
    project.ordered()


def _error(project: Project, path: Path, what: str) -> ComposeError:
    return project.error(path, what + _INVALID)


def _check_service(project: Project, name: str, service: Tree) -> None:
    at = ("services", name)
    if not service.get("image") and not service.get("build") and not service.get("provider"):
        raise _error(project, at, f'service "{name}" has neither an image nor a build context specified')
    if service.get("network_mode") and service.get("networks"):
        what = f"service {name} declares mutually exclusive `network_mode` and `networks`"
        raise _error(project, (*at, "network_mode"), what)
    for part, kind, used in _references(service):
        if used not in getattr(project, part):
            raise _error(project, (*at, *kind), f'service "{name}" refers to undefined {_SPOKEN[part, kind]} {used}')
    for other, entry in (service.get("depends_on") or {}).items():
        if other not in project.services and entry.get("required", True):
            what = f'service "{name}" depends on undefined service "{other}"'
            raise _error(project, (*at, "depends_on", other), what)
    for key, check in _CHECKS.items():
        if service.get(key) is not None and (complaint := check(service)):
            raise _error(project, (*at, key), f"services.{name}: {complaint}")


_SPOKEN = {
    ("networks", ("networks",)): "network",
    ("volumes", ("volumes",)): "volume",
    ("secrets", ("secrets",)): "secret",
    ("configs", ("configs",)): "config",
    ("secrets", ("build", "secrets")): "build secret",
}


def _references(service: Tree) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What a service names: which part of the project has it, under which keys of the service, and its name there."""
    for network in service.get("networks") or ():
        yield "networks", ("networks",), network
    for mount in service.get("volumes") or ():
        if mount["type"] == "volume" and mount.get("source"):
            yield "volumes", ("volumes",), mount["source"]
    for kind in ("secrets", "configs"):
        for use in service.get(kind) or ():
            yield kind, (kind,), use["source"]
    for use in (service.get("build") or {}).get("secrets") or ():
        yield "secrets", ("build", "secrets"), use["source"]


def _scale(service: Tree) -> str:
    replicas = (service.get("deploy") or {}).get("replicas")
    if replicas is not None and replicas != service["scale"]:
        return "can't set distinct values on 'scale' and 'deploy.replicas'"
    return ""


def _limit(key: str, kind: str, other: str) -> Callable[[Tree], str]:
    def check(service: Tree) -> str:
        resources = (service.get("deploy") or {}).get("resources") or {}
        value = (resources.get(kind) or {}).get(other)
        if value and str(value) != str(service[key]):
            return f"can't set distinct values on '{key}' and 'deploy.resources.{kind}.{other}'"
        return ""

    return check


def _container_name(service: Tree) -> str:
    scale = service.get("scale", (service.get("deploy") or {}).get("replicas"))
    if scale is not None and scale > 1:
        return f"can't set container_name and {'scale' if service.get('scale') else 'replicas'} larger than 1"
    return ""


def _health(service: Tree) -> str:
    test = service["healthcheck"].get("test") or []
    if test and test[0] not in {"NONE", "CMD", "CMD-SHELL"}:
        return 'healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE"'
    return ""


_CHECKS: dict[str, Callable[[Tree], str]] = {
    "scale": _scale,
    "mem_limit": _limit("mem_limit", "limits", "memory"),
    "mem_reservation": _limit("mem_reservation", "reservations", "memory"),
    "cpus": _limit("cpus", "limits", "cpus"),
    "pids_limit": _limit("pids_limit", "limits", "pids"),
    "container_name": _container_name,
    "healthcheck": _health,
}


def _check_container_names(project: Project) -> None:
    holders: dict[str, str] = {}
    for name, service in project.services.items():
        own = service.get("container_name")
        if not own:
            continue
        if own in holders:
            what = f'services.{name}: container name "{own}" is already in use by service {holders[own]}'
            raise _error(project, ("services", name, "container_name"), what)
        holders[own] = name
