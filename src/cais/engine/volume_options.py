"""The options of the driver "local": a volume whose content is a mount of its own.

`type`, `device` and `o` are those of mount(8), as in Docker: `type=nfs,o=addr=10.0.0.1,device=:/path`, `type=tmpfs,
o=size=100m,device=tmpfs`, `type=none,o=bind,device=/path`. It is mounted at the volume's folder, on the host, while a
container that uses it runs: all of them see the same one.
"""

import os
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cais.engine.text import printable
from cais.errors import Internal, InvalidArgument
from cais.linux import mount

_REQUIRED: Final = {"type": ("device",), "device": ("type",), "o": ("device", "type"), "size": ()}
_FLAGS: Final = {
    "defaults": (0, 0),
    "ro": (1, 0), "rw": (0, 1), "nosuid": (2, 0), "suid": (0, 2), "nodev": (4, 0), "dev": (0, 4),
    "noexec": (8, 0), "exec": (0, 8), "sync": (16, 0), "async": (0, 16), "mand": (64, 0), "nomand": (0, 64),
    "dirsync": (128, 0), "noatime": (1 << 10, 0), "atime": (0, 1 << 10), "nodiratime": (1 << 11, 0),
    "diratime": (0, 1 << 11), "bind": (1 << 12, 0), "rbind": (1 << 12 | mount.MS_REC, 0),
    "relatime": (1 << 21, 0), "norelatime": (0, 1 << 21), "strictatime": (1 << 24, 0), "nostrictatime": (0, 1 << 24),
}  # fmt: skip
_PROPAGATIONS: Final = {
    "private": mount.MS_PRIVATE, "rprivate": mount.MS_PRIVATE | mount.MS_REC, "slave": mount.MS_SLAVE,
    "rslave": mount.MS_SLAVE | mount.MS_REC, "shared": mount.MS_SHARED, "rshared": mount.MS_SHARED | mount.MS_REC,
    "unbindable": mount.MS_UNBINDABLE, "runbindable": mount.MS_UNBINDABLE | mount.MS_REC,
}  # fmt: skip
_BIND: Final = 1 << 12
_REMOUNT: Final = 1 << 5
_OF_A_BIND: Final = 1 | 2 | 4 | 8  # what a bind mount takes only when it is mounted anew


def check(name: str, options: Mapping[str, str]) -> None:
    """Raises InvalidArgument for options that make no sense, in Docker's words."""
    for option in options:
        if option not in _REQUIRED:
            raise InvalidArgument(f'create {name}: invalid option: "{printable(option)}"')
    for option in ("o", "type", "device"):
        missing = [required for required in _REQUIRED[option] if required not in options]
        if option in options and missing:
            raise InvalidArgument(f'create {name}: missing required option: "{missing[0]}"')
    if "size" in options:
        raise InvalidArgument(f"create {name}: quota size requested but no quota support")
    if any("\0" in value for value in options.values()):
        raise InvalidArgument(f"create {name}: an option contains a NUL byte")


def mount_volume(options: Mapping[str, str], target: Path) -> None:
    """Mount what the options say. Raises Internal in Docker's words, with the kernel's reason."""
    device, kind = options.get("device", ""), options.get("type", "")
    flags, propagations, data = _parse(options.get("o", ""))
    try:
        if kind.startswith("nfs") or kind == "cifs":
            data = _with_addresses(data)
        mount.mount(device, str(target), kind, flags, ",".join(data) or None)
        try:
            if flags & _BIND and flags & _OF_A_BIND:
                mount.mount("", str(target), None, flags & (_OF_A_BIND | _BIND) | _REMOUNT)
            for propagation in propagations:
                mount.mount("", str(target), None, propagation)
        except OSError:
            mount.umount2(str(target), mount.MNT_DETACH)
            raise
    except OSError as error:
        told = f", data: {','.join(data)}" if data else ""
        where = f"mount {device}:{target}{told}"
        raise Internal(
            f"error while mounting volume '{target}': failed to mount local volume: {where}: "
            f"{os.strerror(error.errno).lower() if error.errno and error.errno > 0 else error.strerror}"
        ) from error


def _parse(text: str) -> tuple[int, list[int], list[str]]:
    """The flags of mount(2), the propagations, and what the file system itself is told."""
    flags, propagations, data = 0, [], []
    for word in filter(None, text.split(",")):
        if word in _FLAGS:
            on, off = _FLAGS[word]
            flags = flags & ~off | on
        elif word in _PROPAGATIONS:
            propagations.append(_PROPAGATIONS[word])
        else:
            data.append(word)
    return flags, propagations, data


def _with_addresses(data: list[str]) -> list[str]:
    """The kernel knows no names: the one in `addr=` is looked up. Raises OSError."""
    return [f"addr={_address(word.removeprefix('addr='))}" if word.startswith("addr=") else word for word in data]


def _address(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return str(socket.getaddrinfo(name, None)[0][4][0])


def is_mounted(target: Path) -> bool:
    """Whether something is mounted there."""
    try:
        return os.lstat(target).st_dev != os.lstat(target.parent).st_dev or _in_mountinfo(target)
    except OSError:
        return False


def _in_mountinfo(target: Path) -> bool:
    """A bind mount of the same file system shows there alone."""
    wanted = str(target).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split(" ")[4] == wanted for line in file)


def unmount_volume(target: Path) -> None:
    """Undo every mount there. Raises OSError."""
    while is_mounted(target):
        mount.umount2(str(target), mount.MNT_DETACH)
