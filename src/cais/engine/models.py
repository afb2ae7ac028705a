"""What the engine knows of a container, in the field names of Docker's API.

The request structs take every field that the API has, with its zero value as default, so that an option
that is not supported can be told from one that was not used (`validation`). `Record` is what is stored: it
has a version, and fields that this version does not know are ignored when it is read.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

RECORD_VERSION: Final = 1
NEVER: Final = "0001-01-01T00:00:00Z"

Empty = dict[str, Any]
"""The value of a JSON object that is used as a set: `{"80/tcp": {}}`."""


class HealthConfig(msgspec.Struct, omit_defaults=True):
    """How a container's health is tested; times in nanoseconds."""

    Test: list[str] | None = None
    Interval: int = 0
    Timeout: int = 0
    StartPeriod: int = 0
    StartInterval: int = 0
    Retries: int = 0


class ContainerConfig(msgspec.Struct, kw_only=True):
    """The part of a container's configuration that does not depend on the host."""

    Hostname: str = ""
    Domainname: str = ""
    User: str = ""
    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    ExposedPorts: dict[str, Empty] | msgspec.UnsetType = msgspec.UNSET
    Tty: bool = False
    OpenStdin: bool = False
    StdinOnce: bool = False
    Env: list[str] | None = None
    Cmd: list[str] | str | None = None
    Healthcheck: HealthConfig | msgspec.UnsetType = msgspec.UNSET
    ArgsEscaped: bool | msgspec.UnsetType = msgspec.UNSET
    Image: str = ""
    Volumes: dict[str, Empty] | None = None
    WorkingDir: str = ""
    Entrypoint: list[str] | str | None = None
    NetworkDisabled: bool | msgspec.UnsetType = msgspec.UNSET
    MacAddress: str | msgspec.UnsetType = msgspec.UNSET
    OnBuild: list[str] | None = None
    Labels: dict[str, str] | None = None
    StopSignal: str | msgspec.UnsetType = msgspec.UNSET
    StopTimeout: int | msgspec.UnsetType = msgspec.UNSET
    Shell: list[str] | msgspec.UnsetType = msgspec.UNSET

    @property
    def labels(self) -> dict[str, str]:
        """The labels, also when there are none."""
        return self.Labels or {}


class LogConfig(msgspec.Struct):
    """The logging driver of a container and its options."""

    Type: str = ""
    Config: dict[str, str] = {}


class RestartPolicy(msgspec.Struct):
    """What happens when a container ends by itself."""

    Name: str = "no"
    MaximumRetryCount: int = 0


class Ulimit(msgspec.Struct):
    """A limit of setrlimit(2), by its short name; -1 is "no limit"."""

    Name: str = ""
    Soft: int = 0
    Hard: int = 0


class DeviceMapping(msgspec.Struct):
    """A device of the host that a container may use."""

    PathOnHost: str = ""
    PathInContainer: str = ""
    CgroupPermissions: str = ""


class WeightDevice(msgspec.Struct):
    """The share of a block device's time."""

    Path: str = ""
    Weight: int = 0

    @property
    def value(self) -> int:
        """The weight."""
        return self.Weight


class ThrottleDevice(msgspec.Struct):
    """A rate on a block device, in bytes or operations a second."""

    Path: str = ""
    Rate: int = 0

    @property
    def value(self) -> int:
        """The rate."""
        return self.Rate


