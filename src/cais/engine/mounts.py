"""Binds, volumes and tmpfs as users write them: `/host:/path[:options]`, `NAME:/path`, `/path` with mount options."""

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cais.engine.models import MountOptions, MountPoint
from cais.engine.text import printable
from cais.engine.volume import DRIVER, anonymous_name, check_name
from cais.errors import InvalidArgument

_ACCESS: Final = frozenset({"ro", "rw"})
_LABELS: Final = frozenset({"z", "Z"})
_PROPAGATIONS: Final = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_CONSISTENCIES: Final = frozenset({"consistent", "cached", "delegated", "default"})
_GROUPS: Final = (_ACCESS, _LABELS, _PROPAGATIONS, _CONSISTENCIES, frozenset({"nocopy"}))

_TMPFS_VALUES: Final = frozenset({"gid", "mode", "mpol", "nr_blocks", "nr_inodes", "size", "uid"})
_TMPFS_FLAGS: Final = _PROPAGATIONS | frozenset(
    {
        "async", "atime", "defaults", "dev", "diratime", "dirsync", "exec", "mand", "noatime", "nodev", "nodiratime",
        "noexec", "nomand", "norelatime", "nostrictatime", "nosuid", "relatime", "ro", "rw", "strictatime", "suid",
        "sync", "unbindable", "runbindable",
    }
)  # fmt: skip

DEFAULT_PROPAGATION: Final = "rprivate"
PROPAGATIONS: Final = _PROPAGATIONS

_SHARED_WORDS: Final = {"shared": "a shared", "slave": "a shared or slave"}
_SHARED_TAGS: Final = {"shared": ("shared:",), "slave": ("shared:", "master:")}


def parse_binds(binds: Iterable[str]) -> list[MountPoint]:
    """The mounts of `HostConfig.Binds`, in the order given. Raises InvalidArgument in Docker's words."""
    return [parse_bind(bind) for bind in binds]


def parse_bind(bind: str) -> MountPoint:
    """One bind mount or volume; one without a source is an anonymous volume. Raises InvalidArgument."""
    if "\0" in bind:
        raise InvalidArgument(f"invalid volume specification: '{printable(bind)}'")
    parts = bind.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts[:2]):
        raise InvalidArgument(f"invalid volume specification: '{printable(bind)}'")
    if len(parts) == 1:
        _check_destination(bind, "volume", parts[0])
        return anonymous_volume(clean(parts[0]))
    source, destination = parts[:2]
    mode = parts[2] if len(parts) == 3 else ""
    options = _options(mode)
    kind = "bind" if source.startswith("/") else "volume"
    _check_destination(bind, kind, destination)
    misplaced = ("VolumeOptions", "nocopy" in options) if kind == "bind" else ("BindOptions", options & _PROPAGATIONS)
    if misplaced[1]:
        raise InvalidArgument(
            f"invalid volume specification: '{printable(bind)}': invalid mount config for type \"{kind}\": "
            f"field {misplaced[0]} must not be specified"
        )
    read_write = "ro" not in options
    if kind == "volume":
        return named_volume(source, clean(destination), mode or "z", read_write, copies="nocopy" not in options)
    return MountPoint(
        Type="bind",
        Source=clean(source),
        Destination=clean(destination),
        Mode=mode,
        RW=read_write,
        Propagation=next(iter(options & _PROPAGATIONS), DEFAULT_PROPAGATION),
    )


def named_volume(
    name: str, destination: str, mode: str = "z", read_write: bool = True, *, copies: bool = True
) -> MountPoint:
    """A volume by its name. Raises InvalidArgument for what can be no name."""
    check_name(name)
    return MountPoint(
        Type="volume", Name=name, Source="", Destination=destination, Driver=DRIVER, Mode=mode, RW=read_write,
        options=MountOptions(copies=copies),
    )  # fmt: skip


def anonymous_volume(destination: str, read_write: bool = True) -> MountPoint:
    """A new volume without a name."""
    return MountPoint(
        Type="volume", Name=anonymous_name(), Source="", Destination=destination, Driver=DRIVER, RW=read_write,
        options=MountOptions(anonymous=True),
    )  # fmt: skip


