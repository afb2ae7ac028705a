"""The OCI runtime config, read into frozen data.

https://github.com/opencontainers/runtime-spec/blob/main/config.md and config-linux.md. What the runtime does not
know is refused where it would loosen or tighten the container, and ignored where it only describes.
One extension: `process.user.username` may hold any of Docker's forms of a user, and `process.user.additionalGroups`
names or numbers of groups; both are looked up in the container. Another: `mounts[].namespace` is the path of a mount
namespace, in which the source of a bind mount, a tmpfs, is found (the /dev/shm of another container); `subpath` a path
inside the source that no link leads out of; `layers` folders that are merged, topmost first, to be the source.
"""

import json
import os
from dataclasses import dataclass, replace
from typing import Any

from cais.linux import namespaces as ns
from cais.linux.credentials import CAPABILITY_NUMBERS
from cais.runtime.errors import Reason, StartFailed

NAMESPACE_FLAGS = {
    "pid": ns.CLONE_NEWPID,
    "network": ns.CLONE_NEWNET,
    "mount": ns.CLONE_NEWNS,
    "ipc": ns.CLONE_NEWIPC,
    "uts": ns.CLONE_NEWUTS,
    "cgroup": ns.CLONE_NEWCGROUP,
}
CAPABILITY_SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A resource limit. type: the kernel's name, RLIMIT_NOFILE for one; -1 is no limit."""

    type: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process to run. user: Docker's form, resolved in the container; capabilities: numbers by set."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    terminal: bool
    user: str
    additional_groups: tuple[str, ...]
    umask: int
    capabilities: dict[str, frozenset[int]]
    rlimits: tuple[Rlimit, ...]
    no_new_privileges: bool
    oom_score_adj: int | None


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of the spec, as it stands there. namespace: the mount namespace that the source is in, if another.

    subpath: what of the source is mounted. layers: what a bind mount shows in place of a source.
    """

    destination: str
    type: str
    source: str
    options: tuple[str, ...]
    namespace: str = ""
    subpath: str = ""
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A device node to make. type: c, b or p."""

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace of the container: a new one, or the one at `path`."""

    type: str
    path: str

    @property
    def flag(self) -> int:
        """The CLONE_NEW… flag of this type."""
        return NAMESPACE_FLAGS[self.type]


@dataclass(frozen=True, slots=True)
class Spec:
    """An OCI runtime config."""

    process: Process
    hostname: str
    domainname: str
    readonly_root: bool
    mounts: tuple[Mount, ...]
    namespaces: tuple[Namespace, ...]
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    devices: tuple[Device, ...]
    sysctl: dict[str, str]
    cgroups_path: str
    resources: dict[str, Any]

    def new_namespaces(self) -> int:
        """The flags of the namespaces that the container has of its own."""
        return sum(item.flag for item in self.namespaces if not item.path)

    def has_new(self, kind: str) -> bool:
        """Whether the container has a namespace of its own of this type."""
        return any(item.type == kind and not item.path for item in self.namespaces)


def load(bundle: str) -> Spec:
    """Read `bundle`/config.json.

    Raises: StartFailed (invalid) that names the member at fault.
    """
    try:
        with open(os.path.join(bundle, "config.json"), "rb") as file:
            raw = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid("the runtime config", error) from error
    return parse(raw)


def parse(raw: dict[str, Any]) -> Spec:
    """The spec of a JSON object. Raises: StartFailed (invalid)."""
    try:
        linux = raw.get("linux") or {}
        return Spec(
            process=parse_process(raw["process"]),
            hostname=raw.get("hostname", ""),
            domainname=raw.get("domainname", ""),
            readonly_root=bool((raw.get("root") or {}).get("readonly", False)),
            mounts=tuple(_mount(item) for item in raw.get("mounts") or ()),
            namespaces=_namespaces(linux.get("namespaces") or []),
            masked_paths=tuple(linux.get("maskedPaths") or ()),
            readonly_paths=tuple(linux.get("readonlyPaths") or ()),
            devices=tuple(_device(item) for item in linux.get("devices") or ()),
            sysctl=dict(linux.get("sysctl") or {}),
            cgroups_path=linux.get("cgroupsPath", ""),
            resources=dict(linux.get("resources") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid("the runtime config", error) from error


def parse_mounts(raw: list[dict[str, Any]]) -> tuple[Mount, ...]:
    """The mounts of a config. Raises: StartFailed (invalid)."""
    try:
        return tuple(map(_mount, raw))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid("the mounts", error) from error


def parse_process(raw: dict[str, Any]) -> Process:
    """The process of a JSON object, of a config or of an exec. Raises: StartFailed (invalid)."""
    try:
        return _process(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid("the process", error) from error


def with_command(process: Process, raw: dict[str, Any]) -> Process:
    """A process like another, with the `args` and the `env` of a JSON object. Raises: StartFailed (invalid)."""
    try:
        return _checked(replace(process, args=_arguments(raw), env=tuple(raw.get("env") or ())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid("the process", error) from error


def _process(raw: dict[str, Any]) -> Process:
    user = raw.get("user") or {}
    name = user.get("username")
    groups = (*map(str, user.get("additionalGids") or ()), *(user.get("additionalGroups") or ()))
    process = Process(
        args=_arguments(raw),
        env=tuple(raw.get("env") or ()),
        cwd=raw["cwd"],
        terminal=bool(raw.get("terminal", False)),
        user=name if name is not None else f"{user.get('uid', 0)}:{user.get('gid', 0)}",
        additional_groups=groups,
        umask=user.get("umask", 0o022),
        capabilities={kind: _capabilities(raw, kind) for kind in CAPABILITY_SETS},
        rlimits=tuple(Rlimit(item["type"], item["soft"], item["hard"]) for item in raw.get("rlimits") or ()),
        no_new_privileges=bool(raw.get("noNewPrivileges", False)),
        oom_score_adj=raw.get("oomScoreAdj"),
    )
    return _checked(process)


def _arguments(raw: dict[str, Any]) -> tuple[str, ...]:
    if isinstance(raw["args"], str) or not raw["args"]:
        raise ValueError("process.args is no list of arguments")
    return tuple(raw["args"])


def _checked(process: Process) -> Process:
    for text in (*process.args, *process.env, process.cwd):
        if b"\0" in os.fsencode(text):
            raise ValueError("an argument, a variable or the working folder contains a null byte")
    return process


def _capabilities(raw: dict[str, Any], kind: str) -> frozenset[int]:
    return frozenset(CAPABILITY_NUMBERS[name] for name in (raw.get("capabilities") or {}).get(kind) or ())


def _mount(raw: dict[str, Any]) -> Mount:
    options = tuple(raw.get("options") or ())
    kind = raw.get("type") or ("bind" if {"bind", "rbind"} & set(options) else "")
    return Mount(
        raw["destination"], kind, raw.get("source", ""), options, raw.get("namespace", ""), raw.get("subpath", ""),
        tuple(raw.get("layers") or ()),
    )  # fmt: skip


def _namespaces(raw: list[dict[str, Any]]) -> tuple[Namespace, ...]:
    unknown = [item["type"] for item in raw if item["type"] not in NAMESPACE_FLAGS]
    if unknown:
        raise ValueError(f"linux.namespaces: {unknown[0]!r} is not supported")
    if len({item["type"] for item in raw}) < len(raw):
        raise ValueError("linux.namespaces: a type is there twice")
    return tuple(Namespace(item["type"], item.get("path", "")) for item in raw)


def _device(raw: dict[str, Any]) -> Device:
    if raw["type"] not in ("c", "b", "p", "u"):
        raise ValueError(f"linux.devices: {raw['type']!r} is no type of a device")
    return Device(
        raw["path"], raw["type"], raw.get("major", 0), raw.get("minor", 0),
        raw.get("fileMode", 0o666), raw.get("uid", 0), raw.get("gid", 0),
    )  # fmt: skip


def _invalid(what: str, error: Exception) -> StartFailed:
    text = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
    return StartFailed(Reason.INVALID, f"{what} is not valid: {text}")
