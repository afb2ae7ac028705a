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


class NetworkNames(TypedDict, total=False):
    Networks: dict[str, object] | None


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


class ContainerDetail(TypedDict):
    Id: str
    State: ContainerState
    Config: ContainerDetailConfig
    HostConfig: ContainerDetailHostConfig


class ImageSummary(TypedDict, total=False):
    Id: str
    RepoTags: list[str] | None
    RepoDigests: list[str] | None
    Created: int
    Size: int
    SharedSize: int
    Containers: int


class ImageRemoval(TypedDict, total=False):
    Untagged: str
    Deleted: str


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
