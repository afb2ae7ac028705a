"""Platforms of images as users write them: os[/arch[/variant]], or an architecture alone."""

from __future__ import annotations

import os

from cais.cli.command import CommandError
from cais.client.codec import dumps
from cais.gotext import go_quote

FORMATTED_AS = 'Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
_ARCHITECTURES = {
    "i386": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
}
_KNOWN_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows "
    "zos".split()
)
_KNOWN_ARCHITECTURES = frozenset(
    "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 "
    "mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm".split()
)
_PART = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def platform_query(text: str, wrong: str = "invalid platform: ") -> dict[str, str]:
    """The parameter of the Engine API for a platform: the JSON of an OCI platform; nothing for "".

    Raises CommandError, which begins with `wrong`.
    """
    if not text:
        return {}
    try:
        return {"platform": dumps(parse_platform(text)).decode("ascii")}
    except ValueError as error:
        raise CommandError(f"{wrong}{error}") from None


def parse_platform(text: str) -> dict[str, str]:
    """An OCI platform. Raises ValueError, in the words of Docker's client."""
    parts = text.split("/")
    if len(parts) > 3:
        raise ValueError(f"{go_quote(text)}: cannot parse platform specifier: invalid argument")
    for part in parts:
        if not part or not _PART.issuperset(part):
            raise ValueError(
                f"{go_quote(part)} is an invalid component of {go_quote(text)}: platform specifier component must "
                'match "^[A-Za-z0-9_.-]+$": invalid argument'
            )
    first = parts[0].lower()
    if len(parts) > 1:
        return _platform(first, *parts[1:])
    if first in _KNOWN_SYSTEMS:
        return _platform(first, os.uname().machine)
    if _ARCHITECTURES.get(first, first) in _KNOWN_ARCHITECTURES:
        return _platform("linux", first)
    raise ValueError(f"{go_quote(text)}: unknown operating system or architecture: invalid argument")


def _platform(system: str, architecture: str, variant: str = "") -> dict[str, str]:
    architecture, variant = architecture.lower(), variant.lower()
    if architecture == "armel":
        variant = variant or "v6"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if variant[:1].isdigit():
        variant = f"v{variant}"
    if (architecture, variant) == ("amd64", "v1"):
        variant = ""
    made = {"architecture": architecture, "os": "darwin" if system == "macos" else system}
    return made | ({"variant": variant} if variant else {})
