"""What the kernel tells of a process and its surroundings, read from /proc (proc(5)) and parsed.

The parsers take text, the readers a pid; a reader raises OSError when the process is gone.
"""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cais.engine.explain_models import Interface, Process
from cais.linux.credentials import CAPABILITY_NAMES

NAMESPACES: Final = {
    "mount": "mnt", "network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "user": "user",
    "time": "time",
}  # fmt: skip
"""Every kind of namespace, and its name in /proc/PID/ns."""

_MAX_COMMAND_BYTES: Final = 4096
_LIMITS: Final = {
    "Max cpu time": ("cpu", "seconds"),
    "Max file size": ("fsize", "bytes"),
    "Max data size": ("data", "bytes"),
    "Max stack size": ("stack", "bytes"),
    "Max core file size": ("core", "bytes"),
    "Max resident set": ("rss", "bytes"),
    "Max processes": ("nproc", ""),
    "Max open files": ("nofile", ""),
    "Max locked memory": ("memlock", "bytes"),
    "Max address space": ("as", "bytes"),
    "Max file locks": ("locks", ""),
    "Max pending signals": ("sigpending", ""),
    "Max msgqueue size": ("msgqueue", "bytes"),
    "Max nice priority": ("nice", ""),
    "Max realtime priority": ("rtprio", ""),
    "Max realtime timeout": ("rttime", "us"),
}


@dataclass(frozen=True, slots=True)
class MountLine:
    """A line of mountinfo. root: which part of the file system is mounted; options: those of this mount alone."""

    destination: str
    type: str
    source: str
    root: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A limit of setrlimit(2); None is "unlimited"."""

    unit: str
    soft: int | None
    hard: int | None


def namespace_inodes(pid: int | str) -> dict[str, int]:
    """The inode of each namespace of a process, by kind; a kind that the kernel does not have is left out."""
    found = {}
    for kind, name in NAMESPACES.items():
        try:
            found[kind] = os.stat(f"/proc/{pid}/ns/{name}").st_ino
        except FileNotFoundError:
            if not os.path.isdir(f"/proc/{pid}/ns"):
                raise
    return found


def read(pid: int, name: str) -> str:
    """A file of /proc/PID."""
    return Path(f"/proc/{pid}/{name}").read_text("utf-8", errors="replace")


def parse_status(text: str) -> dict[str, str]:
    """The fields of /proc/PID/status."""
    fields = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in fields}


def capabilities(mask: str) -> list[str]:
    """The names of the capabilities in a hexadecimal set of /proc/PID/status."""
    number = int(mask, 16)
    return [name for position, name in enumerate(CAPABILITY_NAMES) if number >> position & 1]


def process(pid: int, level: int = 0) -> Process:
    """A process of a container. level: how far below /proc's own PID namespace the container's is, `pid_level`."""
    status = parse_status(read(pid, "status"))
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read(_MAX_COMMAND_BYTES).rstrip(b"\0").replace(b"\0", b" ")
    inside = status.get("NSpid", str(pid)).split()
    return Process(
        pid=pid,
        pid_inside=int(inside[level]),
        parent_pid=int(status["PPid"]),
        uid=int(status["Uid"].split()[1]),
        state=status["State"],
        threads=int(status["Threads"]),
        memory_bytes=kilobytes(status, "VmRSS"),
        command=words.decode("utf-8", "replace") or f"[{status['Name']}]",
    )


def pid_level(status: dict[str, str]) -> int:
    """How far below /proc's own PID namespace that of a process is, from the fields of its status."""
    return len(status.get("NSpid", "").split() or [""]) - 1


def kilobytes(status: dict[str, str], name: str) -> int:
    """A size of /proc/PID/status, in bytes; 0 where it is missing."""
    return int(status.get(name, "0 kB").split()[0]) * 1024


def open_files(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def parse_limits(text: str) -> dict[str, Rlimit]:
    """The limits of /proc/PID/limits, by their short names."""
    found = {}
    for line in text.splitlines()[1:]:
        title = re.split(r"\s{2,}", line)[0]
        if title in _LIMITS:
            name, unit = _LIMITS[title]
            soft, hard = line[len(title) :].split()[:2]
            found[name] = Rlimit(unit, _limit(soft), _limit(hard))
    return found


def _limit(text: str) -> int | None:
    return None if text == "unlimited" else int(text)


def parse_mountinfo(text: str) -> list[MountLine]:
    """The lines of /proc/PID/mountinfo, in the order of mounting."""
    found = []
    for line in text.splitlines():
        before, separator, behind = line.partition(" - ")
        fields, rest = before.split(" "), behind.split(" ")
        if separator and len(fields) > 5 and len(rest) > 1:
            found.append(
                MountLine(
                    destination=_unescape(fields[4]),
                    type=rest[0],
                    source=_unescape(rest[1]),
                    root=_unescape(fields[3]),
                    options=tuple(fields[5].split(",")),
                )
            )
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def interfaces(pid: int) -> list[Interface]:
    """The interfaces in the network namespace of a process, and their addresses."""
    return parse_interfaces(
        read(pid, "net/dev"),
        _optional(pid, "net/fib_trie"),
        _optional(pid, "net/route"),
        _optional(pid, "net/if_inet6"),
    )


def _optional(pid: int, name: str) -> str:
    try:
        return read(pid, name)
    except OSError:  # a kernel without it
        return ""


def parse_interfaces(dev: str, fib_trie: str, route: str, if_inet6: str) -> list[Interface]:
    """Interfaces and addresses from the texts of these files of /proc/PID/net.

    fib_trie tells the local addresses of version 4 but not their interfaces: those are found by the routes.
    """
    names = [line.partition(":")[0].strip() for line in dev.splitlines()[2:] if ":" in line]
    networks = _networks(route)
    addresses: dict[str, list[str]] = {name: [] for name in names}
    for address in _local_addresses(fib_trie):
        name, prefix = next(
            ((name, f"/{network.prefixlen}") for name, network in networks if address in network),
            ("lo", "/8") if address.is_loopback else ("", ""),
        )
        addresses.setdefault(name, []).append(f"{address}{prefix}")
    for line in if_inet6.splitlines():
        digits, _, length, _, _, name = line.split()
        address6 = ipaddress.IPv6Address(int(digits, 16))
        addresses.setdefault(name, []).append(f"{address6}/{int(length, 16)}")
    return [Interface(name=name, addresses=found) for name, found in addresses.items()]


def _local_addresses(fib_trie: str) -> list[ipaddress.IPv4Address]:
    """The leaves of the trie that are addresses of this namespace itself, each once."""
    found: dict[str, None] = {}
    leaf = ""
    for line in fib_trie.splitlines():
        text = line.strip()
        if text.startswith("|-- "):
            leaf = text.removeprefix("|-- ")
        elif text == "/32 host LOCAL":
            found[leaf] = None
    return [ipaddress.IPv4Address(text) for text in found]


def _networks(route: str) -> list[tuple[str, ipaddress.IPv4Network]]:
    """The networks that are reached without a gateway, and by which interface, the smallest first."""
    found = []
    for line in route.splitlines()[1:]:
        name, destination, gateway, *_, mask, _, _, _ = line.split()
        if int(gateway, 16) == 0 and int(mask, 16) != 0:
            base, bits = (int.from_bytes(int(text, 16).to_bytes(4, "little")) for text in (destination, mask))
            found.append((name, ipaddress.IPv4Network((base, bits.bit_count()))))
    return sorted(found, key=lambda item: -item[1].prefixlen)
