"""Which mounts a new container has, of all that speaks of them: other containers, binds, mounts, and its image."""

import os
from collections.abc import Callable, Sequence, Sized
from typing import Protocol

from cais.engine.container import Container
from cais.engine.models import ContainerConfig, HostConfig, MountOptions, MountPoint
from cais.engine.mount_requests import parse_mounts
from cais.engine.mounts import anonymous_volume, check_mode, clean, parse_binds
from cais.engine.text import printable
from cais.engine.volume import DRIVER
from cais.errors import InvalidArgument, NotFound


class Known(Protocol):
    """The containers of the engine, as far as they are asked for here."""

    def find(self, reference: str) -> Container:
        """The container with this id or name. Raises NotFound."""


def mounts_of(
    hc: HostConfig,
    config: ContainerConfig,
    containers: Known,
    image_of: Callable[[str], str],
    mount_point: Callable[[str], str],
) -> list[MountPoint]:
    """The mounts, none made yet. image_of: the id of an image. mount_point: where the volume with a name is.

    What is mounted explicitly goes before what another container has, and both before what the image declares.
    Raises InvalidArgument, Unsupported, NotFound.
    """
    by_target: dict[str, MountPoint] = {}
    for reference in hc.VolumesFrom or ():
        for mount in _of_another(reference, containers):
            by_target[mount.Destination] = mount
    tmpfs = {clean(path) for path in (hc.Tmpfs if isinstance(hc.Tmpfs, dict) else ())}
    requests = hc.Mounts if isinstance(hc.Mounts, list) else []
    binds = parse_binds(hc.Binds or ())
    if hc.VolumeDriver not in {"", DRIVER}:
        _check_driver(hc.VolumeDriver, [mount.Name for mount in binds if mount.Type == "volume"], config.Volumes or {})
    own = [*binds, *parse_mounts(requests, image_of, os.path.lexists)]
    _check_unique([*tmpfs, *(mount.Destination for mount in own)])
    by_target |= {mount.Destination: mount for mount in own}
    for target in map(_declared, config.Volumes or {}):
        if target not in by_target and target not in tmpfs:
            by_target[target] = anonymous_volume(target)
    for mount in by_target.values():
        if mount.Type == "volume":
            mount.Source = mount_point(mount.Name)
    return list(by_target.values())


def _check_driver(driver: str, named: Sequence[str], anonymous: Sized) -> None:
    """Raises NotFound when a volume would be made by the driver: there are no plugins."""
    shown = printable(driver)
    missing = f'error looking up volume plugin {shown}: plugin "{shown}" not found'
    if named:
        raise NotFound(f"create {printable(named[0])}: {missing}")
    if anonymous:
        raise NotFound(missing)


def _check_unique(targets: list[str]) -> None:
    for number, target in enumerate(targets):
        if target in targets[:number]:
            raise InvalidArgument(f"Duplicate mount point: {target}")


def _declared(path: str) -> str:
    """Where a volume goes that the image, or `-v /path`, declares. Raises InvalidArgument."""
    target = clean(path)
    if not path.startswith("/") or target == "/" or "\0" in path:
        raise InvalidArgument(f"invalid volume: {printable(path)}: destination must be an absolute path, not '/'")
    return target


def _of_another(reference: str, containers: Known) -> list[MountPoint]:
    """The mounts of `CONTAINER[:MODE]`. Nothing of an image is copied to its volumes any more."""
    name, _, mode = reference.partition(":")
    read_write = check_mode(mode)
    try:
        other = containers.find(name)
    except NotFound as error:  # what is not found when a container is made is its image
        raise InvalidArgument(error.message) from error
    found = []
    for mount in other.record.mounts:
        kept = mount.options
        options = MountOptions(
            copies=False, subpath=kept.subpath, creates=kept.creates, recursive=kept.recursive,
            read_only_below=kept.read_only_below, tmpfs=kept.tmpfs, image_id=kept.image_id,
        )  # fmt: skip
        found.append(
            MountPoint(
                Type=mount.Type, Name=mount.Name, Source=mount.Source, Destination=mount.Destination,
                Driver=mount.Driver, Mode=mode or mount.Mode, RW=mount.RW and read_write,
                Propagation=mount.Propagation, options=options,
            )
        )  # fmt: skip
    return found