class HostConfig(msgspec.Struct, kw_only=True):
    """The part of a container's configuration that depends on the host."""

    Binds: list[str] | None = None
    ContainerIDFile: str = ""
    log_config: LogConfig = msgspec.field(default_factory=LogConfig, name="LogConfig")
    NetworkMode: str = ""
    PortBindings: dict[str, list[dict[str, str]]] | None = None
    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy, name="RestartPolicy")
    AutoRemove: bool = False
    VolumeDriver: str = ""
    VolumesFrom: list[str] | None = None
    Mounts: list[Empty] | msgspec.UnsetType = msgspec.UNSET
    ConsoleSize: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    Annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    CapAdd: list[str] | str | None = None
    CapDrop: list[str] | str | None = None
    CgroupnsMode: str = ""
    Dns: list[str] | None = None
    DnsOptions: list[str] | None = None
    DnsSearch: list[str] | None = None
    ExtraHosts: list[str] | None = None
    GroupAdd: list[str] | None = None
    IpcMode: str = ""
    Cgroup: str = ""
    Links: list[str] | None = None
    OomScoreAdj: int = 0
    PidMode: str = ""
    Privileged: bool = False
    PublishAllPorts: bool = False
    ReadonlyRootfs: bool = False
    SecurityOpt: list[str] | None = None
    StorageOpt: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    Tmpfs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    UTSMode: str = ""
    UsernsMode: str = ""
    ShmSize: int = 0
    Sysctls: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    Runtime: str = ""
    Isolation: str = ""
    CpuShares: int = 0
    Memory: int = 0
    NanoCpus: int = 0
    CgroupParent: str = ""
    BlkioWeight: int = 0
    BlkioWeightDevice: list[WeightDevice] | None = None
    BlkioDeviceReadBps: list[ThrottleDevice] | None = None
    BlkioDeviceWriteBps: list[ThrottleDevice] | None = None
    BlkioDeviceReadIOps: list[ThrottleDevice] | None = None
    BlkioDeviceWriteIOps: list[ThrottleDevice] | None = None
    CpuPeriod: int = 0
    CpuQuota: int = 0
    CpuRealtimePeriod: int = 0
    CpuRealtimeRuntime: int = 0
    CpusetCpus: str = ""
    CpusetMems: str = ""
    Devices: list[DeviceMapping] | None = None
    DeviceCgroupRules: list[str] | None = None
    DeviceRequests: list[Empty] | None = None
    KernelMemory: int | msgspec.UnsetType = msgspec.UNSET
    KernelMemoryTCP: int | msgspec.UnsetType = msgspec.UNSET
    MemoryReservation: int = 0
    MemorySwap: int = 0
    MemorySwappiness: int | None = None
    OomKillDisable: bool | None = None
    PidsLimit: int | None = None
    Ulimits: list[Ulimit] | None = None
    CpuCount: int = 0
    CpuPercent: int = 0
    IOMaximumIOps: int = 0
    IOMaximumBandwidth: int = 0
    Init: bool | msgspec.UnsetType = msgspec.UNSET
    MaskedPaths: list[str] | None = None
    ReadonlyPaths: list[str] | None = None


class UpdateRequest(HostConfig, kw_only=True):
    """The body of a request to update a container; of a configuration only what an update may change counts."""

    restart_policy: RestartPolicy = msgspec.field(default_factory=lambda: RestartPolicy(""), name="RestartPolicy")


class EndpointSettings(msgspec.Struct, kw_only=True):
    """How a container takes part in one network; of a request only the first six fields count."""

    IPAMConfig: Empty | None = None
    Links: list[str] | None = None
    Aliases: list[str] | None = None
    MacAddress: str = ""
    DriverOpts: dict[str, str] | None = None
    GwPriority: int = 0
    NetworkID: str = ""
    EndpointID: str = ""
    Gateway: str = ""
    IPAddress: str = ""
    IPPrefixLen: int = 0
    IPv6Gateway: str = ""
    GlobalIPv6Address: str = ""
    GlobalIPv6PrefixLen: int = 0
    DNSNames: list[str] | None = None


class NetworkingConfig(msgspec.Struct):
    """The networks that a new container joins."""

    EndpointsConfig: dict[str, EndpointSettings] | None = None


class CreateRequest(ContainerConfig, kw_only=True):
    """The body of a request to create a container."""

    host_config: HostConfig = msgspec.field(default_factory=HostConfig, name="HostConfig")
    networking: NetworkingConfig = msgspec.field(default_factory=NetworkingConfig, name="NetworkingConfig")

    def config(self) -> ContainerConfig:
        """The part without the host's, as a value of its own."""
        return ContainerConfig(**{name: getattr(self, name) for name in ContainerConfig.__struct_fields__})


