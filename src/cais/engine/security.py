"""The security options of a container: `no-new-privileges`, `seccomp=…`, `apparmor=…` and `label=…`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cais.engine.text import printable
from cais.errors import InvalidArgument, Unsupported

UNCONFINED: Final = "unconfined"

_BOOLEANS: Final = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """seccomp: "" for the default policy, "unconfined", or a profile in Docker's JSON format.

    apparmor: the name of a profile, "" when none is named; labels: those of SELinux, as `type:…`.
    """

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    labels: tuple[str, ...] = ()


def parse_security_options(options: Iterable[str]) -> SecurityOptions:
    """The options of `HostConfig.SecurityOpt`. Raises InvalidArgument, Unsupported."""
    no_new_privileges = False
    seccomp, apparmor, labels = "", "", []
    for option in options:
        if option == "disable":
            continue
        name, value = (option, "true") if option == "no-new-privileges" else _split(option)
        if name == "no-new-privileges" and value.lower() in _BOOLEANS:
            no_new_privileges = _BOOLEANS[value.lower()]
        elif name == "seccomp":
            seccomp = "" if value == "builtin" else value
        elif name == "apparmor":
            apparmor = value
        elif name == "label":
            labels.append(value)
        elif name == "writable-cgroups":
            raise Unsupported(f'the security option "{printable(option)}" is not supported yet by Cais')
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{printable(option)}"')
    return SecurityOptions(
        no_new_privileges, seccomp, apparmor, tuple(label for label in labels if label != "disable")
    )  # fmt: skip


def _split(option: str) -> tuple[str, str]:
    """`name=value`, or the older `name:value`."""
    for separator in "=", ":":
        name, found, value = option.partition(separator)
        if found:
            return name, value
    raise InvalidArgument(f'invalid --security-opt 1: "{printable(option)}"')
