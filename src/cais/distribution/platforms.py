"""Operating systems and architectures, in the names that images use (those of Go)."""

import os
from collections.abc import Sequence
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

# What a single word may be, as containerd knows them (platforms/database.go).
_SYSTEMS: Final = frozenset(
    (
        "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos"
    ).split()
)
_ARCHITECTURES: Final = frozenset(
    (
        "386 amd64 amd64p32 arm arm64 arm64be armbe loong64 mips mips64 mips64le mips64p32 mips64p32le mipsle ppc "
        "ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm"
    ).split()
)

_BASE_VARIANTS: Final = {"amd64": "v1", "arm64": "v8", "arm": "v7"}
"""What a variant that is not told means."""


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
        if parts[0] in _SYSTEMS:
            return Platform(architecture=host_platform().architecture, os=parts[0])
        if _ALIASES.get(parts[0], parts[0]) not in _ARCHITECTURES:
            raise InvalidArgument(f'"{text}": unknown operating system or architecture: invalid argument')
        parts.insert(0, OS)
    architecture = _ALIASES.get(parts[1], parts[1])
    return Platform(architecture=architecture, os=parts[0], variant=parts[2] if len(parts) > 2 else "")


def matches(wanted: Platform | None, os_name: str, architecture: str) -> bool:
    """Whether an image for this system and architecture is what is wanted; without a wish it always is."""
    return wanted is None or (wanted.os == (os_name or OS) and wanted.architecture == architecture)


def platform_text(platform: Platform) -> str:
    """ "linux/arm64/v8"."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def choose(offered: Sequence[Platform | None], wanted: Platform) -> int | None:
    """The index of the best of several platforms for what is wanted; None when there is none.

    Without a wanted variant the oldest one counts that every such processor has, on arm the newest up to this
    machine's; a variant runs what is for an older one too. One that does not say what it is for is taken last.
    """
    ranked = []
    for index, platform in enumerate(offered):
        if platform is None or not platform.os or not platform.architecture:
            ranked.append((1000, index))
        elif (platform.os, _ALIASES.get(platform.architecture, platform.architecture)) == (
            wanted.os,
            wanted.architecture,
        ):
            rank = _distance(wanted.architecture, platform.variant, wanted.variant)
            if rank is not None:
                ranked.append((rank, index))
    return min(ranked)[1] if ranked else None


def _distance(architecture: str, offered: str, wanted: str) -> int | None:
    """How far an offered variant is below the wanted one; None when it does not run there."""
    base = _BASE_VARIANTS.get(architecture)
    if base is None:
        return 0 if offered == wanted or not wanted else None
    has = _variant_number(offered or base)
    needs = _variant_number(wanted or _default_variant(architecture, base))
    return None if has is None or needs is None or has > needs else needs - has


def _default_variant(architecture: str, base: str) -> str:
    if architecture != "arm":
        return base
    return "v6" if os.uname().machine.startswith("armv6") else "v7"


def _variant_number(variant: str) -> int | None:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 4 else None
