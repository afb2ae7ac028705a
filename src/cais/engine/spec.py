"""A container's configuration as an OCI runtime config.

https://github.com/opencontainers/runtime-spec/blob/main/config.md. The defaults are those of Docker: its
mounts, namespaces, capabilities and hidden paths. Two members go beyond OCI: `process.user.username` holds any of
Docker's forms of a user, and `process.user.additionalGroups` names of groups; both are looked up in the container.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from cais.engine import capabilities
from cais.engine.host import Host
from cais.engine.models import ContainerConfig, DeviceMapping, ExecConfig, HostConfig, Record, strings
from cais.engine.security import parse_security_options
from cais.errors import InvalidArgument
from cais.linux.credentials import CAPABILITY_NAMES

Json = dict[str, Any]

OCI_VERSION: Final = "1.2.0"
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CPU_PERIOD_US: Final = 100_000

_PROC: Final = ("nosuid", "noexec", "nodev")
_SKIPPED_DEVICE_FOLDERS: Final = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
_KEPT_WRITABLE: Final = frozenset({"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"})  # noqa: S108
_PRIVATE_NETWORK_SYSCTLS: Final = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}
_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Joined:
    """What a container shares with others.

    `namespaces`: paths by the OCI name. `etc`: the folder of the container whose network files it shows.
    `shm`: the mount namespace whose /dev/shm it shares. `images`: the layers of images that are mounted, by their ids.
    """

    namespaces: dict[str, str] = field(default_factory=dict)
    etc: Path | None = None
    shm: str = ""
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)


ALONE: Final = Joined()


@dataclass(frozen=True, slots=True)
class EtcFiles:
    """The files of the host that a container sees at /etc/hosts, /etc/hostname and /etc/resolv.conf."""

    hosts: str
    hostname: str
    resolv_conf: str


def build(
    record: Record, host: Host, etc: EtcFiles, cgroup_parent: str, joined: Joined = ALONE, *, linked: Iterable[str] = ()
) -> Json:
    """The runtime config of a container; `encode` makes its config.json of it.

    `joined` is what it shares with other containers, `linked` the variables of its links.
    Raises InvalidArgument for a device that is none.
    """
    config, hc = record.config, record.host_config
    document: Json = {
        "ociVersion": OCI_VERSION,
        "process": process(record, host, linked),
        "root": {"path": "rootfs", "readonly": hc.ReadonlyRootfs},
        "hostname": config.Hostname,
        "mounts": list(_mounts(record, etc, joined)),
        "linux": {
            "namespaces": list(_namespaces(hc, joined.namespaces)),
            "cgroupsPath": cgroups_path(record, cgroup_parent),
            "devices": [node for node, _ in _devices(hc)],
            "resources": _resources(hc),
            "sysctl": _sysctls(hc),
            "maskedPaths": _masked(hc, host),
            "readonlyPaths": hc.ReadonlyPaths or [],
        },
    }
    if isinstance(hc.Annotations, dict):
        document["annotations"] = hc.Annotations
    if config.Domainname:
        document["domainname"] = config.Domainname
    return document


def encode(document: Json) -> bytes:
    """A runtime config as the JSON of a config.json."""
    return _encoder.encode(document)


def cgroups_path(record: Record, cgroup_parent: str) -> str:
    """The path of a container's control groups: below the user's choice of a parent, or the engine's own."""
    own = record.host_config.CgroupParent.strip("/")
    return f"/{own}/{record.id}" if own else f"{cgroup_parent}/{record.id}"


def process(record: Record, host: Host, linked: Iterable[str] = ()) -> Json:
    """The OCI process of a container's own command."""
    config, hc = record.config, record.host_config
    result = _process(
        args=[record.path, *record.args],
        env=environment(config, config.Tty, linked),
        cwd=config.WorkingDir or "/",
        terminal=config.Tty,
        granted=granted(hc, host),
        record=record,
    )
    result["user"] = _user(config.User, hc.GroupAdd)
    if hc.OomScoreAdj or host.inherited_oom_score < 0:
        result["oomScoreAdj"] = hc.OomScoreAdj
    return result


