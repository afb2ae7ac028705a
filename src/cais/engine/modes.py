"""The modes of a container's namespaces, as `host` or `container:NAME`, and what they exclude, in Docker's words."""

from typing import Final

from cais.engine.limits import refuse
from cais.engine.models import CreateRequest, HostConfig
from cais.engine.text import printable

_CONTAINER: Final = "container:"
HOST_AND_LINKS: Final = (
    "conflicting options: host type networking can't be used with links. This would result in undefined behavior"
)
_IPC: Final = frozenset({"private", "shareable", "none", "host"})


def check(hc: HostConfig, request: CreateRequest) -> None:
    """Raises InvalidArgument for a mode that does not exist, or that excludes another option."""
    for words, mode, own in (
        ("PID", hc.PidMode, {"", "host"}), ("IPC", hc.IpcMode, _IPC), ("UTS", hc.UTSMode, {"", "host"}),
    ):  # fmt: skip
        other = mode.removeprefix(_CONTAINER) if mode.startswith(_CONTAINER) and words != "UTS" else ""
        refuse(mode not in own and not other, f"invalid {words} mode: {printable(mode)}")
    refuse(hc.UTSMode == "host" and bool(request.Hostname), "conflicting options: hostname and the UTS mode")
    refuse(
        hc.NetworkMode == "host" and bool(hc.Links),
        HOST_AND_LINKS,
    )
    if hc.NetworkMode.startswith(_CONTAINER):
        _shared_network(hc, request)
    parent = hc.CgroupParent
    refuse(
        any(part in {".", ".."} for part in parent.split("/")) or "//" in parent or not parent.isprintable(),
        f"invalid cgroup parent: {printable(parent)}",
    )


def _shared_network(hc: HostConfig, request: CreateRequest) -> None:
    name = hc.NetworkMode.removeprefix(_CONTAINER)
    refuse(not name, "invalid container format container:<name|id>")
    refuse(bool(request.Hostname), "conflicting options: hostname and the network mode")
    refuse(
        bool(hc.Links),
        "conflicting options: container type network can't be used with links. This would result in undefined behavior",
    )
    refuse(bool(hc.Dns), "conflicting options: dns and the network mode")
    refuse(bool(hc.ExtraHosts), "conflicting options: custom host-to-IP mapping and the network mode")
    refuse(
        hc.PublishAllPorts or bool(hc.PortBindings),
        "conflicting options: port publishing and the container type network mode",
    )
    refuse(bool(request.ExposedPorts), "conflicting options: port exposing and the container type network mode")
