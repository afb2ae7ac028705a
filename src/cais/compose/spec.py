"""The request that creates a container of a service, as Docker Compose makes it."""

from __future__ import annotations

from cais.client.http import quote
from cais.compose import labels as names
from cais.compose.errors import ComposeError
from cais.compose.hashes import service_hash
from cais.compose.spec_mounts import Mounts
from cais.compose.spec_resources import resources
from cais.compose.units import nanoseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from cais.compose.document import Tree
    from cais.compose.model import Project

_RESTART = {"none": "no", "no": "no", "any": "always"}


class Wanted:
    """A container that is to be made: of which service, with which number, and what else distinguishes it."""

    __slots__ = (
        "aliases",
        "attaches_stdin",
        "auto_remove",
        "extra_labels",
        "image_id",
        "links",
        "mounts",
        "name",
        "number",
        "project",
        "service",
        "tree",
    )

    def __init__(self, project: Project, service: str, tree: Tree, name: str, number: int) -> None:
        """`tree` is the service with its references replaced by containers; `name` is what it is to be known by.

        `number` is that among the containers of the service; 0: it is none of them.
        """
        self.project = project
        self.service = service
        self.tree = tree
        self.name = name
        self.number = number
        self.image_id = ""
        self.aliases = True  # whether it answers to the service's name
        self.auto_remove = False
        self.attaches_stdin = False
        self.extra_labels: dict[str, str] = {}
        self.links: list[str] = []
        self.mounts = Mounts([], [])


def labels_of(wanted: Wanted) -> dict[str, str]:
    project, tree = wanted.project, wanted.tree
    found = dict(tree.get("labels") or {})
    depends = project.services.get(wanted.service, tree).get("depends_on") or {}
    found.update(
        {
            names.PROJECT: project.name,
            names.SERVICE: wanted.service,
            names.COMPOSE_VERSION: names.VERSION,
            names.DIRECTORY: project.directory,
            names.FILES: ",".join(project.files),
            names.ONE_OFF: "False",
            names.CONFIG_HASH: service_hash(tree),
            names.DEPENDS_ON: ",".join(
                f"{name}:{entry.get('condition')}:{str(bool(entry.get('restart'))).lower()}"
                for name, entry in depends.items()
            ),
        }
    )
    if wanted.number:
        found[names.NUMBER] = str(wanted.number)
    if wanted.image_id:
        found[names.IMAGE] = wanted.image_id
    if project.env_files:
        found[names.ENV_FILES] = ",".join(project.env_files)
    return {**found, **wanted.extra_labels}


def create_body(wanted: Wanted, *, many_networks: bool) -> Tree:
    """`many_networks`: the engine takes them all at once; otherwise only the first is named."""
    tree, project = wanted.tree, wanted.project
    body: Tree = {
        "Image": project.image(wanted.service) if wanted.service in project.services else tree["image"],
        "Labels": labels_of(wanted),
        "AttachStdout": True,
        "AttachStderr": True,
    }
    simple = {
        "Hostname": tree.get("hostname"),
        "Domainname": tree.get("domainname"),
        "User": tree.get("user"),
        "Tty": tree.get("tty"),
        "OpenStdin": tree.get("stdin_open"),
        "WorkingDir": tree.get("working_dir"),
        "StopSignal": tree.get("stop_signal"),
        "MacAddress": tree.get("mac_address") if not many_networks else None,
    }
    body.update({key: value for key, value in simple.items() if value})
    if wanted.attaches_stdin and tree.get("stdin_open"):
        body["AttachStdin"] = body["StdinOnce"] = True
    for key, field in (("Cmd", "command"), ("Entrypoint", "entrypoint")):
        if tree.get(field) is not None:
            body[key] = tree[field]
    if (period := tree.get("stop_grace_period")) is not None:
        body["StopTimeout"] = nanoseconds(period) // 10**9
    if environment := tree.get("environment"):
        body["Env"] = [name if value is None else f"{name}={value}" for name, value in environment.items()]
    if (health := health_check(tree.get("healthcheck"))) is not None:
        body["Healthcheck"] = health
    if exposed := _exposed(tree):
        body["ExposedPorts"] = {port: {} for port in exposed}
    mode, endpoints = network_settings(wanted, many=many_networks)
    body["HostConfig"] = host_config(wanted, mode)
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return body


