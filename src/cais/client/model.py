"""The JSON of the Engine API, as far as the client writes and reads it (Engine API v1.51).

These are types alone: they are imported where types are checked and nowhere at run time.
"""

from typing import Any, TypedDict


class ContainerConfig(TypedDict, total=False):
    """What a container is created from."""

    Hostname: str
    Domainname: str
    User: str
    AttachStdin: bool
    AttachStdout: bool
    AttachStderr: bool
    ExposedPorts: dict[str, dict[str, str]] | None
    Tty: bool
    OpenStdin: bool
    StdinOnce: bool
    Env: list[str] | None
    Cmd: list[str] | None
    Healthcheck: dict[str, object]
    Image: str
    Volumes: dict[str, dict[str, str]] | None
    WorkingDir: str
    Entrypoint: list[str] | None
    Labels: dict[str, str]
    StopSignal: str
    StopTimeout: int
    MacAddress: str
    HostConfig: dict[str, Any]
    NetworkingConfig: dict[str, Any]


class Created(TypedDict):
    Id: str
    Warnings: list[str] | None


class WaitError(TypedDict):
    Message: str


class WaitResult(TypedDict, total=False):
    StatusCode: int
    Error: WaitError | None


UpdateConfig = dict[str, Any]
"""The limits (of HostConfig) and the RestartPolicy that a container is to have from now on."""


class Updated(TypedDict, total=False):
    Warnings: list[str] | None


class PathStat(TypedDict):
    """What a path of a container is; the mode is Go's os.FileMode."""

    name: str
    size: int
    mode: int
    mtime: str
    linkTarget: str


class Change(TypedDict):
    """A path that was modified (0), added (1) or deleted (2)."""

    Path: str
    Kind: int


class Pruned(TypedDict, total=False):
    """What was removed, of whichever kind, and the space that this gave back."""

    ContainersDeleted: list[str] | None
    NetworksDeleted: list[str] | None
    VolumesDeleted: list[str] | None
    ImagesDeleted: list["ImageRemoval"] | None
    CachesDeleted: list[str] | None
    SpaceReclaimed: int


class CpuUsage(TypedDict, total=False):
    total_usage: int
    percpu_usage: list[int] | None


class CpuStats(TypedDict, total=False):
    cpu_usage: CpuUsage
    system_cpu_usage: int
    online_cpus: int


class MemoryStats(TypedDict, total=False):
    usage: int
    limit: int
    stats: dict[str, int] | None


class BlockEntry(TypedDict, total=False):
    op: str
    value: int


class BlockStats(TypedDict, total=False):
    io_service_bytes_recursive: list[BlockEntry] | None


class InterfaceStats(TypedDict, total=False):
    rx_bytes: int
    tx_bytes: int


class PidsStats(TypedDict, total=False):
    current: int


class Stats(TypedDict, total=False):
    """One reading of what a container uses. `precpu_stats` is that of the reading before."""

    id: str
    name: str
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    blkio_stats: BlockStats
    networks: dict[str, InterfaceStats] | None
    pids_stats: PidsStats


class ExecConfig(TypedDict, total=False):
    AttachStdin: bool
    AttachStdout: bool
    AttachStderr: bool
    ConsoleSize: list[int]
    DetachKeys: str
    Tty: bool
    Env: list[str]
    Cmd: list[str]
    Privileged: bool
    User: str
    WorkingDir: str


class ExecDetail(TypedDict, total=False):
    ID: str
    Running: bool
    ExitCode: int | None


class Processes(TypedDict):
    Titles: list[str]
    Processes: list[list[str]] | None


class Port(TypedDict, total=False):
    IP: str
    PrivatePort: int
    PublicPort: int
    Type: str


class Mount(TypedDict, total=False):
    Type: str
    Name: str
    Source: str
    Destination: str
    Driver: str


class IpamConfig(TypedDict, total=False):
    """A range of addresses of a network."""

    Subnet: str
    IPRange: str
    Gateway: str
    AuxiliaryAddresses: dict[str, str] | None


class Ipam(TypedDict, total=False):
    Driver: str
    Options: dict[str, str] | None
    Config: list[IpamConfig] | None


NetworkConfig = dict[str, Any]
"""What a network is created from."""


class NetworkSummary(TypedDict, total=False):
    Name: str
    Id: str
    Created: str
    Scope: str
    Driver: str
    EnableIPv4: bool
    EnableIPv6: bool
    IPAM: Ipam | None
    Internal: bool
    Labels: dict[str, str] | None


Endpoint = dict[str, Any]
"""How a container is to take part in a network."""


class EndpointDetail(TypedDict, total=False):
    """How a container takes part in a network."""

    NetworkID: str
    IPAddress: str
    GlobalIPv6Address: str
    MacAddress: str


class NetworkNames(TypedDict, total=False):
    Networks: dict[str, EndpointDetail | None] | None


class SummaryHostConfig(TypedDict, total=False):
    NetworkMode: str


class ContainerSummary(TypedDict, total=False):
    Id: str
    Names: list[str]
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[Port] | None
    SizeRw: int
    SizeRootFs: int
    Labels: dict[str, str] | None
    State: str
    Status: str
    HostConfig: SummaryHostConfig | None
    NetworkSettings: NetworkNames | None
    Mounts: list[Mount] | None


