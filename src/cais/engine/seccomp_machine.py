"""The architectures that have a seccomp policy here, and their names."""

import platform
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cais.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Machine:
    """An architecture: Go's name for it, which profiles use, its own and its relatives' names in seccomp.h."""

    go_name: str
    native: str
    relatives: tuple[str, ...]


_MACHINES: Final = MappingProxyType(
    {
        "x86_64": Machine("amd64", "SCMP_ARCH_X86_64", ("SCMP_ARCH_X86", "SCMP_ARCH_X32")),
        "aarch64": Machine("arm64", "SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",)),
    }
)


def this_machine() -> Machine:
    """The architecture that this runs on. Raises Unsupported for one that isn't known."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        raise Unsupported(f'seccomp: the architecture "{platform.machine()}" is not supported')
    return machine
