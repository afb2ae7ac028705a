"""What the library's calls give back: frozen values. Where the API says more of a thing, all it says is in `raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal

Json = Mapping[str, Any]

_NEVER: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Result:
    """A command that has ended. `exit_code` is its own, or 128 and the number of the signal that ended it."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def stdout_text(self) -> str:
        """The standard output as text: UTF-8, with U+FFFD for what is none."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def stderr_text(self) -> str:
        """The standard error as text."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of output, as long as it came. A container with a terminal has standard output alone."""

    stream: Literal["stdout", "stderr"]
    data: bytes

    @property
    def text(self) -> str:
        """As text; a character may be divided between two pieces."""
        return self.data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A container, looked at closely. `status` is created, running, paused, restarting or exited."""

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...]
    status: str
    pid: int
    exit_code: int
    error: str
    oom_killed: bool
    health: str | None
    restart_count: int
    env: Mapping[str, str]
    labels: Mapping[str, str]
    created: datetime
    started: datetime | None
    finished: datetime | None
    raw: Json = field(repr=False, compare=False)

    @property
    def is_running(self) -> bool:
        """Whether it has a process, paused or not."""
        return self.status in {"running", "paused"}


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """A container in a list. `description` is what `ps` says of it: "Up 3 minutes"."""

    id: str
    name: str
    image: str
    status: str
    description: str
    labels: Mapping[str, str]
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `tags` are its names, NAME:TAG."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    labels: Mapping[str, str]
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Stats:
    """What a container uses at a moment: 0 of everything when it does not run.

    `cpu_percent` is of one processor, over the last second. `memory_bytes` is without files that are only cached.
    """

    cpu_percent: float
    cpu_seconds: float
    memory_bytes: int
    memory_limit_bytes: int
    processes: int
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `action` to the object `id` of a type ("container", "image")."""

    type: str
    action: str
    id: str
    attributes: Mapping[str, str]
    time_ns: int


@dataclass(frozen=True, slots=True)
class Change:
    """A path of a container that is not as in its image."""

    kind: Literal["modified", "added", "deleted"]
    path: str


@dataclass(frozen=True, slots=True)
class Version:
    """The versions of an engine and of what it runs on."""

    version: str
    api_version: str
    kernel: str
    architecture: str
    raw: Json = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine and how much it has."""

    id: str
    name: str
    data_root: str
    containers: int
    containers_running: int
    images: int
    processors: int
    memory_bytes: int
    raw: Json = field(repr=False, compare=False)


def container_info(raw: Json) -> ContainerInfo:
    """From the API's ContainerInspectResponse."""
    state, config = raw["State"], raw["Config"]
    pairs = (pair.partition("=") for pair in config.get("Env") or ())
    return ContainerInfo(
        id=raw["Id"],
        name=raw["Name"].removeprefix("/"),
        image=config["Image"],
        image_id=raw["Image"],
        command=(raw["Path"], *raw["Args"]),
        status=state["Status"],
        pid=state["Pid"],
        exit_code=state["ExitCode"],
        error=state["Error"],
        oom_killed=state["OOMKilled"],
        health=state.get("Health", {}).get("Status"),
        restart_count=raw["RestartCount"],
        env=MappingProxyType({name: value for name, _, value in pairs}),
        labels=_labels(config),
        created=_moment(raw["Created"]) or datetime.min,
        started=_moment(state["StartedAt"]),
        finished=_moment(state["FinishedAt"]),
        raw=raw,
    )


def container_summary(raw: Json) -> ContainerSummary:
    """From the API's ContainerSummary."""
    return ContainerSummary(
        id=raw["Id"],
        name=raw["Names"][0].removeprefix("/") if raw["Names"] else "",
        image=raw["Image"],
        status=raw["State"],
        description=raw["Status"],
        labels=_labels(raw),
        raw=raw,
    )


def image(raw: Json) -> Image:
    """From the API's ImageInspect or ImageSummary."""
    return Image(
        id=raw["Id"],
        tags=tuple(raw.get("RepoTags") or ()),
        digests=tuple(raw.get("RepoDigests") or ()),
        size_bytes=raw["Size"],
        labels=_labels(raw.get("Config") or raw),
        raw=raw,
    )


def stats(raw: Json) -> Stats:
    """From the API's ContainerStatsResponse: `docker stats` reckons the same."""
    now, before = raw.get("cpu_stats", {}), raw.get("precpu_stats", {})
    used_ns = now.get("cpu_usage", {}).get("total_usage", 0)
    own_ns = used_ns - before.get("cpu_usage", {}).get("total_usage", 0)
    host_ns = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    memory = raw.get("memory_stats", {})
    details = memory.get("stats") or {}
    cache_bytes = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Stats(
        cpu_percent=own_ns / host_ns * now.get("online_cpus", 1) * 100 if own_ns > 0 and host_ns > 0 else 0.0,
        cpu_seconds=used_ns / 1e9,
        memory_bytes=max(0, memory.get("usage", 0) - cache_bytes),
        memory_limit_bytes=memory.get("limit", 0),
        processes=raw.get("pids_stats", {}).get("current", 0),
        raw=raw,
    )


def event(raw: Json) -> Event:
    """From the API's EventMessage."""
    actor = raw["Actor"]
    return Event(
        type=raw["Type"],
        action=raw["Action"],
        id=actor["ID"],
        attributes=MappingProxyType(actor.get("Attributes") or {}),
        time_ns=raw["timeNano"],
    )


def change(raw: Json) -> Change:
    """From the API's FilesystemChange."""
    kinds: tuple[Literal["modified"], Literal["added"], Literal["deleted"]] = ("modified", "added", "deleted")
    return Change(kind=kinds[raw["Kind"]], path=raw["Path"])


def version(raw: Json) -> Version:
    """From the API's SystemVersion."""
    return Version(
        version=raw["Version"],
        api_version=raw["ApiVersion"],
        kernel=raw["KernelVersion"],
        architecture=raw["Arch"],
        raw=raw,
    )


def engine_info(raw: Json) -> EngineInfo:
    """From the API's SystemInfo."""
    return EngineInfo(
        id=raw["ID"],
        name=raw["Name"],
        data_root=raw["DockerRootDir"],
        containers=raw["Containers"],
        containers_running=raw["ContainersRunning"],
        images=raw["Images"],
        processors=raw["NCPU"],
        memory_bytes=raw["MemTotal"],
        raw=raw,
    )


def _labels(raw: Json) -> Mapping[str, str]:
    return MappingProxyType(raw.get("Labels") or {})


def _moment(text: str) -> datetime | None:
    """A moment of the API, which is exact to the nanosecond; None for the one that means never."""
    return None if text == _NEVER else datetime.fromisoformat(text)