def check_mode(mode: str) -> bool:
    """Whether the mode of `--volumes-from` lets it be written. Raises InvalidArgument."""
    options = _options(mode)
    if options - _ACCESS - _LABELS:
        raise InvalidArgument(f"invalid mode: {printable(mode)}")
    return "ro" not in options


def _options(mode: str) -> set[str]:
    """The options of a bind, at most one of each kind."""
    options = mode.split(",") if mode else []
    for option in options:
        if not any(option in group for group in _GROUPS):
            raise InvalidArgument(f"invalid mode: {printable(mode)}")
    if any(sum(option in group for option in options) > 1 for group in _GROUPS):
        raise InvalidArgument(f"invalid mode: {printable(mode)}")
    return set(options)


def _check_destination(bind: str, kind: str, destination: str) -> None:
    prefix = f"invalid volume specification: '{printable(bind)}': "
    mount = f'invalid mount config for type "{kind}": '
    if not destination.startswith("/"):
        raise InvalidArgument(
            f"{prefix}{mount}invalid mount path: '{printable(destination)}' mount path must be absolute"
        )
    if clean(destination) == "/":
        raise InvalidArgument(f"{prefix}{mount}invalid specification: destination can't be '/'")


def check_tmpfs(tmpfs: dict[str, str]) -> None:
    """Raises InvalidArgument for a target that is no path, or the root itself, and for an unknown option."""
    for destination, options in tmpfs.items():
        if not destination.startswith("/") or "\0" in destination:
            raise InvalidArgument(f"invalid mount path: '{printable(destination)}' mount path must be absolute")
        if clean(destination) == "/":
            raise InvalidArgument("invalid mount: destination can't be '/'")
        for option in filter(None, options.split(",")):
            name = option.partition("=")[0]
            if name not in (_TMPFS_VALUES if "=" in option else _TMPFS_FLAGS):
                words = '" "'.join(printable(option).split("=", 1))
                raise InvalidArgument(f'invalid tmpfs option ["{words}"]')


def clean(path: str) -> str:
    """An absolute path without `.`, `..`, doubled or trailing slashes."""
    return "/" + posixpath.normpath(path).lstrip("/")


def missing_sources(mounts: Iterable[MountPoint]) -> list[MountPoint]:
    """The binds whose source is not there and is to be made."""
    return [
        mount
        for mount in mounts
        if mount.Type == "bind" and mount.options.creates and not os.path.lexists(mount.Source)
    ]


def make_missing_sources(mounts: Iterable[MountPoint]) -> None:
    """Makes a folder for every bind whose source is missing, as Docker does. Raises InvalidArgument."""
    for mount in missing_sources(mounts):
        try:
            Path(mount.Source).mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                f"error while creating mount source path '{mount.Source}': mkdir {mount.Source}: {error.strerror}"
            ) from error


def check_propagation(mounts: Iterable[MountPoint]) -> None:
    """Raises InvalidArgument where a mount is to be shared with the host, whose own is not, in Docker's words."""
    for mount in mounts:
        kind = mount.Propagation.removeprefix("r")
        if mount.Type == "bind" and kind in _SHARED_WORDS:
            point, tags = _host_mount(mount.Source)
            if not any(tag.startswith(_SHARED_TAGS[kind]) for tag in tags):
                words = _SHARED_WORDS[kind]
                raise InvalidArgument(f"path {mount.Source} is mounted on {point} but it is not {words} mount")


def _host_mount(path: str) -> tuple[str, list[str]]:
    """The mount of the host that a path is on, and its optional fields. proc_pid_mountinfo(5)."""
    real = os.path.realpath(path)
    found: tuple[str, list[str]] = ("/", [])
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            inside = point in {"/", real} or real.startswith(point + "/")
            if inside and len(point) >= len(found[0]):
                found = point, fields[6 : fields.index("-")]
    return found
