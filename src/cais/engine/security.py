"""The security options of a container: `no-new-privileges`, `seccomp=…` and those that ask for nothing here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cais.engine.text import printable
from cais.errors import InvalidArgument, Unsupported

UNCONFINED: Final = "unconfined"

_BOOLEANS: Final = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """seccomp: "" for the default policy, "unconfined", or a profile in Docker's JSON format."""

    no_new_privileges: bool = False
    seccomp: str = ""


def parse_security_options(options: Iterable[str]) -> SecurityOptions:
    """The options of `HostConfig.SecurityOpt`. Raises InvalidArgument, or Unsupported for what needs another LSM."""
    no_new_privileges = False
    seccomp = ""
    for option in options:
        if option == "no-new-privileges":
            no_new_privileges = True
            continue
        if option == "disable":
            continue
        name, value = _split(option)
        if name == "no-new-privileges":
            if value.lower() not in _BOOLEANS:
                raise InvalidArgument(f'invalid --security-opt 2: "{printable(option)}"')
            no_new_privileges = _BOOLEANS[value.lower()]
        elif name == "seccomp":
            seccomp = "" if value == "builtin" else value
        elif (name == "apparmor" and value == UNCONFINED) or (name == "label" and value == "disable"):
            continue
        elif name in {"apparmor", "label", "writable-cgroups"}:
            raise Unsupported(f'the security option "{printable(option)}" is not supported yet by Cais')
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{printable(option)}"')
    return SecurityOptions(no_new_privileges, seccomp)


def _split(option: str) -> tuple[str, str]:
    """`name=value`, or the older `name:value`."""
    for separator in "=", ":":
        name, found, value = option.partition(separator)
        if found:
            return name, value
    raise InvalidArgument(f'invalid --security-opt 1: "{printable(option)}"')
