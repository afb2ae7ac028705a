"""What a project means beyond what it says: names, the default network, variables from files, implied dependencies."""

from __future__ import annotations

import os

from cais.compose.errors import ComposeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cais.compose.document import Tree

_NAMED = ("networks", "volumes", "secrets", "configs")


def normalize(data: Tree, name: str, environment: Mapping[str, str]) -> None:
    """Complete a tree in the long form, in place. Raises ComposeError."""
    services: dict[str, Tree] = data.setdefault("services", {})
    for service in services.values():
        _service(service, environment)
    networks = data.setdefault("networks", {})
    if any("default" in (service.get("networks") or ()) for service in services.values()):
        networks["default"] = networks.get("default") or {}
    for kind in _NAMED:
        for key, entry in list((data.get(kind) or {}).items()):
            data[kind][key] = _named(entry or {}, key, name)


def resolve_files(services: Mapping[str, Tree], environment: Mapping[str, str]) -> None:
    """Give services, in place, the variables and labels that are in files. Raises ComposeError."""
    for key, service in services.items():
        _read_env_files(key, service, environment)
        _read_label_files(service)


def _named(entry: Tree, key: str, project: str) -> Tree:
    if entry.get("name"):
        return entry
    return {**entry, "name": key if entry.get("external") else f"{project}_{key}"}


def _service(service: Tree, environment: Mapping[str, str]) -> None:
    if not service.get("networks") and not service.get("network_mode") and not service.get("provider"):
        service["networks"] = {"default": None}
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    if "scale" in service and "deploy" in service:
        service["deploy"].setdefault("replicas", service["scale"])
    if isinstance(build := service.get("build"), dict):
        if not build.get("dockerfile") and not build.get("dockerfile_inline"):
            build["dockerfile"] = "Dockerfile"
        if isinstance(build.get("args"), list):
            build["args"] = [_with_value(item, environment) for item in build["args"] if _has_value(item, environment)]
        elif "args" in build:
            build["args"] = {
                name: environment.get(name) if value is None else value
                for name, value in build["args"].items()
                if value is not None or name in environment
            }
    _imply_dependencies(service)


def _has_value(item: str, environment: Mapping[str, str]) -> bool:
    return "=" in item or item in environment


def _with_value(item: str, environment: Mapping[str, str]) -> str:
    return item if "=" in item else f"{item}={environment[item]}"


def _imply_dependencies(service: Tree) -> None:
    implied: dict[str, bool] = {}
    for link in service.get("links") or ():
        implied.setdefault(link.split(":")[0], True)
    for key in ("network_mode", "ipc", "pid", "uts", "cgroup"):
        if (service.get(key) or "").startswith("service:"):
            implied.setdefault(service[key].removeprefix("service:"), True)
    for source in service.get("volumes_from") or ():
        if not source.startswith("container:"):
            implied.setdefault(source.split(":")[0], False)
    for name, restarts in implied.items():
        entry: Tree = {"condition": "service_started", "required": True}
        if restarts:
            entry["restart"] = True
        service.setdefault("depends_on", {}).setdefault(name, entry)
    build = service.get("build")
    contexts = (build or {}).get("additional_contexts")
    for context in contexts.values() if isinstance(contexts, dict) else ():
        if context.startswith("service:"):
            entry = {"condition": "service_started", "required": True}
            service.setdefault("depends_on", {}).setdefault(context.removeprefix("service:"), entry)


def _read_env_files(key: str, service: Tree, environment: Mapping[str, str]) -> None:
    """Put the variables of files before those that the service names itself."""
    listed = service.pop("env_file", None)
    found = _variables_of_files(key, listed, environment) if listed else {}
    own = {
        name: environment.get(name) if value is None else value
        for name, value in (service.get("environment") or {}).items()
    }
    if found or own:
        service["environment"] = {**found, **own}


def _variables_of_files(key: str, listed: list[Tree], environment: Mapping[str, str]) -> dict[str, str | None]:
    from cais.compose import dotenv  # noqa: PLC0415 -- not every project has such files

    found: dict[str, str | None] = {}
    for entry in listed:
        path = entry["path"]
        if not os.path.exists(path):
            if entry["required"]:
                raise ComposeError(dotenv.describe_missing(path))
            continue
        if entry.get("format") == "raw":
            found.update(dotenv.read_raw(path))
        elif entry.get("format"):
            raise ComposeError(f"unsupported env_file format {entry['format']!r} of service {key!r}")
        else:
            known = {name: value for name, value in found.items() if value is not None}
            found.update(dotenv.read_file(path, environment, known))
    return found


def _read_label_files(service: Tree) -> None:
    listed = service.get("label_file")
    if not listed:
        return
    from cais.compose import dotenv  # noqa: PLC0415

    found: dict[str, str] = {}
    for path in listed:
        if not os.path.exists(path):
            raise ComposeError(f"label file {path} not found: stat {path}: no such file or directory")
        found.update(dotenv.read_file(path, {}))
    if found:
        service["labels"] = {**found, **(service.get("labels") or {})}
