"""The long form of everything that a Compose file may say in a short one, with every scalar in the type it stands for.

What comes out has the form in which `config` writes a project: amounts of bytes as text, durations as 1m30s, lists of
NAME=VALUE as mappings. Nothing is resolved yet: paths are relative, and names are those of the file.
"""

from __future__ import annotations

from cais import gotext
from cais.compose import mounts, ports
from cais.compose.document import dotted
from cais.compose.units import boolean, byte_count, nanoseconds, number_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cais.compose.document import Document, Path, Tree

    Convert = Callable[[Any], Any]


def canonical(document: Document, data: Tree) -> Tree:
    """`data`, valid by the schema and with its variables replaced, in the long form. Raises FileError."""
    return converted(document, data, _PROJECT)


def converted(document: Document, data: Tree, table: Table) -> Tree:
    """`data` with the values that a table has something for made what it says. Raises FileError."""
    return _Conversion(document).mapping(data, table, ())


def text(value: Any) -> str:
    return "" if value is None else number_text(value)


def texts(value: Any) -> list[str]:
    """A list of texts, or one text alone."""
    return [text(item) for item in value] if isinstance(value, list) else [text(value)]


def command(value: Any) -> list[str]:
    """A command line, split as a shell would."""
    if isinstance(value, list):
        return [text(item) for item in value]
    import shlex  # noqa: PLC0415 -- most files say it as a list

    return shlex.split(text(value))


def pairs(value: Any) -> Tree:
    """NAME=VALUE items, or a mapping; None for a name without a value, which is taken from outside."""
    if isinstance(value, dict):
        return {name: None if item is None else number_text(item) for name, item in value.items()}
    found: Tree = {}
    for item in texts(value):
        name, separator, content = item.partition("=")
        found[name] = content if separator else None
    return found


def labels(value: Any) -> Tree:
    """The same where a missing value is an empty one."""
    return {name: item or "" for name, item in pairs(value).items()}


def options(value: Any) -> Tree:
    return {name: text(item) for name, item in value.items()}


def lists(value: Any) -> Tree:
    return {name: texts(item) for name, item in value.items()}


def integer(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value, 0) if not value.lstrip("-").startswith("0") or value == "0" else int(value, 8)
        except ValueError:
            raise ValueError(f"invalid integer: {value!r}") from None
    return int(value)


def real(value: Any) -> int | float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"invalid number: {value!r}") from None
    return int(number) if number.is_integer() else number


def size(value: Any) -> str:
    return str(byte_count(value))


def duration(value: Any) -> str:
    return gotext.duration(nanoseconds(str(value)))


def file_mode(value: Any) -> str:
    return f"0{int(value, 8) if isinstance(value, str) else int(value):o}"


def depends_on(value: Any) -> Tree:
    if isinstance(value, list):
        return {name: {"condition": "service_started", "required": True} for name in texts(value)}
    found = {}
    for name, given in value.items():
        entry = {**given, "required": boolean(given.get("required", True))}
        if "restart" in given:
            entry["restart"] = boolean(given["restart"])
        found[name] = entry
    return found


def network_uses(value: Any) -> Tree:
    if isinstance(value, list):
        return dict.fromkeys(texts(value))
    found: Tree = {}
    for name, given in value.items():
        if given is None:
            found[name] = None
            continue
        entry = dict(given)
        if "driver_opts" in entry:
            entry["driver_opts"] = options(entry["driver_opts"])
        found[name] = entry
    return found


def extra_hosts(value: Any) -> list[str]:
    """NAME=ADDRESS items, sorted."""
    found: dict[str, list[str]] = {}
    if isinstance(value, dict):
        for name, addresses in value.items():
            for address in texts(addresses):
                found.setdefault(name, []).extend(address.split(","))
    else:
        for item in texts(value):
            separator = "=" if "=" in item else ":"
            name, found_one, address = item.partition(separator)
            if not found_one or not name or not address:
                raise ValueError(f"bad host format for extra_hosts: {item}")
            found.setdefault(name, []).extend(address.split(","))
    return [f"{name}={address.strip('[]')}" for name in sorted(found) for address in found[name]]


def published(value: Any) -> list[Tree]:
    found = []
    for item in value:
        if not isinstance(item, dict):
            found.extend(ports.parse(text(item)))
            continue
        entry = {"mode": "ingress", "protocol": "tcp", **item}
        entry["target"] = integer(entry["target"]) if "target" in entry else 0
        if "published" in entry:
            entry["published"] = text(entry["published"])
        found.append(entry)
    return found


