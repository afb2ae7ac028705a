"""What this host can do: processors, memory, control groups, capabilities. Read once, when the engine opens."""

import glob
import os
import platform
from dataclasses import dataclass
from typing import Final

from cais.errors import Unsupported
from cais.linux.credentials import CAPABILITY_NAMES
from cais.runtime.cgroups import CgroupError, Features, open_hierarchy

MIN_KERNEL: Final = (5, 15)


@dataclass(frozen=True, slots=True)
class Host:
    """Facts that do not change while the engine runs.

    capabilities: those that this process may give away; thermal_paths: files of the processors to be masked.
    inherited_oom_score: this process's own oom_score_adj, which containers would inherit.
    apparmor, selinux: whether the kernel confines with these.
    """

    cpus: int
    memory_bytes: int
    features: Features
    capabilities: frozenset[str]
    hostname: str
    thermal_paths: tuple[str, ...] = ()
    inherited_oom_score: int = 0
    apparmor: bool = False
    selinux: bool = False
    memory_nodes: int = 1

    @property
    def unified_cgroups(self) -> bool:
        """True where control groups are of version 2 only."""
        return self.features.version == 2


def read_host() -> Host:
    """The facts of this host. Raises Unsupported, saying what is missing, where no container could run."""
    check_kernel(platform.release())
    check_overlay(_text("/proc/filesystems"))
    try:
        features = open_hierarchy().features()
    except CgroupError as error:
        raise Unsupported(error.message) from error
    return Host(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        features=features,
        capabilities=bounding_capabilities(_text("/proc/self/status")),
        hostname=os.uname().nodename,
        thermal_paths=tuple(sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"))),
        inherited_oom_score=int(_text("/proc/self/oom_score_adj").strip() or "0"),
        apparmor=_text("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        memory_nodes=len(glob.glob("/sys/devices/system/node/node[0-9]*")) or 1,
    )


def check_kernel(release: str) -> None:
    """Raises Unsupported for a kernel that lacks what the runtime calls."""
    numbers = []
    for part in release.replace("-", ".").split(".")[:2]:
        if not part.isdigit():
            break
        numbers.append(int(part))
    if tuple(numbers) < MIN_KERNEL:
        raise Unsupported(
            f"the kernel {release} is not supported: Cais needs Linux {MIN_KERNEL[0]}.{MIN_KERNEL[1]} or newer"
        )


def check_overlay(filesystems: str) -> None:
    """Raises Unsupported unless overlayfs is there, or its module may yet be loaded (text of /proc/filesystems)."""
    known = {line.split()[-1] for line in filesystems.splitlines() if line.strip()}
    if "overlay" in known:
        return
    # the module is loaded by the first mount, if there is one
    modules = f"/lib/modules/{platform.release()}"
    if not any("/overlay.ko" in _text(f"{modules}/{name}") for name in ("modules.dep", "modules.builtin")):
        raise Unsupported("the kernel has no overlay file system: load or build the module overlay (CONFIG_OVERLAY_FS)")


def bounding_capabilities(status: str) -> frozenset[str]:
    """The capabilities of the bounding set in the text of /proc/PID/status, by name."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            mask = int(line.split()[1], 16)
            return frozenset(name for number, name in enumerate(CAPABILITY_NAMES) if mask >> number & 1)
    return frozenset()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
