"""Options of the API that this engine does not carry out yet.

The command sends every option with its zero value, so each is judged by what it asks for: a value that
asks for nothing passes, any other is refused by name. Nothing is accepted and then ignored.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from cais.engine.models import CreateRequest, EndpointSettings, HostConfig
from cais.engine.text import printable
from cais.errors import InvalidArgument, NotFound, Unsupported

NETWORK_MODES: Final = frozenset({"default", "bridge", "none", "host"})
RUNTIME: Final = "cais"

_RUNTIMES: Final = frozenset({"", RUNTIME, "runc", "io.containerd.runc.v2"})
_LOG_DRIVERS: Final = frozenset(
    {"awslogs", "fluentd", "gcplogs", "gelf", "journald", "local", "splunk", "syslog"}
)  # fmt: skip

# name in the request, and what it is called in an answer
_LISTS: Final = (
    ("PortBindings", "publishing ports"),
    ("VolumesFrom", "volumes from another container"),
    ("Links", "links"),
    ("DeviceRequests", "device requests"),
    ("BlkioWeightDevice", "block IO weights of devices"),
    ("BlkioDeviceReadBps", "block IO limits"),
    ("BlkioDeviceWriteBps", "block IO limits"),
    ("BlkioDeviceReadIOps", "block IO limits"),
    ("BlkioDeviceWriteIOps", "block IO limits"),
    ("Mounts", "mounts (--mount)"),
    ("StorageOpt", "storage options"),
)
_TEXTS: Final = (
    ("VolumeDriver", "volume drivers"),
    ("Cgroup", "the cgroup of another container"),
)
_NUMBERS: Final = (
    ("CpuRealtimePeriod", "real-time scheduling"),
    ("CpuRealtimeRuntime", "real-time scheduling"),
    ("KernelMemory", "kernel memory limits"),
    ("KernelMemoryTCP", "kernel memory limits"),
    ("PublishAllPorts", "publishing ports"),
    ("Init", "an init process (--init)"),
)
# the values of namespace options that mean "its own", which is what every container has
_NAMESPACES: Final = (
    ("PidMode", "PID", frozenset({""})),
    ("UTSMode", "UTS", frozenset({""})),
    ("IpcMode", "IPC", frozenset({"", "private", "shareable", "none"})),
    ("UsernsMode", "user", frozenset({"", "host"})),
)


def check(request: CreateRequest) -> None:
    """Raises Unsupported for the first option that asks for something not carried out yet.

    InvalidArgument or NotFound for one that no version of the API ever had.
    """
    for what in _found(request):
        raise Unsupported(f"{printable(what)} is not supported yet by Cais")
    host = request.host_config
    _check_names(host)
    if host.Isolation not in {"", "default"}:
        raise InvalidArgument(f"invalid isolation \"{host.Isolation}\": linux only supports 'default'")


def _found(request: CreateRequest) -> Iterator[str]:
    host = request.host_config
    for names in (_LISTS, _TEXTS, _NUMBERS):
        for name, words in names:
            value = getattr(host, name)
            if value is not msgspec.UNSET and value:
                yield f"{words} (HostConfig.{name})"
    for name, words, own in _NAMESPACES:
        value = getattr(host, name)
        if value not in own:
            yield f'the {words} namespace "{value}" (HostConfig.{name})'
    if request.Volumes:
        yield "anonymous volumes (Volumes)"
    if request.MacAddress:
        yield "a MAC address (MacAddress)"
    if request.NetworkDisabled is True:
        yield "NetworkDisabled"
    yield from _networking(request)


def _networking(request: CreateRequest) -> Iterator[str]:
    mode = request.host_config.NetworkMode or "default"
    if mode.startswith("container:"):
        yield "the network of another container (HostConfig.NetworkMode)"
    elif mode not in NETWORK_MODES:
        yield f'the user-defined network "{mode}" (HostConfig.NetworkMode)'
    for name, endpoint in (request.networking.EndpointsConfig or {}).items():
        if name not in NETWORK_MODES:
            yield f'the user-defined network "{name}" (NetworkingConfig)'
        elif not _is_zero(endpoint):
            yield f'settings of the network "{name}" (NetworkingConfig)'


def _is_zero(endpoint: EndpointSettings) -> bool:
    return not any(getattr(endpoint, name) for name in endpoint.__struct_fields__)


def _check_names(host: HostConfig) -> None:
    """Options that are names from a list: those that Docker knows are not supported yet, others do not exist."""
    driver = host.log_config.Type
    if driver in _LOG_DRIVERS:
        raise Unsupported(f'the logging driver "{driver}" is not supported yet by Cais: use json-file or none')
    if driver not in {"", "json-file", "none"}:
        raise NotFound(f'error looking up logging plugin {printable(driver)}: plugin "{printable(driver)}" not found')
    if host.Runtime not in _RUNTIMES:
        raise InvalidArgument(f"unknown or invalid runtime name: {printable(host.Runtime)}")
