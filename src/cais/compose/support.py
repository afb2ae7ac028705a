"""What a project says that a single engine cannot honour: most of it is told and left out, as Docker Compose does."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cais.compose.document import Tree
    from cais.compose.model import Project

_DEPLOY = {
    "endpoint_mode": "deploy.endpoint_mode only applies to Swarm's routing mesh",
    "labels": "deploy.labels are only applied to Swarm services",
    "mode": "deploy.mode is only honored in Swarm mode",
    "placement": "deploy.placement is only honored by the Swarm scheduler",
    "rollback_config": "deploy.rollback_config only applies to rolling updates in Swarm mode",
    "update_config": "deploy.update_config only applies to rolling updates in Swarm mode",
}
_OF_A_CLUSTER = ("delay", "window")
_REFUSED = {
    "provider": "services of a provider are not supported",
    "use_api_socket": "use_api_socket is not supported",
    "models": "models are not supported",
}


def warnings(project: Project) -> list[str]:
    """Sorted."""
    found = list(_of_objects(project))
    for name, service in project.services.items():
        found += [f'service "{name}": {text}' for text in _of_service(project, service)]
    return sorted(found)


def refuse(project: Project) -> None:
    """Raises ComposeError for what cannot be left out without the service being another one."""
    for name, service in project.services.items():
        for key, text in _REFUSED.items():
            if service.get(key):
                raise project.error(("services", name, key), f"services.{name}.{key}: {text}")


def _of_objects(project: Project) -> Iterator[str]:
    for kind in ("configs", "secrets"):
        entries: dict[str, Tree] = getattr(project, kind)
        for name, entry in entries.items():
            if entry.get("labels"):
                yield f"{kind}.{name}.labels: {kind}[].labels are only applied to Swarm {kind[:-1]} objects"


def _of_deploy(deploy: Tree) -> Iterator[str]:
    for key, text in _DEPLOY.items():
        if deploy.get(key):
            yield f"deploy.{key}: {text}"
    for key in _OF_A_CLUSTER:
        if (deploy.get("restart_policy") or {}).get(key):
            yield f"deploy.restart_policy.{key}: only honored in Swarm mode"
    reservations = (deploy.get("resources") or {}).get("reservations") or {}
    for key in ("cpus", "generic_resources"):
        if reservations.get(key):
            yield f"deploy.resources.reservations.{key}: only honored by the Swarm scheduler"


def _of_service(project: Project, service: Tree) -> Iterator[str]:
    yield from _of_deploy(service.get("deploy") or {})
    yield from _of_files(project, service)
    if service.get("credential_spec"):
        yield "credential_spec: credential_spec is only supported when running Windows containers under Swarm"
    for port in service.get("ports") or ():
        if port.get("mode") == "host":
            where = f"ports[{port['target']}/{port['protocol']}].mode"
            yield f"{where}: ports[].mode: host is only honored by the Swarm routing mesh"
    for key in service.get("storage_opt") or ():
        yield f"storage_opt.{key}: not honored by this runtime outside Swarm mode"


def _of_files(project: Project, service: Tree) -> Iterator[str]:
    for kind in ("configs", "secrets"):
        entries: dict[str, Tree] = getattr(project, kind)
        for use in service.get(kind) or ():
            if not (entries.get(use["source"]) or {}).get("file"):
                continue  # its content is put into the container, as whose file and with which mode is free
            for key in ("gid", "mode", "uid"):
                if use.get(key):
                    yield f"{kind}.{use['source']}.{key}: {key} is not supported outside Swarm mode and will be ignored"