class ContainerState(TypedDict, total=False):
    Running: bool
    Paused: bool
    Restarting: bool
    ExitCode: int


class ContainerDetailConfig(TypedDict, total=False):
    Tty: bool
    OpenStdin: bool


class ContainerDetailHostConfig(TypedDict, total=False):
    AutoRemove: bool


class PortBinding(TypedDict, total=False):
    HostIp: str
    HostPort: str


class ContainerDetailNetwork(TypedDict, total=False):
    Ports: dict[str, list[PortBinding] | None] | None


class ContainerDetail(TypedDict):
    Id: str
    State: ContainerState
    Config: ContainerDetailConfig
    HostConfig: ContainerDetailHostConfig
    NetworkSettings: ContainerDetailNetwork


class OciPlatform(TypedDict, total=False):
    os: str
    architecture: str
    variant: str


class ManifestSize(TypedDict, total=False):
    Content: int
    Total: int


class ManifestImage(TypedDict, total=False):
    Platform: OciPlatform
    Containers: list[str] | None


class ManifestSummary(TypedDict, total=False):
    """One platform of an image. Its kind is "image", "attestation" or "unknown"."""

    ID: str
    Kind: str
    Available: bool
    Size: ManifestSize
    ImageData: ManifestImage | None


class ImageSummary(TypedDict, total=False):
    Id: str
    RepoTags: list[str] | None
    RepoDigests: list[str] | None
    Created: int
    Size: int
    SharedSize: int
    Containers: int
    Manifests: list[ManifestSummary] | None


class HistoryStep(TypedDict, total=False):
    Id: str
    Created: int
    CreatedBy: str
    Size: int
    Comment: str


class DistributionAnswer(TypedDict, total=False):
    Descriptor: dict[str, Any]
    Platforms: list[dict[str, Any]] | None


class LoginAnswer(TypedDict, total=False):
    Status: str
    IdentityToken: str


class SearchResult(TypedDict, total=False):
    name: str
    description: str
    star_count: int
    is_official: bool


class ChangedPath(TypedDict):
    """A path of a layer: "added" or "changed", with all its bytes."""

    Path: str
    Kind: str
    Size: int


class LayerStep(TypedDict, total=False):
    """A step of an image's history. What is behind `Comment` is there where the step has made a layer."""

    Created: str
    CreatedBy: str
    Comment: str
    ChainId: str
    DiffId: str
    Size: int
    Added: int
    Changed: int
    Removed: int
    Largest: list[ChangedPath]
    Gone: list[str]
    Complete: bool
    SharedWith: list[str]


class ImageLayers(TypedDict, total=False):
    """The steps of an image, the oldest first."""

    Id: str
    RepoTags: list[str]
    Size: int
    Steps: list[LayerStep]


class ImageRemoval(TypedDict, total=False):
    Untagged: str
    Deleted: str


class VolumeUsage(TypedDict, total=False):
    """-1: not known."""

    Size: int
    RefCount: int


class VolumeDetail(TypedDict, total=False):
    Name: str
    Driver: str
    Mountpoint: str
    Scope: str
    Labels: dict[str, str] | None
    UsageData: VolumeUsage | None


class BuildCacheRecord(TypedDict, total=False):
    ID: str
    Parents: list[str] | None
    Type: str
    Description: str
    InUse: bool
    Shared: bool
    Size: int
    CreatedAt: str
    LastUsedAt: str | None
    UsageCount: int


class DiskUsage(TypedDict, total=False):
    LayersSize: int
    Images: list[ImageSummary] | None
    Containers: list[ContainerSummary] | None
    Volumes: list[VolumeDetail] | None
    BuildCache: list[BuildCacheRecord] | None


class ContextOffer(TypedDict):
    Id: str
    Missing: list[int] | None


class ProgressDetail(TypedDict, total=False):
    current: int
    total: int
    start: int
    units: str
    hidecounts: bool


class ProgressError(TypedDict, total=False):
    code: int
    message: str


class ProgressMessage(TypedDict, total=False):
    stream: str
    status: str
    id: str
    progress: str
    progressDetail: ProgressDetail | None
    error: str
    errorDetail: ProgressError | None
    aux: object
    build: object  # an event of a build: build_steps.py of the command


class EventActor(TypedDict, total=False):
    ID: str
    Attributes: dict[str, str] | None


class Event(TypedDict, total=False):
    Type: str
    Action: str
    Actor: EventActor
    scope: str
    time: int
    timeNano: int


class VersionPlatform(TypedDict, total=False):
    Name: str


class VersionComponent(TypedDict, total=False):
    Name: str
    Version: str
    Details: dict[str, str] | None


class Version(TypedDict, total=False):
    Platform: VersionPlatform
    Components: list[VersionComponent] | None
    Version: str
    ApiVersion: str
    MinAPIVersion: str
    GitCommit: str
    GoVersion: str
    Os: str
    Arch: str
    KernelVersion: str
    Experimental: bool
    BuildTime: str


Info = dict[str, Any]
