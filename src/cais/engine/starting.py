"""What is on disk before a container starts: its folders, the files of its /etc, its runtime config.

`plan` says all that a start is made of and does nothing; `prepare` carries it out as far as the engine does.
Everything here blocks, and is called in a thread.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cais.engine import etcfiles, logoptions, seccomp, spec
from cais.engine.containers import make_folders
from cais.engine.host import Host
from cais.engine.models import HostConfig, Record
from cais.engine.mounts import check_propagation, make_missing_sources
from cais.engine.security import UNCONFINED, parse_security_options
from cais.engine.settings import Settings
from cais.engine.text import reason
from cais.errors import CaisError, Internal, InvalidArgument, Unavailable
from cais.runtime.errors import Reason, StartFailed
from cais.runtime.links import NetworkPlan
from cais.runtime.messages import LogTarget, RootFilesystem, StartRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start is made of. config: the OCI runtime config. bundle: the folder that it is written to."""

    config: spec.Json
    bundle: Path
    root: RootFilesystem
    log: LogTarget | None


def exit_file(folder: Path) -> Path:
    """Where a monitor records how the container with this folder ended."""
    return folder / "exit.json"


def log_file(folder: Path) -> Path:
    """The current log file of the container with this folder."""
    return folder / f"{folder.name}-json.log"


def plan(
    record: Record, host: Host, settings: Settings, folder: Path, lower: tuple[str, ...], *, joined: spec.Joined,
    linked: Sequence[str] = (),
) -> Plan:  # fmt: skip
    """What starting a container is made of; nothing is changed.

    `lower` are the read-only layers, topmost first; `joined` is what the container shares with others,
    `linked` the variables of its links. Raises InvalidArgument.
    """
    etc = etcfiles.locations(joined.etc or folder)
    return Plan(
        config=spec.build(record, host, etc, settings.cgroup_parent, joined, linked=linked),
        bundle=settings.bundles / record.id,
        root=RootFilesystem(
            lower=lower,
            upper=str(folder / "rw" / "diff"),
            work=str(folder / "rw" / "work"),
            volatile=record.host_config.AutoRemove,
        ),
        log=_log_target(record, folder),
    )


def prepare(
    record: Record,
    host: Host,
    settings: Settings,
    folder: Path,
    lower: tuple[str, ...],
    *,
    joined: spec.Joined,
    network: NetworkPlan | None,
    around: etcfiles.Surroundings,
) -> StartRequest:
    """Writes what the runtime reads, and returns what it is asked. The arguments are those of `plan`.

    `network` is what its own network namespace is to have, `around` what the files in /etc say of it.
    Raises InvalidArgument, Unavailable when the disk is full.
    """
    linked = [item for link in around.links for item in link.variables]
    planned = plan(record, host, settings, folder, lower, joined=joined, linked=linked)
    hc = record.host_config
    make_missing_sources(record.mounts)
    check_propagation(record.mounts)
    try:
        make_folders(folder)
        planned.bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
        if joined.etc is None:
            etcfiles.write(record, folder, around)
        _write(planned.bundle / "config.json", spec.encode(planned.config))
    except OSError as error:
        raise Unavailable(f"prepare container {record.id}: {reason(error)}") from error
    rows, columns = (*hc.ConsoleSize, 0, 0)[:2]
    return StartRequest(
        id=record.id,
        bundle=str(planned.bundle),
        rootfs=planned.root,
        exit_file=str(exit_file(folder)),
        log=planned.log,
        seccomp=seccomp_program(hc, host, settings),
        open_stdin=record.config.OpenStdin,
        stdin_once=record.config.StdinOnce,
        terminal_size=(rows, columns) if record.config.Tty and rows and columns else None,
        init=hc.Init is True,
        network=network.to_json() if network is not None else None,
    )


def custom_seccomp(hc: HostConfig) -> bool:
    """Whether the user has brought a policy of system calls, of which it is not known what it allows."""
    return not hc.Privileged and parse_security_options(hc.SecurityOpt or ()).seccomp not in {None, "", UNCONFINED}


def seccomp_program(hc: HostConfig, host: Host, settings: Settings) -> str | None:
    """The path of the compiled system call policy of a container; None when it is unconfined."""
    profile = parse_security_options(hc.SecurityOpt or ()).seccomp
    if hc.Privileged or profile == UNCONFINED:
        return None
    granted = spec.granted(hc, host)
    if profile:
        return str(seccomp.custom(profile.encode(), granted, settings.exec_root))
    return str(seccomp.program(granted, settings.exec_root))


def translate(error: StartFailed) -> CaisError:
    """What a failed start is called by its cause. A user that is not there is named plainly, as in Docker."""
    if error.message.startswith("unable to find "):
        return InvalidArgument(error.message)
    if error.message.startswith("failed to set up container networking: "):
        return Internal(error.message)
    message = f"failed to create task for container: {error.message}"
    return Internal(message) if error.reason is Reason.INTERNAL else InvalidArgument(message)


def _log_target(record: Record, folder: Path) -> LogTarget | None:
    given = record.host_config.log_config
    if given.Type == "none":
        return None
    max_bytes, max_files = logoptions.limits(given.Config)
    return LogTarget(
        str(log_file(folder)), max_bytes, max_files, logoptions.attributes(record), logoptions.compresses(given.Config)
    )


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
