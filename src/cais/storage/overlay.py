"""How overlayfs says that a layer hides what is below it.

Documentation/filesystems/overlayfs.rst: a whiteout, a character device 0:0, hides the name that it has; an opaque
folder hides all that a folder of its name has in the layers below.
"""

import os
import stat
from typing import Final

OPAQUE: Final = "trusted.overlay.opaque"
"""The extended attribute of an opaque folder; its value is "y"."""


def is_whiteout(info: os.stat_result) -> bool:
    """Whether this is a whiteout."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(descriptor: int) -> bool:
    """Whether this is an opaque folder; the descriptor may be one of O_PATH."""
    try:
        return os.getxattr(f"/proc/self/fd/{descriptor}", OPAQUE) == b"y"
    except OSError:
        return False
