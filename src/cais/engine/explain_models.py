"""What `explain` answers: a container, or what a request to run one would do, in sections that both share.

The names are those of the JSON, in Pascal case. What is in force is what the kernel says; a member `wanted…` is what
was asked for, for the reader to compare. Sizes are in bytes; a limit is None where there is none, a figure is None
where nothing runs or nobody counts it.
"""

import msgspec


class Part(msgspec.Struct, frozen=True, rename="pascal"):
    """What all parts of an explanation have in common."""


class Namespace(Part, kw_only=True, frozen=True):
    """One namespace. sharing: "private", "host" or "container"; shared_with: the names of those containers.

    inode: what identifies it on this host; 0 where it does not exist.
    """

    kind: str
    inode: int = 0
    sharing: str
    shared_with: list[str] = []
    wanted: str


class Process(Part, kw_only=True, frozen=True):
    """A process of a container. pid: on the host. pid_inside: in the container's own PID namespace. uid: as inside."""

    pid: int
    pid_inside: int
    parent_pid: int
    uid: int
    state: str
    threads: int
    memory_bytes: int
    command: str


class Processes(Part, kw_only=True, frozen=True):
    """The processes of a container, the first `shown` of `count`. monitor_pid: their parent, outside of it."""

    monitor_pid: int = 0
    count: int = 0
    shown: list[Process] = []


class MemoryLimit(Part, kw_only=True, frozen=True):
    """The memory. limited_by: the control group above whose limit is narrower than the container's own, if one is.

    cache_bytes: part of what is used, which the kernel gives up when it is needed. Swap limits and usage are of
    memory and swap together. failures: how often the limit was hit.
    """

    limit_bytes: int | None = None
    wanted_bytes: int | None = None
    limited_by: str = ""
    used_bytes: int | None = None
    peak_bytes: int | None = None
    cache_bytes: int | None = None
    swap_limit_bytes: int | None = None
    wanted_swap_bytes: int | None = None
    swap_used_bytes: int | None = None
    reservation_bytes: int | None = None
    swappiness: int | None = None
    failures: int = 0
    oom_kills: int = 0
    oom_kill_disabled: bool = False


class CpuLimit(Part, kw_only=True, frozen=True):
    """The processors. cpus: how many the quota allows at a time; used_cpus: how many were used when measured."""

    cpus: float | None = None
    wanted_cpus: float | None = None
    quota_us: int | None = None
    period_us: int | None = None
    host_cpus: int = 0
    used_cpus: float | None = None
    total_ns: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    shares: int | None = None
    weight: int | None = None
    allowed: str = ""
    memory_nodes: str = ""


class PidsLimit(Part, kw_only=True, frozen=True):
    """The processes and threads. refused: how often one more could not be made."""

    limit: int | None = None
    wanted: int | None = None
    limited_by: str = ""
    used: int | None = None
    refused: int = 0


class IoRate(Part, kw_only=True, frozen=True):
    """A rate of a block device. kind: rbps, wbps (bytes a second), riops, wiops (operations a second)."""

    device: str
    kind: str
    rate: int


class IoLimit(Part, kw_only=True, frozen=True):
    """The block devices."""

    weight: int | None = None
    rates: list[IoRate] = []
    read_bytes: int | None = None
    written_bytes: int | None = None


class UlimitUse(Part, kw_only=True, frozen=True):
    """A limit of setrlimit(2) of the first process. unit: bytes, seconds or "". used: by the nearest process."""

    name: str
    unit: str = ""
    soft: int | None = None
    hard: int | None = None
    wanted_soft: int | None = None
    wanted_hard: int | None = None
    was_asked: bool = False
    used: int | None = None


class LimitWrite(Part, kw_only=True, frozen=True):
    """A limit as it is written into a file of a control group."""

    controller: str
    file: str
    value: str


class Limits(Part, kw_only=True, frozen=True):
    """The limits of a container. writes: what a start writes for them."""

    cgroup: str = ""
    memory: MemoryLimit = MemoryLimit()
    cpu: CpuLimit = CpuLimit()
    pids: PidsLimit = PidsLimit()
    io: IoLimit = IoLimit()
    ulimits: list[UlimitUse] = []
    writes: list[LimitWrite] = []


class Layer(Part, kw_only=True, frozen=True):
    """A read-only layer."""

    chain_id: str
    diff_id: str
    size_bytes: int
    created_by: str = ""


class Root(Part, kw_only=True, frozen=True):
    """The root file system. layers: of the image, topmost first. volatile: not synced, since it goes with --rm."""

    layers: list[Layer] = []
    image_bytes: int = 0
    writable: str = ""
    writable_bytes: int | None = None
    read_only: bool = False
    volatile: bool = False


