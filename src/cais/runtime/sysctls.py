"""Which sysctls a container may set: those that are a namespace's of its own, and none of the host's (runc's rules)."""

import json
import os
from typing import Final

from cais.runtime.errors import Reason, StartFailed
from cais.runtime.spec import Spec

_OF_IPC: Final = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)  # fmt: skip
_FILES: Final = {"ipc": "ipc", "network": "net", "uts": "uts"}


def check(spec: Spec) -> None:
    """Is every sysctl of the config one of its own namespaces? To be asked before any namespace is entered.

    Raises: StartFailed (invalid) that names the first which is not.
    """
    for given in spec.sysctl:
        name = _with_dots(given)
        if name in _OF_IPC or name.startswith("fs.mqueue."):
            _refuse(not _has_own(spec, "ipc"), given, "is not allowed in the hosts ipc namespace")
        elif name.startswith("net."):
            _refuse(not _has_own(spec, "network"), given, "not allowed in host network namespace")
        else:
            own_name = _has_own(spec, "uts")
            _refuse(
                own_name and name == "kernel.hostname", given,
                'is not allowed as it conflicts with the OCI "hostname" field',
            )  # fmt: skip
            _refuse(not own_name or name != "kernel.domainname", given, "is not in a separate kernel namespace")


def _with_dots(name: str) -> str:
    """The name with dots between its parts, as sysctl(8) reads it: `kernel/domainname` is `kernel.domainname`."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def _has_own(spec: Spec, kind: str) -> bool:
    """Whether the container's namespace of this type is another one than the caller's."""
    for item in spec.namespaces:
        if item.type == kind:
            return not item.path or not os.path.samefile(item.path, f"/proc/self/ns/{_FILES[kind]}")
    return False


def _refuse(condition: bool, name: str, words: str) -> None:
    if condition:
        raise StartFailed(Reason.INVALID, f"sysctl {json.dumps(name)} {words}")
