"""Options of the API that this engine does not carry out yet.

The command sends every option with its zero value, so each is judged by what it asks for: a value that
asks for nothing passes, any other is refused by name. Nothing is accepted and then ignored.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from cais.engine.models import CreateRequest, Empty, HostConfig
from cais.engine.text import printable
from cais.errors import InvalidArgument, Unsupported

RUNTIME: Final = "cais"

_RUNTIMES: Final = frozenset({"", RUNTIME, "runc", "io.containerd.runc.v2"})
_LOG_DRIVERS: Final = frozenset(
    {"awslogs", "fluentd", "gcplogs", "gelf", "journald", "splunk", "syslog"}
)  # fmt: skip

# name in the request, and what it is called in an answer
_SETTINGS: Final = (
    ("Cgroup", "the cgroup of another container"),
    ("KernelMemoryTCP", "limits of kernel memory for TCP"),
)


def check(request: CreateRequest) -> None:
    """Raises Unsupported for the first option that asks for something not carried out yet.

    InvalidArgument for one that no version of the API ever had.
    """
    for what in _found(request):
        raise Unsupported(f"{printable(what)} is not supported yet by Cais")
    host = request.host_config
    _check_names(host)
    if host.Isolation not in {"", "default"}:
        raise InvalidArgument(f"invalid isolation \"{printable(host.Isolation)}\": linux only supports 'default'")
    for wanted in host.DeviceRequests or ():
        raise Unsupported(_device_request(wanted))


def _found(request: CreateRequest) -> Iterator[str]:
    host = request.host_config
    for name, words in _SETTINGS:
        value = getattr(host, name)
        if value is not msgspec.UNSET and value:
            yield f"{words} (HostConfig.{name})"
    if host.UsernsMode not in {"", "host"}:
        yield f'the user namespace "{host.UsernsMode}" (HostConfig.UsernsMode)'
    if request.NetworkDisabled is True:
        yield "NetworkDisabled"


def _device_request(wanted: Empty) -> str:
    """What is said of devices by vendor, as `--gpus` and CDI names ask for them: there is no driver for any."""
    driver, groups = str(wanted.get("Driver") or ""), wanted.get("Capabilities")
    if driver == "cdi":
        return (
            f"CDI device injection failed: unresolvable CDI devices {printable(_words(wanted.get('DeviceIDs'), ', '))}"
        )
    capabilities = " ".join(f"[{_words(group, ' ')}]" for group in groups) if isinstance(groups, list) else ""
    return f'could not select device driver "{printable(driver)}" with capabilities: [{printable(capabilities)}]'


def _words(values: object, separator: str) -> str:
    return separator.join(map(str, values)) if isinstance(values, list) else ""


def _check_names(host: HostConfig) -> None:
    """Options that are names from a list: those that Docker knows are not supported yet, others do not exist."""
    driver = host.log_config.Type
    if driver in _LOG_DRIVERS:
        raise Unsupported(f'the logging driver "{driver}" is not supported yet by Cais: use json-file, local or none')
    if driver not in {"", "json-file", "local", "none"}:
        raise InvalidArgument(
            f'error looking up logging plugin {printable(driver)}: plugin "{printable(driver)}" not found'
        )
    if host.Runtime not in _RUNTIMES:
        raise InvalidArgument(f"unknown or invalid runtime name: {printable(host.Runtime)}")
