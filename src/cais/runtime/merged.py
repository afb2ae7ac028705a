"""Layers, merged, as a mount that is attached nowhere."""

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack

from cais.linux import mount
from cais.linux.mount import AT_FDCWD, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
LOOKED_AT = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
"""The attributes of a mount whose files nobody executes."""


def merged(layers: Sequence[str], attributes: int = LOOKED_AT) -> int:
    """The descriptor of a detached mount of the layers, topmost first. Raises: OSError."""
    if len(layers) == 1:  # overlayfs wants two
        tree = mount.open_tree(AT_FDCWD, layers[0])
        mount.mount_setattr(tree, attr_set=attributes, propagation=mount.MS_PRIVATE)
        return tree
    return overlay(layers, [("index", "off")], attributes)


def overlay(layers: Sequence[str], options: Sequence[tuple[str, str | None]], attributes: int) -> int:
    """The descriptor of a detached overlay of lower layers, topmost first, with further options. Raises: OSError."""
    try:
        return _mount([*(("lowerdir+", layer) for layer in layers), *options], attributes)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # Kernels before 6.8 know no `lowerdir+`: all layers in one short option, which spares all escaping
    with ExitStack() as stack:
        opened = []
        for layer in layers:
            opened.append(os.open(layer, _FOLDER))
            stack.callback(os.close, opened[-1])
        return _mount([("lowerdir", ":".join(f"/proc/self/fd/{fd}" for fd in opened)), *options], attributes)


def _mount(options: list[tuple[str, str | None]], attributes: int) -> int:
    return mount.create_filesystem("overlay", options, source="overlay", attributes=attributes)
