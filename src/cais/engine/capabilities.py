"""Which capabilities a container gets: Docker's fourteen, more or fewer of them, or all."""

from collections.abc import Collection, Iterable
from typing import Final

from cais.engine.text import printable
from cais.errors import InvalidArgument
from cais.linux.credentials import CAPABILITY_NAMES

DEFAULT: Final = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
ALL: Final = "ALL"

_KNOWN: Final = frozenset(CAPABILITY_NAMES)


def normalise(names: Iterable[str], option: str) -> list[str]:
    """Names in their full form, `CAP_NET_ADMIN`, or `ALL`. Raises InvalidArgument that names the option."""
    result = []
    for given in names:
        name = given.upper()
        if name != ALL and not name.startswith("CAP_"):
            name = f"CAP_{name}"
        if name != ALL and name not in _KNOWN:
            raise InvalidArgument(f'invalid {option}: unknown capability: "{printable(name)}"')
        result.append(name)
    return result


def effective(
    add: Collection[str], drop: Collection[str], privileged: bool, available: Collection[str]
) -> tuple[str, ...]:
    """The capabilities of a container from its normalised options, in a stable order.

    What comes by default or by "all" is lowered to what the engine itself has; what is named must be
    available (`check_available`).
    """
    if privileged:
        chosen = _known(available)
    elif not add and not drop:
        return tuple(name for name in DEFAULT if name in available)
    elif ALL in add:
        chosen = [name for name in _known(available) if name not in drop]
    elif ALL in drop:
        chosen = [*add]
    else:
        chosen = [name for name in DEFAULT if name not in drop and name in available]
        chosen += [name for name in add if name not in chosen]
    return tuple(name for name in chosen if name != ALL)


def check_available(add: Iterable[str], available: Collection[str]) -> None:
    """Raises InvalidArgument for a capability asked for by name that the engine itself lacks."""
    for name in add:
        if name != ALL and name not in available:
            raise InvalidArgument(
                f'invalid CapAdd: capability "{name}" cannot be given: the engine itself does not have it on this host'
            )


def _known(available: Collection[str]) -> list[str]:
    return [name for name in CAPABILITY_NAMES if name in available]