def health_check(given: Tree | None) -> Tree | None:
    if given is None:
        return None
    if given.get("disable"):
        return {"Test": ["NONE"]}
    durations = {
        "Interval": "interval",
        "Timeout": "timeout",
        "StartPeriod": "start_period",
        "StartInterval": "start_interval",
    }
    found: Tree = {"Test": given.get("test")} if given.get("test") else {}
    found.update({key: nanoseconds(given[field]) for key, field in durations.items() if given.get(field)})
    if given.get("retries"):
        found["Retries"] = given["retries"]
    return found


def _exposed(tree: Tree) -> list[str]:
    found = []
    for entry in tree.get("expose") or ():
        ports, _, protocol = entry.partition("/")
        first, _, last = ports.partition("-")
        found += [f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)]
    return [*found, *(f"{port['target']}/{port['protocol']}" for port in tree.get("ports") or ())]


def _bindings(tree: Tree) -> dict[str, list[Tree]]:
    found: dict[str, list[Tree]] = {}
    for port in tree.get("ports") or ():
        binding = {"HostIp": port.get("host_ip", ""), "HostPort": port.get("published", "")}
        found.setdefault(f"{port['target']}/{port['protocol']}", []).append(binding)
    return found


def restart_policy(tree: Tree) -> Tree | None:
    policy = (tree.get("deploy") or {}).get("restart_policy")
    if policy:
        condition = policy.get("condition") or "any"
        return {"Name": _RESTART.get(condition, condition), "MaximumRetryCount": policy.get("max_attempts") or 0}
    if restart := tree.get("restart"):
        name, _, attempts = restart.partition(":")
        return {"Name": _RESTART.get(name, name), "MaximumRetryCount": int(attempts) if attempts.isdigit() else 0}
    return None


def host_config(wanted: Wanted, network_mode: str) -> Tree:
    tree = wanted.tree
    security, unconfined = _security(tree.get("security_opt") or [])
    logging = tree.get("logging") or {}
    config: dict[str, Any] = {
        "NetworkMode": network_mode,
        "Binds": wanted.mounts.binds,
        "Mounts": wanted.mounts.mounts,
        "PortBindings": _bindings(tree),
        "RestartPolicy": restart_policy(tree),
        "Annotations": tree.get("annotations"),
        "CapAdd": tree.get("cap_add"),
        "CapDrop": tree.get("cap_drop"),
        "IpcMode": tree.get("ipc"),
        "CgroupnsMode": tree.get("cgroup"),
        "ReadonlyRootfs": tree.get("read_only"),
        "ShmSize": int(tree.get("shm_size") or 0),
        "Sysctls": tree.get("sysctls"),
        "VolumesFrom": tree.get("volumes_from"),
        "Dns": tree.get("dns"),
        "DnsSearch": tree.get("dns_search"),
        "DnsOptions": tree.get("dns_opt"),
        "ExtraHosts": [host.replace("=", ":", 1) for host in tree.get("extra_hosts") or ()],
        "SecurityOpt": security,
        "StorageOpt": tree.get("storage_opt"),
        "UsernsMode": tree.get("userns_mode"),
        "UTSMode": tree.get("uts"),
        "Privileged": tree.get("privileged"),
        "PidMode": tree.get("pid"),
        "Tmpfs": dict(_split_tmpfs(entry) for entry in tree.get("tmpfs") or ()),
        "Isolation": tree.get("isolation"),
        "Runtime": tree.get("runtime"),
        "LogConfig": {"Type": logging.get("driver", ""), "Config": logging.get("options") or {}} if logging else None,
        "GroupAdd": tree.get("group_add"),
        "Links": wanted.links if network_mode in {"bridge", "default"} else None,
        "OomScoreAdj": tree.get("oom_score_adj"),
        **resources(tree),
    }
    found = {key: value for key, value in config.items() if value or key in {"PortBindings", "ExtraHosts"}}
    if wanted.auto_remove:
        found["AutoRemove"] = True
    if tree.get("init") is not None:
        found["Init"] = tree["init"]
    if unconfined:
        found["MaskedPaths"], found["ReadonlyPaths"] = [], []
    return found