class MountOptions(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What else is known of a mount, and not shown by inspect.

    anonymous: a volume that nobody has named, and that goes with its container. copies: it is filled from the image.
    labels, driver_options: what the volume is made with. subpath: the part of the volume or image that is mounted.
    creates: a missing source is made. recursive: mounts below the source come with it. read_only_below: whether a
    read-only mount makes these read-only too, where it can. tmpfs: the options of a tmpfs. image_id: whose files.
    """

    anonymous: bool = False
    copies: bool = True
    labels: dict[str, str] | None = None
    driver_options: dict[str, str] | None = None
    subpath: str = ""
    creates: bool = True
    recursive: bool = True
    read_only_below: bool = True
    tmpfs: list[str] = []
    image_id: str = ""


class MountPoint(msgspec.Struct, omit_defaults=True):
    """One mount of a container, as inspect shows it, but for the options."""

    Type: str
    Source: str
    Destination: str
    Mode: str = msgspec.field(default="")
    RW: bool = True
    Propagation: str = ""
    Name: str = ""
    Driver: str = ""
    options: MountOptions = MountOptions()

    def to_api(self) -> Empty:
        """With every field that the API shows, whatever its value; a name and a driver where there is one."""
        names = ("Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation")
        shown = {name: getattr(self, name) for name in names}
        return {name: value for name, value in shown.items() if value or name not in {"Name", "Driver"}}


class Status(StrEnum):
    """The states of a container."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    DEAD = "dead"


class HealthStatus(StrEnum):
    """What is known of a container's health."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class HealthResult(msgspec.Struct, kw_only=True, frozen=True):
    """One health check; the exit code is -1 when it could not be run, or not to its end."""

    start_ns: int
    end_ns: int
    exit_code: int
    output: str


class Health(msgspec.Struct, kw_only=True):
    """The health of a container, and the last few checks, oldest first."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: list[HealthResult] = []


class Asker(StrEnum):
    """Why this engine sends a signal to a container."""

    STOP = "stop"
    KILL = "kill"
    RESTART = "restart"
    REMOVE = "rm"
    HEALTH = "health"


class SentSignal(msgspec.Struct, kw_only=True, frozen=True):
    """A signal that this engine sent to a container. `overdue`: it had not ended in the time it was given."""

    number: int
    asker: Asker
    time_ns: int
    overdue: bool = False


class OomRecord(msgspec.Struct, kw_only=True, frozen=True):
    """The figures of a container that ran out of memory, when it ended; the limit is None where it had none."""

    limit_bytes: int | None
    peak_bytes: int
    kills: int
    failures: int


class State(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where a container is in its life; times in nanoseconds since 1970, 0 is "never".

    `manually_stopped`: the last thing a user did was to end it, so `unless-stopped` leaves it alone.
    `sent`: the last signal that went to it. `signal`: the one that ended it. `start_failure`: why its last start
    failed, one of `cais.runtime.errors.Reason`.
    """

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at_ns: int = 0
    finished_at_ns: int = 0
    manually_stopped: bool = False
    sent: SentSignal | None = None
    signal: int = 0
    oom: OomRecord | None = None
    start_failure: str = ""
    health: Health | None = None

    @property
    def running(self) -> bool:
        """True while the container has a process."""
        return self.status in {Status.RUNNING, Status.PAUSED}

    @property
    def active(self) -> bool:
        """True while it has a process, or waits to have one again: what Docker calls running."""
        return self.running or self.status is Status.RESTARTING


class Attached(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a running container has on one network. Addresses are without the length of a prefix.

    link: the name of its link. host_link: that of the other end, on the host; none for macvlan and ipvlan.
    bridge: what that is a port of; where it is empty, the network's first bridge.
    """

    endpoint_id: str
    link: str = ""
    host_link: str = ""
    bridge: str = ""
    mac: str = ""
    ipv4: str = ""
    ipv6: str = ""


class Endpoint(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a container takes part in a network: as it was asked for, and, while it runs, what it has there."""

    network_id: str = ""
    wanted: EndpointSettings = msgspec.field(default_factory=EndpointSettings)
    live: Attached | None = None


class PublishedPort(msgspec.Struct, kw_only=True, frozen=True):
    """A port of the host that belongs to a running container."""

    protocol: str
    port: int
    host: str
    host_port: int


class Record(msgspec.Struct, kw_only=True):
    """Everything that is stored of a container.

    endpoints: by the name of the network. published: the ports of the host that it has now. sandbox_id: of its network
    namespace, while it runs.
    """

    version: int = RECORD_VERSION
    id: str
    name: str
    created_ns: int
    image_id: str
    path: str
    args: list[str]
    config: ContainerConfig
    host_config: HostConfig
    mounts: list[MountPoint] = []
    state: State = msgspec.field(default_factory=State)
    restart_count: int = 0
    endpoints: dict[str, Endpoint] = {}
    published: list[PublishedPort] = []
    sandbox_id: str = ""


class ExecConfig(msgspec.Struct, kw_only=True):
    """The body of a request to create an exec."""

    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    ConsoleSize: list[int] | None = None
    DetachKeys: str = ""
    Tty: bool = False
    Env: list[str] | None = None
    Cmd: list[str] | str | None = None
    Privileged: bool = False
    User: str = ""
    WorkingDir: str = ""
    Detach: bool = False


_record_decoder: Final = msgspec.json.Decoder(Record)
_record_encoder: Final = msgspec.json.Encoder()


def encode_record(record: Record) -> bytes:
    """A record as it is stored."""
    return _record_encoder.encode(record)


def decode_record(stored: bytes) -> Record:
    """A record as it was stored, by this version or another; msgspec.MsgspecError when it is no record."""
    return _record_decoder.decode(stored)


def strings(value: list[str] | str | None) -> list[str]:
    """A list that the API also takes as one string, or not at all."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def timestamp(time_ns: int) -> str:
    """Nanoseconds since 1970 as Docker writes a time: RFC 3339 in UTC, no trailing zeros; 0 is the year 1."""
    if time_ns == 0:
        return NEVER
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    return f"{text}{fraction}Z"
