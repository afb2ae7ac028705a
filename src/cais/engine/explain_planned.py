"""What a container is meant to be, from its record and its runtime config: the sections of what does not run.

Of a container that runs they are what the kernel's answers are compared with.
"""

from collections.abc import Iterable
from typing import Final

from cais.engine import health as health_checks
from cais.engine import joining, spec
from cais.engine.capabilities import DEFAULT
from cais.engine.container import Container
from cais.engine.explain_models import (
    CpuLimit,
    Health,
    IoLimit,
    IoRate,
    Layer,
    Limits,
    MemoryLimit,
    Mount,
    Namespace,
    Network,
    PidsLimit,
    Restarts,
    Root,
    Security,
    UlimitUse,
)
from cais.engine.host import Host
from cais.engine.image import Image
from cais.engine.images import Images
from cais.engine.listing import network_name
from cais.engine.models import HostConfig, Record
from cais.engine.mounts import missing_sources
from cais.engine.security import UNCONFINED, parse_security_options
from cais.errors import CaisError
from cais.runtime.cgroups import Resources

HOST: Final = "host"
PRIVATE: Final = "private"
CONTAINER: Final = "container"

_OPTIONS: Final = {"network": "NetworkMode", "pid": "PidMode", "ipc": "IpcMode", "uts": "UTSMode"}
_NEVER_OWN: Final = ("user", "time")


def namespaces(hc: HostConfig, config: spec.Json, containers: joining.Known) -> list[Namespace]:
    """The namespaces that a start makes, joins or leaves as they are."""
    own = {item["type"] for item in config["linux"]["namespaces"]}
    found = []
    for kind in ("mount", "network", "pid", "ipc", "uts", "cgroup", *_NEVER_OWN):
        partner = joining.partner(getattr(hc, _OPTIONS[kind])) if kind in _OPTIONS else ""
        if partner:
            name = _name(partner, containers)
            found.append(Namespace(kind=kind, sharing=CONTAINER, shared_with=[name], wanted=f"container:{name}"))
        else:
            sharing = PRIVATE if kind in own else HOST
            found.append(Namespace(kind=kind, sharing=sharing, wanted=sharing))
    return found


def _name(container_id: str, containers: joining.Known) -> str:
    """A container's name; its short id once it is gone."""
    try:
        return containers.find(container_id).name
    except CaisError:
        return container_id[:12]


def limits(record: Record, host: Host, config: spec.Json) -> Limits:
    """The limits that a start sets. Raises InvalidArgument."""
    resources = Resources.from_oci(config["linux"]["resources"])
    memory, cpu, io = resources.memory, resources.cpu, resources.block_io
    cpus = cpu.quota_us / (cpu.period_us or spec.CPU_PERIOD_US) if cpu.quota_us and cpu.quota_us > 0 else None
    return Limits(
        cgroup=config["linux"]["cgroupsPath"],
        memory=MemoryLimit(
            limit_bytes=_limit(memory.limit_bytes),
            wanted_bytes=_limit(memory.limit_bytes),
            swap_limit_bytes=_limit(memory.swap_bytes),
            wanted_swap_bytes=_limit(memory.swap_bytes),
            reservation_bytes=_limit(memory.reservation_bytes),
            swappiness=memory.swappiness,
            oom_kill_disabled=memory.oom_kill_disable,
        ),
        cpu=CpuLimit(
            cpus=cpus,
            wanted_cpus=cpus,
            quota_us=_limit(cpu.quota_us),
            period_us=cpu.period_us,
            host_cpus=host.cpus,
            shares=cpu.shares,
            allowed=cpu.cpus,
            memory_nodes=cpu.mems,
        ),
        pids=PidsLimit(limit=_limit(resources.pids_limit), wanted=_limit(resources.pids_limit)),
        io=IoLimit(
            weight=io.weight,
            rates=[
                IoRate(device=f"{item.major}:{item.minor}", kind=item.kind, rate=item.rate) for item in io.throttles
            ],
        ),
        ulimits=[
            UlimitUse(
                name=item.Name,
                soft=_limit(item.Soft),
                hard=_limit(item.Hard),
                wanted_soft=_limit(item.Soft),
                wanted_hard=_limit(item.Hard),
                was_asked=True,
            )
            for item in record.host_config.Ulimits or ()
        ],
    )