def exec_process(record: Record, config: ExecConfig, host: Host, linked: Iterable[str] = ()) -> Json:
    """The OCI process of a further command in a container."""
    result = _process(
        args=strings(config.Cmd),
        env=replace_or_append(environment(record.config, config.Tty, linked), config.Env or ()),
        cwd=config.WorkingDir or record.config.WorkingDir or "/",
        terminal=config.Tty,
        granted=tuple(_in_order(host.capabilities)) if config.Privileged else granted(record.host_config, host),
        record=record,
    )
    result["user"] = _user(config.User or record.config.User, None if config.User else record.host_config.GroupAdd)
    return result


def granted(hc: HostConfig, host: Host) -> tuple[str, ...]:
    """The capabilities of a container."""
    return capabilities.effective(strings(hc.CapAdd), strings(hc.CapDrop), hc.Privileged, host.capabilities)


def environment(config: ContainerConfig, terminal: bool, linked: Iterable[str] = ()) -> list[str]:
    """PATH, HOSTNAME, TERM and the variables of links, replaced or followed by what image and user set."""
    defaults = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={config.Hostname}"]
    if terminal:
        defaults.append("TERM=xterm")
    return replace_or_append([*defaults, *linked], config.Env or ())


def replace_or_append(variables: list[str], overrides: Iterable[str]) -> list[str]:
    """The variables with the overrides in their places, new ones at the end; `NAME` alone removes it."""
    table = {item.partition("=")[0]: item for item in variables}
    for item in overrides:
        name, equals, _ = item.partition("=")
        if equals:
            table[name] = item
        else:
            table.pop(name, None)
    return list(table.values())


def _process(
    *, args: list[str], env: list[str], cwd: str, terminal: bool, granted: tuple[str, ...], record: Record
) -> Json:
    hc = record.host_config
    sets = list(granted)
    return {
        "terminal": terminal,
        "args": args,
        "env": env,
        "cwd": cwd,
        "capabilities": {"bounding": sets, "effective": sets, "permitted": sets, "inheritable": [], "ambient": []},
        "noNewPrivileges": parse_security_options(hc.SecurityOpt or ()).no_new_privileges,
        "rlimits": [
            {"type": f"RLIMIT_{limit.Name.upper()}", "soft": limit.Soft, "hard": limit.Hard}
            for limit in hc.Ulimits or ()
        ],
    }


def _user(user: str, groups: list[str] | None) -> Json:
    result: Json = {"username": user}
    if groups:
        result["additionalGroups"] = groups
    return result


