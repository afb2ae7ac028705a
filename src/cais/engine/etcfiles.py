"""The files that every container sees at /etc/hosts, /etc/hostname and /etc/resolv.conf.

Each container has its own, on the host's side in the container's folder; they are written at every start. They are
mounted into the container, so while it runs they are changed in place, and only as far as it has not changed them.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cais.engine import resolvconf
from cais.engine.models import Record
from cais.engine.resolvconf import Kind, ResolvConf
from cais.engine.spec import EtcFiles

HOST_NAME: Final = "host.docker.internal"
HOST_GATEWAY: Final = "host-gateway"
_MOST_BYTES: Final = 1 << 20

_LOCALHOST: Final = "127.0.0.1\tlocalhost\n"
_LOCALHOST_IPV6: Final = (
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True)
class Link:
    """Another container on the default bridge, that this one knows by names of its own.

    variables: what it is told of that one in its environment, as NAME=value.
    """

    alias: str
    name: str
    hostname: str
    addresses: Sequence[str]
    variables: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the files say of the networks of a container.

    `addresses` are its own, network after network. `host_addresses` are those at which it reaches the host. `ipv6`
    says whether the container has IPv6 at all, `reaches_ipv6` whether it has an address of it.
    """

    kind: Kind = Kind.BRIDGE
    addresses: Sequence[str] = ()
    host_addresses: Sequence[str] = ()
    links: Sequence[Link] = ()
    ipv6: bool = True
    reaches_ipv6: bool = False


def locations(folder: Path) -> EtcFiles:
    """Where the files of the container with this folder are."""
    return EtcFiles(f"{folder}/hosts", f"{folder}/hostname", f"{folder}/resolv.conf")


def write(record: Record, folder: Path, around: Surroundings | None = None, root: Path = Path("/")) -> EtcFiles:
    """Writes the files of a container; below `root` are the host's own. Raises OSError, InvalidArgument.

    Without `around` the container has the host's network, or no other than its loopback.
    """
    files = locations(folder)
    if around is None:
        around = Surroundings(Kind.HOST if record.host_config.NetworkMode == "host" else Kind.BRIDGE)
    _write(files.hosts, hosts(record, around, _of_host(root / "etc/hosts")))
    _write(files.hostname, record.config.Hostname + "\n")
    _write(files.resolv_conf, resolv_conf(record, around, root).text)
    return files


def resolv_conf(record: Record, around: Surroundings, root: Path = Path("/")) -> ResolvConf:
    """The /etc/resolv.conf of a container, and what its resolver is to know. Raises OSError, InvalidArgument."""
    hc = record.host_config
    overrides = resolvconf.Overrides(hc.Dns or (), hc.DnsSearch or (), hc.DnsOptions or ())
    return resolvconf.build(
        resolvconf.read(around.kind, root), around.kind, overrides, ipv6=around.reaches_ipv6 and around.ipv6
    )


def hosts(record: Record, around: Surroundings, host_text: str) -> str:
    """The /etc/hosts of a container; `host_text` is the host's."""
    extra = record.host_config.ExtraHosts or ()
    if around.kind is Kind.HOST and not extra:
        return host_text
    lines = [*_extra_lines(extra, around), *_link_lines(around.links), *own_lines(record, around.addresses)]
    if not around.ipv6:
        lines = [line for line in lines if not _is_ipv6(line)]
    return _LOCALHOST + (_LOCALHOST_IPV6 if around.ipv6 else "") + "".join(lines)


def refresh(record: Record, folder: Path, before: Surroundings, now: Surroundings) -> None:
    """Says in the files of a running container what is about it now. What it has changed stays. Raises OSError."""
    files = locations(folder)
    old, new = (hosts(record, around, "").splitlines(keepends=True) for around in (before, now))
    gone, come = [line for line in old if line not in new], [line for line in new if line not in old]
    if gone:
        remove_lines(files.hosts, gone)
    if come:
        add_lines(files.hosts, come)
    replace_text(files.resolv_conf, *(resolv_conf(record, around).text for around in (before, now)))


def own_lines(record: Record, addresses: Iterable[str]) -> list[str]:
    """What /etc/hosts says of a container's own addresses: they come and go with its networks."""
    config = record.config
    full = f"{config.Hostname}.{config.Domainname}" if config.Domainname else config.Hostname
    bare, dot, _ = full.partition(".")
    names = f"{full} {bare}" if dot else full
    return [f"{address}\t{names}\n" for address in addresses]


def _extra_lines(extra: Sequence[str], around: Surroundings) -> list[str]:
    """NAME:ADDRESS each, or NAME:host-gateway. The host has a name in any case, unless it is given to another."""
    named = [entry.partition(":")[::2] for entry in extra]
    if around.kind is not Kind.HOST and HOST_NAME not in {name.lower() for name, _ in named}:
        named.append((HOST_NAME, HOST_GATEWAY))
    lines = []
    for name, address in named:
        found = around.host_addresses if address == HOST_GATEWAY else [address.strip("[]")]
        lines += [f"{each}\t{name}\n" for each in found]
    return lines


def _link_lines(links: Iterable[Link]) -> list[str]:
    lines = []
    for link in links:
        names = [link.alias, link.hostname, *([link.name] if link.name != link.alias else [])]
        lines += [f"{address}\t{' '.join(names)}\n" for address in link.addresses]
    return lines


def _is_ipv6(line: str) -> bool:
    try:
        return ip_address(line.partition("\t")[0]).version == 6
    except ValueError:
        return False


def add_lines(path: str, lines: Iterable[str]) -> None:
    """Adds lines to the /etc/hosts of a running container. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        ended = end == 0 or os.pread(descriptor, 1, end - 1) == b"\n"
        file.write(("" if ended else "\n").encode() + "".join(lines).encode())


def remove_lines(path: str, lines: Iterable[str]) -> None:
    """Removes lines from the /etc/hosts of a running container, where it has left them as they were. Raises OSError."""
    text = _of_container(path)
    if text is not None:
        gone = set(lines)
        _write(path, "".join(line for line in text.splitlines(keepends=True) if line not in gone))


def replace_text(path: str, before: str, after: str) -> bool:
    """Writes `after` where a file still is `before`; whether it was. Raises OSError."""
    if _of_container(path) != before:
        return False
    _write(path, after)
    return True


def _of_container(path: str) -> str | None:
    """A text that the container may have changed; None where that made it longer than anybody means seriously."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    return None if len(data) > _MOST_BYTES else data.decode("utf-8", "surrogateescape")


def _of_host(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    # What the container has put in the file's place is cut, not followed: the folder is not the container's. Cut
    # afterwards, so that who reads meanwhile finds no empty file.
    rest = memoryview(text.encode("utf-8", "surrogateescape"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with open(descriptor, "wb", buffering=0) as file:
        while rest:
            rest = rest[file.write(rest) :]
        file.truncate()