def _split_tmpfs(entry: str) -> tuple[str, str]:
    path, _, options = entry.partition(":")
    return path, options


def _security(given: Sequence[str]) -> tuple[list[str], bool]:
    """The options, with a seccomp profile read; and whether the system paths are left open."""
    found, unconfined = [], False
    for option in given:
        name, separator, value = option.partition("=") if "=" in option else option.partition(":")
        if option == "systempaths=unconfined":
            unconfined = True
        elif not separator and option != "no-new-privileges":
            raise ComposeError(f'Invalid security-opt: "{option}"')
        elif name == "seccomp" and value not in {"unconfined", "builtin"}:
            found.append(f"seccomp={_profile(value)}")
        else:
            found.append(option)
    return found, unconfined


def _profile(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise ComposeError(f"opening seccomp profile ({path}) failed: {error.strerror}") from None


def networks_by_priority(tree: Tree) -> list[str]:
    uses: Tree = tree.get("networks") or {}
    return sorted(uses, key=lambda name: (-((uses[name] or {}).get("priority") or 0), name))


def connections(wanted: Wanted, identity: str) -> Iterator[tuple[str, Tree]]:
    """For an engine that creates a container with one network: the requests that connect it to the others."""
    for key in networks_by_priority(wanted.tree)[1:]:
        path = f"/networks/{quote(wanted.project.networks[key]['name'])}/connect"
        yield path, {"Container": identity, "EndpointConfig": endpoint(wanted, key, many=False)}


def network_settings(wanted: Wanted, *, many: bool) -> tuple[str, Tree]:
    """The network mode, and how the container is connected to which networks."""
    tree, project = wanted.tree, wanted.project
    if tree.get("network_mode"):
        return tree["network_mode"], {}
    ordered = networks_by_priority(tree)
    if not ordered:
        return "none", {}
    used = ordered if many else ordered[:1]
    found = {project.networks[name]["name"]: endpoint(wanted, name, many=many) for name in used}
    return project.networks[ordered[0]]["name"], found


def endpoint(wanted: Wanted, network: str, *, many: bool) -> Tree:
    """How a container is connected to one of its networks."""
    use = (wanted.tree.get("networks") or {}).get(network) or {}
    project = wanted.project
    aliases = [wanted.name]
    if wanted.aliases:
        aliases += [wanted.service, *(use.get("aliases") or [])]
    found: Tree = {"Aliases": aliases}
    addresses = {
        "IPv4Address": use.get("ipv4_address"),
        "IPv6Address": use.get("ipv6_address"),
        "LinkLocalIPs": use.get("link_local_ips"),
    }
    if addresses := {key: value for key, value in addresses.items() if value}:
        found["IPAMConfig"] = addresses
    options = dict(use.get("driver_opts") or {})
    if use.get("interface_name"):
        options["com.docker.network.endpoint.ifname"] = use["interface_name"]
    optional = {
        "DriverOpts": options,
        "GwPriority": use.get("gw_priority"),
        "MacAddress": use.get("mac_address") or (_first_mac(wanted, network) if many else None),
        "Links": wanted.links,
    }
    found.update({key: value for key, value in optional.items() if value})
    if network not in project.networks:
        raise ComposeError(f'service "{wanted.service}" refers to undefined network {network}')
    return found


def _first_mac(wanted: Wanted, network: str) -> str | None:
    is_first = networks_by_priority(wanted.tree)[0] == network
    return wanted.tree.get("mac_address") if is_first else None
