"""Operating systems and architectures, in the names that images use (those of Go)."""

import os
from typing import Final

from cais.distribution.oci import Platform
from cais.errors import InvalidArgument

OS: Final = "linux"

_MACHINES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}
_ALIASES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


def host_platform() -> Platform:
    """The platform that runs here without emulation."""
    machine = os.uname().machine
    return Platform(architecture=_MACHINES.get(machine, machine), os=OS)


def parse_platform(text: str) -> Platform | None:
    """ "os[/architecture[/variant]]" or an architecture alone; None for an empty text. Raises: InvalidArgument."""
    if not text:
        return None
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(part and part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidArgument(f'"{text}" is an invalid OS/arch: must be in the form os[/arch[/variant]]')
    if len(parts) == 1:
        if parts[0] in (OS, "windows", "darwin", "freebsd"):
            return Platform(architecture=host_platform().architecture, os=parts[0])
        parts.insert(0, OS)
    architecture = _ALIASES.get(parts[1], parts[1])
    return Platform(architecture=architecture, os=parts[0], variant=parts[2] if len(parts) > 2 else "")


def matches(wanted: Platform | None, os_name: str, architecture: str) -> bool:
    """Whether an image for this system and architecture is what is wanted; without a wish it always is."""
    return wanted is None or (wanted.os == (os_name or OS) and wanted.architecture == architecture)


def platform_text(platform: Platform) -> str:
    """ "linux/arm64/v8"."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)
