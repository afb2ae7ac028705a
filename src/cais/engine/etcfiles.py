"""The files that every container sees at /etc/hosts, /etc/hostname and /etc/resolv.conf.

Each container has its own, on the host's side in the container's folder; they are written at every start.
"""

import os
from pathlib import Path
from typing import Final

from cais.engine.models import Record
from cais.engine.spec import EtcFiles

_LOCALHOST: Final = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


def locations(folder: Path) -> EtcFiles:
    """Where the files of the container with this folder are."""
    return EtcFiles(str(folder / "hosts"), str(folder / "hostname"), str(folder / "resolv.conf"))


def write(record: Record, folder: Path, etc: Path = Path("/etc")) -> EtcFiles:
    """Writes the files of a container; `etc` is the host's own folder. Raises OSError."""
    files = locations(folder)
    hc = record.host_config
    on_host_network = hc.NetworkMode == "host"
    hosts = _read(etc / "hosts") if on_host_network else _LOCALHOST
    for entry in hc.ExtraHosts or ():
        name, _, address = entry.partition(":")
        hosts += f"{address.strip('[]')}\t{name}\n"
    _write(files.hosts, hosts)
    _write(files.hostname, record.config.Hostname + "\n")
    _write(files.resolv_conf, _resolv_conf(record, _read(etc / "resolv.conf")))
    return files


def _resolv_conf(record: Record, host_text: str) -> str:
    """The host's file, with the name servers, search domains and options that the user gave in place of its own."""
    hc = record.host_config
    replaced = {"nameserver": hc.Dns, "search": hc.DnsSearch, "options": hc.DnsOptions}
    if not any(replaced.values()):
        return host_text
    lines = [line for line in host_text.splitlines() if not _is_replaced(line, replaced)]
    lines += [f"nameserver {server}" for server in hc.Dns or ()]
    if hc.DnsSearch and hc.DnsSearch != ["."]:
        lines.append(f"search {' '.join(hc.DnsSearch)}")
    if hc.DnsOptions:
        lines.append(f"options {' '.join(hc.DnsOptions)}")
    return "\n".join(lines) + "\n"


def _is_replaced(line: str, replaced: dict[str, list[str] | None]) -> bool:
    word = line.split(maxsplit=1)[0] if line.split() else ""
    return bool(replaced.get("search" if word == "domain" else word))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    # what the container has put in the file's place is cut, not followed: the folder is not the container's
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(descriptor, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)