def _in_order(names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [name for name in CAPABILITY_NAMES if name in wanted]


def _namespaces(hc: HostConfig, joined: Mapping[str, str]) -> Iterator[Json]:
    """The namespaces that are the container's own, or another container's; those left out are the host's."""
    yield {"type": "mount"}
    for kind, mode in (("uts", hc.UTSMode), ("pid", hc.PidMode), ("ipc", hc.IpcMode), ("network", hc.NetworkMode)):
        if kind in joined:
            yield {"type": kind, "path": joined[kind]}
        elif mode != "host":
            yield {"type": kind}
    if hc.CgroupnsMode == "private":
        yield {"type": "cgroup"}


def _mounts(record: Record, etc: EtcFiles, joined: Joined) -> Iterator[Json]:
    """The default mounts, then the user's and the files of /etc, parents before children.

    A mount of the user's takes the place of a default one at the same path.
    """
    hc = record.host_config
    own = [*_own_mounts(record, joined.images), *_tmpfs(hc)]
    taken = {mount["destination"] for mount in own}
    for mount in _default_mounts(hc, joined.shm):
        if mount["destination"] in taken:
            continue
        if hc.ReadonlyRootfs and mount["destination"] not in _KEPT_WRITABLE and "ro" not in mount["options"]:
            mount["options"].append("ro")
        yield mount
    yield from _nested(own, etc, hc)


def _nested(own: list[Json], etc: EtcFiles, hc: HostConfig) -> list[Json]:
    """The user's mounts and the files of /etc that none of them replaces, parents before children."""
    taken = {mount["destination"] for mount in own}
    files = [mount for mount in _etc_mounts(etc, hc.ReadonlyRootfs) if mount["destination"] not in taken]
    return sorted([*own, *files], key=lambda mount: mount["destination"].count("/"))


def shown_mounts(record: Record, etc: EtcFiles, images: Mapping[str, tuple[str, ...]]) -> list[Json]:
    """The mounts of a container that show files of the host which are there also while it does not run."""
    own = [mount for mount in _own_mounts(record, images) if mount["type"] == "bind"]
    shown = _nested(own, etc, record.host_config)
    return [mount for mount in shown if "layers" in mount or os.path.lexists(mount["source"])]


def _default_mounts(hc: HostConfig, shm: str) -> Iterator[Json]:
    readonly = () if hc.Privileged else ("ro",)
    yield _mount("/proc", "proc", "proc", *_PROC)
    yield _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")
    yield _mount(
        "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
    )
    yield _mount("/sys", "sysfs", "sysfs", *_PROC, *readonly)
    yield _mount("/sys/fs/cgroup", "cgroup", "cgroup", *_PROC, *readonly)
    yield _mount("/dev/mqueue", "mqueue", "mqueue", *_PROC)
    if hc.IpcMode == "host":
        yield _mount("/dev/shm", "bind", "/dev/shm", "rbind", "rprivate")  # noqa: S108
    elif shm:
        yield {**_mount("/dev/shm", "bind", "/dev/shm", "bind", "rprivate"), "namespace": shm}  # noqa: S108
    elif hc.IpcMode != "none":
        yield _mount("/dev/shm", "tmpfs", "shm", *_PROC, "mode=1777", f"size={hc.ShmSize}")  # noqa: S108


def _etc_mounts(etc: EtcFiles, readonly: bool) -> Iterator[Json]:
    options = ("rbind", "rprivate", "ro") if readonly else ("rbind", "rprivate")
    yield _mount("/etc/resolv.conf", "bind", etc.resolv_conf, *options)
    yield _mount("/etc/hostname", "bind", etc.hostname, *options)
    yield _mount("/etc/hosts", "bind", etc.hosts, *options)


def _own_mounts(record: Record, images: Mapping[str, tuple[str, ...]]) -> Iterator[Json]:
    """What the user mounts, but for `--tmpfs`."""
    for item in record.mounts:
        options = item.options
        readonly = () if item.RW else ("ro", "rro") if options.read_only_below else ("ro",)
        part = {"subpath": options.subpath} if options.subpath else {}
        match item.Type:
            case "bind":
                binding = "rbind" if options.recursive else "bind"
                yield _mount(item.Destination, "bind", item.Source, binding, item.Propagation, *readonly)
            case "volume":
                yield {**_mount(item.Destination, "bind", item.Source, "rbind", "rprivate", *readonly), **part}
            case "image":
                layers = list(images[options.image_id])
                yield {
                    **_mount(item.Destination, "bind", item.Name, "bind", "rprivate", "ro"),
                    "layers": layers,
                    **part,
                }
            case _:
                given = ("noexec", "nosuid", "nodev", "rprivate", *options.tmpfs)
                yield _mount(item.Destination, "tmpfs", "tmpfs", *given, *(() if item.RW else ("ro",)))


def _tmpfs(hc: HostConfig) -> Iterator[Json]:
    for destination, options in (hc.Tmpfs if isinstance(hc.Tmpfs, dict) else {}).items():
        given = [word for word in options.split(",") if word]
        yield _mount(destination, "tmpfs", "tmpfs", "noexec", "nosuid", "nodev", "rprivate", *given)


def _mount(destination: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _sysctls(hc: HostConfig) -> dict[str, str]:
    own = hc.Sysctls if isinstance(hc.Sysctls, dict) else {}
    shared = hc.NetworkMode == "host" or hc.NetworkMode.startswith("container:")
    return own if shared else {**_PRIVATE_NETWORK_SYSCTLS, **own}


def _masked(hc: HostConfig, host: Host) -> list[str]:
    """The masked paths; those of the processors belong to the default list, whatever their number."""
    if not hc.MaskedPaths:
        return []
    return [*hc.MaskedPaths, *host.thermal_paths]


def _resources(hc: HostConfig) -> Json:
    return {"devices": _device_rules(hc), **limits_of(hc)}


def limits_of(hc: HostConfig) -> Json:
    """The limits that can be changed while a container runs, as OCI has them; 0 is "not asked"."""
    resources: Json = {
        "memory": {
            "limit": hc.Memory,
            "swap": hc.MemorySwap,
            "reservation": hc.MemoryReservation,
            "disableOOMKiller": bool(hc.OomKillDisable),
        },
        "cpu": {
            "shares": hc.CpuShares,
            "quota": hc.CpuQuota,
            "period": hc.CpuPeriod,
            "realtimePeriod": hc.CpuRealtimePeriod,
            "realtimeRuntime": hc.CpuRealtimeRuntime,
            "cpus": hc.CpusetCpus,
            "mems": hc.CpusetMems,
        },
        "pids": {"limit": hc.PidsLimit or 0},
        "blockIO": _block_io(hc),
    }
    if hc.MemorySwappiness is not None:
        resources["memory"]["swappiness"] = hc.MemorySwappiness
    if hc.NanoCpus:
        resources["cpu"]["period"] = CPU_PERIOD_US
        resources["cpu"]["quota"] = hc.NanoCpus * CPU_PERIOD_US // 1_000_000_000
    return resources


def _block_io(hc: HostConfig) -> Json:
    """Weights and rates of block devices. Raises InvalidArgument for a device that is none."""
    found: Json = {"weight": hc.BlkioWeight}
    for key, member, entries in (
        ("weightDevice", "weight", hc.BlkioWeightDevice),
        ("throttleReadBpsDevice", "rate", hc.BlkioDeviceReadBps),
        ("throttleWriteBpsDevice", "rate", hc.BlkioDeviceWriteBps),
        ("throttleReadIOPSDevice", "rate", hc.BlkioDeviceReadIOps),
        ("throttleWriteIOPSDevice", "rate", hc.BlkioDeviceWriteIOps),
    ):
        if entries:
            found[key] = [_block_device(entry.Path, member, entry.value) for entry in entries]
    return found


def _block_device(path: str, member: str, value: int) -> Json:
    try:
        info = os.stat(path)
    except OSError as error:
        raise InvalidArgument(f"stat {path}: {(error.strerror or 'error').lower()}") from error
    if not stat.S_ISBLK(info.st_mode):
        raise InvalidArgument(f"{path} is not a block device")
    return {"major": os.major(info.st_rdev), "minor": os.minor(info.st_rdev), member: value}


def _device_rules(hc: HostConfig) -> list[Json]:
    if hc.Privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[Json] = [{"allow": False, "access": "rwm"}]
    rules += [
        {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"], "access": access}
        for node, access in _devices(hc)
    ]
    for rule in hc.DeviceCgroupRules or ():
        kind, numbers, access = rule.split(" ")
        major, minor = (-1 if part == "*" else int(part) for part in numbers.split(":"))
        rules.append({"allow": True, "type": kind, "major": major, "minor": minor, "access": access})
    return rules


def _devices(hc: HostConfig) -> Iterator[tuple[Json, str]]:
    """The device nodes of a container besides the default ones, each with the access that is allowed."""
    if hc.Privileged:
        for path in _device_files("/dev", top=True):
            yield _device_node(path, path), "rwm"
        return
    for mapping in hc.Devices or ():
        yield from _mapped_devices(mapping)


def _mapped_devices(mapping: DeviceMapping) -> Iterator[tuple[Json, str]]:
    """The device of a mapping, or every device of a folder. Raises InvalidArgument when there is none."""
    problem = f'error gathering device information while adding custom device "{mapping.PathOnHost}": '
    try:
        source = os.path.realpath(mapping.PathOnHost, strict=True)
        if os.path.isdir(source):
            files = list(_device_files(source))
            if not files:
                raise InvalidArgument(f"{problem}no device files found")
            for path in files:
                inside = mapping.PathInContainer.rstrip("/") + path.removeprefix(source)
                yield _device_node(path, inside), mapping.CgroupPermissions
            return
        if not _is_device(os.stat(source).st_mode):
            raise InvalidArgument(f"{problem}not a device node")
        yield _device_node(source, mapping.PathInContainer), mapping.CgroupPermissions
    except OSError as error:
        raise InvalidArgument(f"{problem}{(error.strerror or 'error').lower()}") from error


def _device_files(folder: str, top: bool = False) -> Iterator[str]:
    """The device nodes below a folder of /dev; links and the folders that each container has of its own are left."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _SKIPPED_DEVICE_FOLDERS:
                    yield from _device_files(entry.path)
            elif (
                not entry.is_symlink()
                and not (top and entry.name == "console")
                and _is_device(entry.stat(follow_symlinks=False).st_mode)
            ):
                yield entry.path


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _device_node(path: str, inside: str) -> Json:
    info = os.lstat(path)
    return {
        "path": inside,
        "type": "b" if stat.S_ISBLK(info.st_mode) else "c",
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
    }