_MOUNT_PARTS: dict[str, dict[str, Convert]] = {
    "bind": {"create_host_path": boolean},
    "volume": {"nocopy": boolean, "labels": labels},
    "tmpfs": {"size": size, "mode": integer},
}


def mounted(value: Any) -> list[Tree]:
    found = []
    for item in value:
        if not isinstance(item, dict):
            found.append(mounts.parse(text(item)))
            continue
        entry = _converted(item, {"read_only": boolean})
        for kind, conversions in _MOUNT_PARTS.items():
            if isinstance(part := entry.get(kind), dict):
                entry[kind] = _converted(part, conversions)
        found.append(entry)
    return found


def _converted(entry: Tree, conversions: dict[str, Convert]) -> Tree:
    return {name: conversions[name](item) if name in conversions else item for name, item in entry.items()}


def file_uses(value: Any) -> list[Tree]:
    """Configs, and the secrets of builds."""
    found = []
    for item in value:
        entry = {"source": item} if not isinstance(item, dict) else dict(item)
        if "mode" in entry:
            entry["mode"] = file_mode(entry["mode"])
        found.append(entry)
    return found


def secret_uses(value: Any) -> list[Tree]:
    return [
        {**entry, "target": entry.get("target") or f"/run/secrets/{entry.get('source', '')}"}
        for entry in file_uses(value)
    ]


def device_uses(value: Any) -> list[Tree]:
    found = []
    for item in value:
        if isinstance(item, dict):
            found.append(
                {
                    **item,
                    "target": item.get("target") or item["source"],
                    "permissions": item.get("permissions") or "rwm",
                }
            )
            continue
        fields = item.split(":")
        if len(fields) > 3:
            raise ValueError(f"confusing device mapping, please use long syntax: {item}")
        source, target, permissions = (
            (*fields, *("", "")[len(fields) - 1 :])[:3] if len(fields) > 1 else (item, item, "")
        )
        found.append({"source": source, "target": target or source, "permissions": permissions or "rwm"})
    return found


def device_requests(value: Any) -> list[Tree]:
    if value == "all":
        return [{"count": -1}]
    found = []
    for item in value:
        entry = dict(item)
        if "count" in entry:
            entry["count"] = -1 if entry["count"] == "all" else integer(entry["count"])
        elif "device_ids" not in entry:
            entry["count"] = -1
        if "options" in entry:
            entry["options"] = labels(entry["options"])
        found.append(entry)
    return found


def limits_of(value: Any) -> Tree:
    found: Tree = {}
    for name, given in value.items():
        if isinstance(given, dict):
            found[name] = {**given, "soft": integer(given["soft"]), "hard": integer(given["hard"])}
        else:
            found[name] = integer(given)
    return found


def env_files(value: Any) -> list[Tree]:
    items = value if isinstance(value, list) else [value]
    found = []
    for item in items:
        entry = {"path": item, "required": True} if not isinstance(item, dict) else {"required": True, **item}
        entry["required"] = boolean(entry["required"])
        found.append(entry)
    return found


def health_test(value: Any) -> list[str]:
    return texts(value) if isinstance(value, list) else ["CMD-SHELL", text(value)]


def throttles(value: Any) -> list[Tree]:
    return [{**item, "rate": size(item["rate"])} if "rate" in item else dict(item) for item in value]


def weights(value: Any) -> list[Tree]:
    return [{**item, "weight": integer(item["weight"])} if "weight" in item else dict(item) for item in value]


def model_uses(value: Any) -> Tree:
    return dict.fromkeys(texts(value)) if isinstance(value, list) else dict(value)


def ssh_keys(value: Any) -> list[str]:
    """ID or "ID: PATH" items."""
    found = pairs(value)
    return [name if not path else f"{name}: {path}" for name, path in found.items()]


def external(value: Any) -> bool:
    return True if isinstance(value, dict) else boolean(value)


def truth_text(value: Any) -> str:
    return number_text(value)


class Table:
    """What is made of the keys of a mapping: a function for the value, or the table of a mapping."""

    def __init__(self, **keys: Convert | Table | Each) -> None:
        self.keys = keys


class Each:
    """A mapping from names, or a list, whose values have a table."""

    def __init__(self, table: Table) -> None:
        self.table = table