def _limit(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def root(record: Record, image: Image | None, images: Images, writable: str, writable_bytes: int | None) -> Root:
    """The root file system. `image` is None when it is not there (any more)."""
    hc = record.host_config
    layers = images.layers_of(image) if image is not None else []
    return Root(
        layers=[
            Layer(chain_id=layer.chain_id, diff_id=layer.diff_id, size_bytes=layer.size_bytes, created_by=made_by)
            for layer, made_by in layers
        ],
        image_bytes=image.size_bytes if image is not None else 0,
        writable=writable,
        writable_bytes=writable_bytes,
        read_only=hc.ReadonlyRootfs,
        volatile=hc.AutoRemove,
    )


def mounts(record: Record, config: spec.Json) -> list[Mount]:
    """The mounts in the order of a start."""
    tmpfs = record.host_config.Tmpfs
    own = {item.Destination for item in record.mounts} | set(tmpfs if isinstance(tmpfs, dict) else ())
    missing = {item.Destination for item in missing_sources(record.mounts)}
    return [
        Mount(
            destination=item["destination"],
            type=item["type"],
            source=item["source"],
            options=[option for option in item["options"] if option not in {"bind", "rbind"}],
            origin="user" if item["destination"] in own else "default",
            made=item["destination"] in missing,
        )
        for item in config["mounts"]
    ]


def network(container: Container, containers: joining.Known) -> Network:
    """The network as it was asked for."""
    mode = network_name(container)
    partner = joining.partner(mode)
    return Network(
        mode=f"container:{_name(partner, containers)}" if partner else mode,
        hostname=container.record.config.Hostname,
    )


def security(record: Record, host: Host, config: spec.Json) -> Security:
    """What the first process may do."""
    hc, linux = record.host_config, config["linux"]
    options = parse_security_options(hc.SecurityOpt or ())
    granted = list(spec.granted(hc, host))
    if hc.Privileged or options.seccomp == UNCONFINED:
        seccomp = UNCONFINED
    else:
        seccomp = "profile" if options.seccomp else "default"
    return Security(
        privileged=hc.Privileged,
        user=record.config.User,
        capabilities=granted,
        added=added(granted),
        dropped=dropped(granted),
        wanted_capabilities=granted,
        seccomp=seccomp,
        no_new_privileges=options.no_new_privileges,
        wanted_no_new_privileges=options.no_new_privileges,
        masked_paths=linux["maskedPaths"],
        readonly_paths=linux["readonlyPaths"],
        devices=[f"{item['path']} {item['type']} {item['major']}:{item['minor']}" for item in linux["devices"]],
        oom_score_adj=hc.OomScoreAdj,
    )


def added(capabilities: Iterable[str]) -> list[str]:
    """Those that a container does not get by default."""
    return [name for name in capabilities if name not in DEFAULT]


def dropped(capabilities: Iterable[str]) -> list[str]:
    """Those that a container gets by default and that are missing."""
    given = set(capabilities)
    return [name for name in DEFAULT if name not in given]


def restarts(record: Record) -> Restarts:
    """The restart policy."""
    policy = record.host_config.restart_policy
    return Restarts(policy=policy.Name or "no", most=policy.MaximumRetryCount, count=record.restart_count)


def health(record: Record, status: str) -> Health | None:
    """The health check; None without one."""
    command = health_checks.command(record.config)
    if command is None:
        return None
    known = record.state.health
    last = known.log[-1] if known is not None and known.log else None
    return Health(
        command=command,
        status=status,
        failing_streak=known.failing_streak if known is not None else 0,
        last_exit_code=last.exit_code if last is not None else None,
        last_output=last.output if last is not None else "",
    )
