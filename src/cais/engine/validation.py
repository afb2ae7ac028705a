"""Is what was asked possible? The values of a new container, checked and brought into their full form.

`normalise` changes the request to what inspect will show: capability names in full, default sizes and
paths. Errors are in Docker's words. What is possible but not carried out yet is `unsupported`'s matter.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from cais.engine import capabilities, limits, logoptions, modes, mounts, network_ports, restarts, unsupported
from cais.engine.host import Host
from cais.engine.limits import refuse
from cais.engine.models import CreateRequest, HealthConfig, HostConfig, strings
from cais.engine.security import UNCONFINED, parse_security_options
from cais.engine.signals import parse_signal
from cais.engine.text import printable
from cais.errors import InvalidArgument, Unsupported

MASKED_PATHS: Final = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_HOSTNAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(?:tcp|udp|sctp))?")
_DEVICE_RULE: Final = re.compile(r"[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}")
_EXTRA_HOST: Final = re.compile(r"[A-Za-z0-9._-]+:[^\s]+")
_DNS: Final = re.compile(r"[A-Za-z0-9._:%-]+")


def normalise(request: CreateRequest, host: Host) -> list[str]:
    """Checks a request and completes it in place; returns warnings for the user.

    Raises InvalidArgument, Unsupported.
    """
    unsupported.check(request)
    _config(request)
    warnings: list[str] = []
    hc = request.host_config
    _names(hc, host, request)
    limits.memory(hc, host, warnings)
    limits.cpu(hc, host)
    limits.processes_and_io(hc, host, warnings)
    limits.block_devices(hc, host, warnings)
    limits.ulimits(hc)
    _devices(hc)
    _network(hc, warnings)
    for name in hc.StorageOpt if isinstance(hc.StorageOpt, dict) else ():
        refuse(name.lower() != "size", f"Unknown option {printable(name)}")
        refuse(True, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option")
    _confinement(hc, host)
    refuse(
        isinstance(hc.Annotations, dict) and "" in hc.Annotations,
        "invalid Annotations: the empty string is not permitted as an annotation key",
    )
    mounts.check_tmpfs(hc.Tmpfs if isinstance(hc.Tmpfs, dict) else {})
    hc.MaskedPaths, hc.ReadonlyPaths = _hidden_paths(hc)
    return warnings


def _config(request: CreateRequest) -> None:
    for kind, name in (("hostname", request.Hostname), ("domainname", request.Domainname)):
        refuse(bool(name) and not _HOSTNAME.fullmatch(name), f'invalid {kind}: "{printable(name)}"')
    refuse(
        bool(request.WorkingDir) and not request.WorkingDir.startswith("/"),
        f"the working directory '{printable(request.WorkingDir)}' is invalid, it needs to be an absolute path",
    )
    request.WorkingDir = mounts.clean(request.WorkingDir) if request.WorkingDir else ""
    check_environment(request.Env or ())
    texts = [request.User, request.WorkingDir, *strings(request.Cmd), *strings(request.Entrypoint)]
    texts += [text for pair in (request.Labels or {}).items() for text in pair]
    refuse(any("\0" in text for text in texts), "invalid container configuration: a value contains a NUL byte")
    if isinstance(request.StopSignal, str) and request.StopSignal:
        parse_signal(request.StopSignal)
    if isinstance(request.Healthcheck, HealthConfig):
        limits.health(request.Healthcheck)
    for port in request.ExposedPorts or {}:
        check_port(port)


def check_environment(variables: Iterable[str]) -> None:
    """Raises InvalidArgument for a variable without a name or with a NUL byte."""
    for item in variables:
        refuse(
            not item or item.startswith("=") or "\0" in item, f"invalid environment variable: {printable(item)}"
        )  # fmt: skip


def check_port(port: str) -> None:
    """Raises InvalidArgument unless it is `80`, `80/tcp`, or a range of such."""
    match = _PORT.fullmatch(port)
    if match is None or any(int(number) > 65535 for number in match.groups() if number):
        raise InvalidArgument(f"invalid port specification: {printable(port)}")


def _names(hc: HostConfig, host: Host, request: CreateRequest) -> None:
    """The options that are names: capabilities, namespaces, the logging driver, the runtime."""
    hc.CapAdd = capabilities.normalise(strings(hc.CapAdd), "CapAdd") or None
    hc.CapDrop = capabilities.normalise(strings(hc.CapDrop), "CapDrop") or None
    if not hc.Privileged:
        capabilities.check_available(strings(hc.CapAdd), host.capabilities)
    refuse(
        hc.CgroupnsMode not in {"", "private", "host"}, f"invalid cgroup namespace mode: {printable(hc.CgroupnsMode)}"
    )
    hc.CgroupnsMode = hc.CgroupnsMode or ("private" if host.unified_cgroups else "host")
    hc.IpcMode = hc.IpcMode or "private"
    hc.NetworkMode = hc.NetworkMode or "default"
    hc.Runtime = unsupported.RUNTIME
    restarts.check(hc.restart_policy)
    refuse(
        hc.AutoRemove and hc.restart_policy.Name not in {"", "no"},
        "can't create 'AutoRemove' container with restart policy",
    )
    hc.restart_policy.Name = hc.restart_policy.Name or "no"
    hc.log_config.Type = hc.log_config.Type or "json-file"
    logoptions.check(hc.log_config.Type, hc.log_config.Config)
    modes.check(hc, request)


def _confinement(hc: HostConfig, host: Host) -> None:
    """The security options. Without AppArmor and SELinux in the kernel, theirs say nothing, as in Docker."""
    options = parse_security_options(hc.SecurityOpt or [])
    if options.apparmor not in {"", UNCONFINED} and host.apparmor:
        raise Unsupported(f'the AppArmor profile "{printable(options.apparmor)}" is not supported yet by Cais')
    if options.labels and host.selinux:
        raise Unsupported(f'the SELinux label "{printable(options.labels[0])}" is not supported yet by Cais')


def _devices(hc: HostConfig) -> None:
    for rule in hc.DeviceCgroupRules or ():
        refuse(not _DEVICE_RULE.fullmatch(rule), f"invalid device cgroup rule format: '{printable(rule)}'")
    for device in hc.Devices or ():
        for path in (device.PathOnHost, device.PathInContainer or device.PathOnHost):
            refuse(
                not path.startswith("/") or "\0" in path,
                f'error gathering device information while adding custom device "{printable(device.PathOnHost)}": '
                "not an absolute path",
            )
        device.PathInContainer = device.PathInContainer or device.PathOnHost
        device.CgroupPermissions = device.CgroupPermissions or "rwm"
        refuse(
            bool(set(device.CgroupPermissions) - set("rwm")),
            f"invalid device permissions: {printable(device.CgroupPermissions)}",
        )


def _network(hc: HostConfig, warnings: list[str]) -> None:
    """What ends in the files and settings of the container's network."""
    network_ports.check(hc)
    if hc.NetworkMode == "host" and hc.PortBindings:
        warnings.append("Published ports are discarded when using host network mode")
    for name in hc.Sysctls if isinstance(hc.Sysctls, dict) else ():
        refuse(
            name.startswith("net.") and hc.NetworkMode == "host",
            f"sysctl '{printable(name)}' not allowed in host network namespace",
        )
    for entry in hc.ExtraHosts or ():
        refuse(
            not entry.endswith(":host-gateway") and not _EXTRA_HOST.fullmatch(entry),
            f'bad format for add-host: "{printable(entry)}"',
        )
        address = entry.partition(":")[2]
        refuse(
            address != "host-gateway" and not _is_address(address.strip("[]")),
            f'invalid IP address in add-host: "{printable(address)}"',
        )
    for kind, values in (("dns", hc.Dns), ("dns-search", hc.DnsSearch), ("dns-opt", hc.DnsOptions)):
        for value in values or ():
            refuse(not _DNS.fullmatch(value), f'bad format for {kind}: "{printable(value)}"')


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _hidden_paths(hc: HostConfig) -> tuple[list[str] | None, list[str] | None]:
    """The masked and the read-only paths: the default ones where none are named, none when privileged."""
    if hc.Privileged:
        return None, None
    masked = list(MASKED_PATHS) if hc.MaskedPaths is None else hc.MaskedPaths
    readonly = list(READONLY_PATHS) if hc.ReadonlyPaths is None else hc.ReadonlyPaths
    return masked, readonly
