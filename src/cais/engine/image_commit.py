"""An image made of what a container has changed: `docker commit`.

The container's read-write layer becomes the image's topmost one: it is packed by descriptor, and its archive unpacked
as one that came from elsewhere would be, so that nothing is shared with the container and nothing in it is trusted.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from cais.distribution.oci import ContainerConfig, Healthcheck, History, ImageConfig, RootFS, digest_of
from cais.engine import models
from cais.engine.image import Image
from cais.engine.image_archives import Packed, unpack_stream
from cais.engine.image_changes import apply_changes
from cais.engine.image_store import NewImage
from cais.engine.models import strings
from cais.engine.text import reason
from cais.engine.work import run_blocking
from cais.errors import Internal
from cais.storage import tartree
from cais.storage.layers import Layer, Lease

EMPTY_LAYER: Final = digest_of(tartree.EMPTY)
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What the new image is to be, beside the container's changes.

    config: overrides the container's own configuration, field by field. changes: Dockerfile instructions.
    pause: the container stands still meanwhile.
    """

    config: ContainerConfig | None = None
    changes: Sequence[str] = ()
    author: str = ""
    comment: str = ""
    pause: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """All of the new image but its layers. command: what the container ran, for the history."""

    config: ContainerConfig
    command: Sequence[str]
    author: str
    comment: str


def draft(request: CommitRequest, of_container: models.ContainerConfig) -> Draft:
    """What the request and the container make together. Raises: InvalidArgument for changes that make no sense."""
    container = _as_defaults(of_container)
    config = _completed(apply_changes(request.config or container, request.changes), container)
    return Draft(config, strings(of_container.Cmd), request.author, request.comment)


def _as_defaults(config: models.ContainerConfig) -> ContainerConfig:
    """A container's configuration as that of an image: without what is the container's own."""
    made = msgspec.to_builtins(config)
    return replace(
        msgspec.convert({k: v for k, v in made.items() if v is not None and k in _FIELDS}, ContainerConfig),
        cmd=strings(config.Cmd) or None,
        entrypoint=strings(config.Entrypoint) or None,
    )


_FIELDS: Final = frozenset(ContainerConfig.__struct_encode_fields__) - {"Cmd", "Entrypoint"}


def _completed(own: ContainerConfig, fallback: ContainerConfig) -> ContainerConfig:
    """What `own` leaves open is the fallback's."""
    names = {item.partition("=")[0] for item in own.env or ()}
    cmd, entrypoint = own.cmd, own.entrypoint
    if not entrypoint:
        cmd = cmd or fallback.cmd
        entrypoint = fallback.entrypoint if entrypoint is None else entrypoint
    return replace(
        own,
        cmd=cmd,
        entrypoint=entrypoint or None,
        user=own.user or fallback.user,
        working_dir=own.working_dir or fallback.working_dir,
        stop_signal=own.stop_signal or fallback.stop_signal,
        stop_timeout=fallback.stop_timeout if own.stop_timeout is None else own.stop_timeout,
        env=[*(own.env or ()), *(item for item in fallback.env or () if item.partition("=")[0] not in names)] or None,
        labels={**(fallback.labels or {}), **(own.labels or {})} or None,
        exposed_ports={**(fallback.exposed_ports or {}), **(own.exposed_ports or {})} or None,
        volumes={**(fallback.volumes or {}), **(own.volumes or {})} or None,
        healthcheck=_health(own.healthcheck, fallback.healthcheck),
        on_build=own.on_build or fallback.on_build,
        shell=own.shell or fallback.shell,
    )


def _health(own: Healthcheck | None, fallback: Healthcheck | None) -> Healthcheck | None:
    if own is None or fallback is None:
        return own or fallback
    return Healthcheck(
        **{name: getattr(own, name) or getattr(fallback, name) for name in Healthcheck.__struct_fields__}
    )


async def new_layer(lease: Lease, upper: Path, base: Image) -> Layer:
    """The changes of the read-write layer `upper` as a layer upon those of the image; the lease keeps it.

    Raises: Internal when the layer cannot be read; Unavailable when the disk is full.
    """
    stopped = threading.Event()

    def pack() -> Layer:
        for chain_id in base.layers[-1:]:
            lease.keep(chain_id)
        try:
            root = os.open(upper, _FOLDER)
        except OSError as error:
            raise Internal(f"cannot read the changes of the container: {reason(error)}") from error
        try:
            packed = Packed(tartree.pack(root, layer=True), "the changes of the container", stopped)
            return unpack_stream(lease, packed, base.top_layer)
        finally:
            os.close(root)

    return await run_blocking(pack, stopped.set)


def committed_image(made_of: Draft, base: Image, layer: Layer, now: str) -> NewImage:
    """The image upon `base` that the layer makes; a layer without changes is left out."""
    changed = layer.diff_id != EMPTY_LAYER
    step = History(
        created=now,
        created_by=" ".join(made_of.command),
        author=made_of.author,
        comment=made_of.comment,
        empty_layer=not changed,
    )
    made = ImageConfig(
        architecture=base.config.architecture,
        os=base.config.os,
        os_version=base.config.os_version,
        variant=base.config.variant,
        created=now,
        author=made_of.author,
        comment=made_of.comment,
        config=made_of.config,
        rootfs=RootFS(diff_ids=[*base.config.diff_ids, *([layer.diff_id] if changed else [])]),
        history=[*base.history, step],
    )
    return NewImage(msgspec.json.encode(made), made, parent="" if base.hidden else base.id)