class Mount(Part, kw_only=True, frozen=True):
    """A mount. origin: "root", "default", "user", "hidden" (to mask a path), or "inside": made by the container itself.

    missing: it was asked for and is not at this path. made: the folder of the host that a start has to make first.
    """

    destination: str
    type: str
    source: str = ""
    options: list[str] = []
    origin: str
    missing: bool = False
    made: bool = False


class Interface(Part, kw_only=True, frozen=True):
    """A network interface and its addresses, with the length of their prefix where it is known."""

    name: str
    addresses: list[str] = []


class Network(Part, kw_only=True, frozen=True):
    """The network. mode: as asked for. interfaces: of the network namespace that the processes are in."""

    mode: str
    hostname: str = ""
    interfaces: list[Interface] = []


class Security(Part, kw_only=True, frozen=True):
    """What the first process may do. capabilities: its bounding set; added, dropped: against those of every container.

    effective: what it can use at this moment. seccomp: "default", "profile" or "unconfined"; seccomp_filters: how many
    are in force. hidden: masked and read-only paths in force; exposed: those that were asked for and are not.
    """

    privileged: bool = False
    user: str = ""
    uid: int | None = None
    gid: int | None = None
    groups: list[int] = []
    capabilities: list[str] = []
    added: list[str] = []
    dropped: list[str] = []
    wanted_capabilities: list[str] = []
    effective: list[str] = []
    seccomp: str
    seccomp_filters: int | None = None
    no_new_privileges: bool = False
    wanted_no_new_privileges: bool = False
    masked_paths: list[str] = []
    readonly_paths: list[str] = []
    exposed_paths: list[str] = []
    devices: list[str] = []
    oom_score_adj: int = 0


class Restarts(Part, kw_only=True, frozen=True):
    """The restart policy, and how often it has started the container since a user did."""

    policy: str = "no"
    most: int = 0
    count: int = 0


class Health(Part, kw_only=True, frozen=True):
    """The health check: its command, what it says, and the last result."""

    command: list[str] = []
    status: str = ""
    failing_streak: int = 0
    last_exit_code: int | None = None
    last_output: str = ""


class Oom(Part, kw_only=True, frozen=True):
    """The figures of a lack of memory when the container ended."""

    limit_bytes: int | None = None
    peak_bytes: int = 0
    kills: int = 0
    failures: int = 0


class End(Part, kw_only=True, frozen=True):
    """How a container ended. signal: the name of what ended it; sender: of that. words: the whole in sentences."""

    exit_code: int
    signal: str = ""
    sender: str = ""
    error: str = ""
    oom_killed: bool = False
    oom: Oom | None = None
    words: list[str]


class Explanation(Part, kw_only=True, frozen=True):
    """A container. notes: what could not be found out."""

    id: str
    name: str
    status: str
    image: str
    image_id: str
    command: list[str]
    created: str
    started_at: str
    finished_at: str
    pid: int = 0
    end: End | None = None
    restarts: Restarts
    health: Health | None = None
    processes: Processes = Processes()
    namespaces: list[Namespace]
    limits: Limits
    root: Root
    mounts: list[Mount]
    network: Network
    security: Security
    notes: list[str] = []


class PlannedImage(Part, kw_only=True, frozen=True):
    """The image of a run. pull: whether it would be pulled first; its contents are not known before that."""

    name: str
    id: str = ""
    present: bool = False
    pull: bool = False
    platform: str = ""
    size_bytes: int = 0


class PlannedError(Part, kw_only=True, frozen=True):
    """What would go wrong. step: image, name, configuration, namespaces, limits, mounts, user or command."""

    step: str
    message: str


class PlannedProcess(Part, kw_only=True, frozen=True):
    """The first process. path: the program that the command means, "" where that is not known."""

    args: list[str]
    path: str = ""
    environment: list[str] = []
    working_directory: str = "/"
    terminal: bool = False
    stdin: bool = False
    init: bool = False


class RunPlan(Part, kw_only=True, frozen=True):
    """What a request to run would do, in the order of the members. Nothing is run, made or changed for it.

    name: "" for a random one. config: the OCI runtime config that the runtime would be given, with "<id>" where it
    has the container's id. The sections after `process` are absent when errors keep them from being planned.
    """

    image: PlannedImage
    name: str
    warnings: list[str] = []
    errors: list[PlannedError] = []
    notes: list[str] = []
    auto_remove: bool = False
    restarts: Restarts = Restarts()
    health: Health | None = None
    log_driver: str = ""
    log_options: dict[str, str] = {}
    process: PlannedProcess | None = None
    namespaces: list[Namespace] = []
    limits: Limits | None = None
    root: Root | None = None
    mounts: list[Mount] = []
    network: Network | None = None
    security: Security | None = None
    config: msgspec.Raw = msgspec.Raw(b"null")