_HOOK = Table(command=command, privileged=boolean, environment=pairs)
_UPDATE = Table(parallelism=integer, delay=duration, monitor=duration, max_failure_ratio=real)
_RESOURCE = Table(cpus=real, memory=size, pids=integer, devices=device_requests)
_DEPLOY = Table(
    replicas=integer,
    labels=labels,
    update_config=_UPDATE,
    rollback_config=_UPDATE,
    resources=Table(limits=_RESOURCE, reservations=_RESOURCE),
    restart_policy=Table(delay=duration, max_attempts=integer, window=duration),
    placement=Table(max_replicas_per_node=integer),
)
_BUILD = Table(
    args=pairs,
    ssh=ssh_keys,
    labels=labels,
    no_cache=boolean,
    additional_contexts=labels,
    provenance=truth_text,
    sbom=truth_text,
    pull=boolean,
    shm_size=size,
    extra_hosts=extra_hosts,
    privileged=boolean,
    secrets=file_uses,
    ulimits=limits_of,
)
_SERVICE: dict[str, Any] = dict(
    annotations=labels,
    attach=boolean,
    build=_BUILD,
    blkio_config=Table(
        weight=integer,
        weight_device=weights,
        device_read_bps=throttles,
        device_read_iops=throttles,
        device_write_bps=throttles,
        device_write_iops=throttles,
    ),
    cgroup_parent=text,
    command=command,
    configs=file_uses,
    **dict.fromkeys(
        ("cpu_count", "cpu_shares", "cpu_quota", "cpu_period", "cpu_rt_period", "cpu_rt_runtime", "oom_score_adj"),
        integer,
    ),
    cpu_percent=real,
    cpus=real,
    cpuset=text,
    depends_on=depends_on,
    deploy=_DEPLOY,
    develop=Table(watch=Each(Table(exec=_HOOK, ignore=texts, include=texts, initial_sync=boolean))),
    devices=device_uses,
    dns=texts,
    dns_search=texts,
    entrypoint=command,
    env_file=env_files,
    environment=pairs,
    expose=texts,
    extra_hosts=extra_hosts,
    gpus=device_requests,
    group_add=texts,
    healthcheck=Table(
        disable=boolean,
        interval=duration,
        retries=integer,
        test=health_test,
        timeout=duration,
        start_period=duration,
        start_interval=duration,
    ),
    init=boolean,
    labels=labels,
    label_file=texts,
    logging=Table(options=options),
    mem_limit=size,
    mem_reservation=size,
    mem_swappiness=size,
    memswap_limit=size,
    models=model_uses,
    networks=network_uses,
    oom_kill_disable=boolean,
    pids_limit=integer,
    ports=published,
    post_start=Each(_HOOK),
    pre_stop=Each(_HOOK),
    privileged=boolean,
    provider=Table(options=lists),
    read_only=boolean,
    scale=integer,
    secrets=secret_uses,
    shm_size=size,
    stdin_open=boolean,
    stop_grace_period=duration,
    storage_opt=options,
    sysctls=labels,
    tmpfs=texts,
    tty=boolean,
    ulimits=limits_of,
    use_api_socket=boolean,
    volumes=mounted,
)
_RESOURCE_KEYS: dict[str, Any] = dict(driver_opts=options, external=external, labels=labels)
_PROJECT = Table(
    services=Each(Table(**_SERVICE)),
    networks=Each(
        Table(**_RESOURCE_KEYS, internal=boolean, attachable=boolean, enable_ipv4=boolean, enable_ipv6=boolean)
    ),
    volumes=Each(Table(**_RESOURCE_KEYS)),
    secrets=Each(Table(**_RESOURCE_KEYS)),
    configs=Each(Table(**_RESOURCE_KEYS)),
    models=Each(Table(context_size=integer)),
)


class _Conversion:
    def __init__(self, document: Document) -> None:
        self._document = document

    def mapping(self, data: Tree, table: Table, path: Path) -> Tree:
        result: Tree = {}
        for key, value in data.items():
            rule = table.keys.get(key)
            where = (*path, key)
            if value is None and not key.startswith("x-"):
                if rule is not _PROJECT.keys.get(key):
                    continue  # as if it had not been said
                result[key] = None if rule is None else {}
            elif rule is None:
                result[key] = value
            else:
                result[key] = self._value(value, rule, where)
                if key == "external" and isinstance(value, dict) and value.get("name"):
                    result["name"] = value["name"]
        return result

    def _value(self, value: Any, rule: Any, path: Path) -> Any:
        if isinstance(rule, Table):
            if path[-1] == "build" and isinstance(value, str):
                value = {"context": value}
            return self.mapping(value, rule, path)
        if isinstance(rule, Each):
            if isinstance(value, list):
                return [self.mapping(item, rule.table, (*path, index)) for index, item in enumerate(value)]
            return {name: self.mapping(item or {}, rule.table, (*path, name)) for name, item in value.items()}
        try:
            return rule(value)
        except (ValueError, TypeError, KeyError) as error:
            raise self._document.error(path, f"{dotted(path)}: {error}") from None
