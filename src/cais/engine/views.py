"""Containers, execs and networks of containers as the API shows them when they are inspected."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cais.engine import etcfiles, joining, network_ports, network_views, starting
from cais.engine.container import Container
from cais.engine.containers import Containers
from cais.engine.execs import Exec
from cais.engine.images import Images
from cais.engine.listing import mount_points, status_text
from cais.engine.models import Health, HostConfig, Status, strings, timestamp
from cais.engine.networks import Networks
from cais.engine.security import parse_security_options
from cais.engine.settings import Settings
from cais.engine.usage import Sizes
from cais.errors import CaisError

Json = dict[str, Any]

STORAGE_DRIVER = "overlay2"


def inspect(
    container: Container,
    containers: Containers,
    images: Images,
    settings: Settings,
    *,
    known: Networks,
    sizes: Sizes | None = None,
) -> Json:
    """ContainerInspectResponse. The end of the container's process is known as soon as it can be."""
    if container.monitor is not None:
        container.monitor.poll()
    record = container.record
    folder = containers.folder(record.id)
    etc = etcfiles.locations(folder)
    answer: Json = {
        "Id": record.id,
        "Created": timestamp(record.created_ns),
        "Path": record.path,
        "Args": record.args,
        "State": state(container),
        "Image": record.image_id,
        "ResolvConfPath": etc.resolv_conf,
        "HostnamePath": etc.hostname,
        "HostsPath": etc.hosts,
        "LogPath": str(starting.log_file(folder)) if record.host_config.log_config.Type == "json-file" else "",
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": STORAGE_DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": parse_security_options(record.host_config.SecurityOpt or ()).apparmor,
        "ExecIDs": [item.id for item in container.execs.values() if item.running] or None,
        "HostConfig": msgspec.structs.replace(record.host_config, Links=joining.shown_links(record)),
        "GraphDriver": _graph_driver(container, containers, images, settings),
        "Mounts": mount_points(record.mounts),
        "Config": record.config,
        "NetworkSettings": network_views.settings(container, known),
    }
    if sizes is not None:
        answer["SizeRw"] = sizes.own
        answer["SizeRootFs"] = sizes.total
    return answer


def state(container: Container) -> Json:
    """ContainerState."""
    current = container.record.state
    answer: Json = {
        "Status": container.status,
        "Running": current.active,
        "Paused": current.status is Status.PAUSED,
        "Restarting": current.status is Status.RESTARTING,
        "OOMKilled": current.oom_killed,
        "Dead": False,
        "Pid": current.pid,
        "ExitCode": current.exit_code,
        "Error": current.error,
        "StartedAt": timestamp(current.started_at_ns),
        "FinishedAt": timestamp(current.finished_at_ns),
    }
    if current.health is not None:
        answer["Health"] = _health(current.health)
    return answer


def _health(health: Health) -> Json:
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {
                "Start": timestamp(result.start_ns),
                "End": timestamp(result.end_ns),
                "ExitCode": result.exit_code,
                "Output": result.output,
            }
            for result in health.log
        ],
    }


def summary(
    container: Container, images: Images, known: Networks, sizes: Sizes | None = None, aliases: Sequence[str] = ()
) -> Json:
    """ContainerSummary, as `ps` shows it. aliases: what links of others call it, see `joining.aliases`."""
    if container.monitor is not None:
        container.monitor.poll()
    record = container.record
    answer: Json = {
        "Id": record.id,
        "Names": [f"/{record.name}", *aliases],
        "Image": _image_name(container, images),
        "ImageID": record.image_id,
        "Command": " ".join([record.path, *(_quoted(argument) for argument in record.args)]),
        "Created": record.created_ns // 1_000_000_000,
        "Ports": network_ports.summary(record),
        "Labels": record.config.labels,
        "State": container.status,
        "Status": status_text(container),
        "HostConfig": _host_summary(record.host_config),
        "NetworkSettings": {"Networks": network_views.endpoints(container, known)},
        "Mounts": mount_points(record.mounts),
    }
    if sizes is not None:
        answer["SizeRw"] = sizes.own
        answer["SizeRootFs"] = sizes.total
    return answer


def _host_summary(hc: HostConfig) -> Json:
    """What the list of containers shows of the HostConfig."""
    annotations = {"Annotations": hc.Annotations} if isinstance(hc.Annotations, dict) and hc.Annotations else {}
    return {"NetworkMode": hc.NetworkMode, **annotations}


def inspect_exec(item: Exec) -> Json:
    """ExecInspectResponse."""
    config = item.config
    entrypoint, *arguments = strings(config.Cmd) or [""]
    return {
        "ID": item.id,
        "Running": item.running,
        "ExitCode": item.exit_code,
        "ProcessConfig": {
            "tty": config.Tty,
            "entrypoint": entrypoint,
            "arguments": arguments,
            "privileged": config.Privileged,
            **({"user": config.User} if config.User else {}),
        },
        "OpenStdin": config.AttachStdin,
        "OpenStderr": config.AttachStderr,
        "OpenStdout": config.AttachStdout,
        "CanRemove": False,  # what Docker finds so is gone a little later
        "ContainerID": item.container.id,
        "DetachKeys": config.DetachKeys,
        "Pid": item.pid,
    }


def _graph_driver(container: Container, containers: Containers, images: Images, settings: Settings) -> Json:
    """Where the layers are. The merged view exists only inside the container."""
    writable = f"{containers.folder(container.id)}/rw"
    try:
        layers = images.lower_dirs(images.get(container.record.image_id))
    except CaisError:
        layers = []
    return {
        "Name": STORAGE_DRIVER,
        "Data": {
            "ID": container.id,
            "LowerDir": ":".join([*layers, str(settings.init_layer)]),
            "MergedDir": f"{settings.bundles}/{container.id}/rootfs",
            "UpperDir": f"{writable}/diff",
            "WorkDir": f"{writable}/work",
        },
    }


def _image_name(container: Container, images: Images) -> str:
    """The name that the container was made with; the image's id once the name means another image, or none."""
    record = container.record
    try:
        same = images.resolve(record.config.Image).id == record.image_id
    except CaisError:
        same = False
    return record.config.Image if same else record.image_id


def _quoted(argument: str) -> str:
    """An argument as Docker shows it: in quotes when it has blanks."""
    return f"'{argument}'" if " " in argument else argument
