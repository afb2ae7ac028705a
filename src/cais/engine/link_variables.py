"""The variables by which a container on the default bridge finds those that it is linked to, as Docker names them."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

_NOT_TOLD: Final = frozenset({"HOME", "PATH"})
"""Of the other container's own variables: those that say something of it alone."""


def variables(name: str, address: str, ports: Iterable[tuple[int, str]], environment: Iterable[str]) -> list[str]:
    """All that a link says, as NAME=value.

    name: of the link, `/OWN/ALIAS`. address: the other container's; ports: those it exposes, with their protocols;
    environment: its variables.
    """
    prefix = name.rpartition("/")[2].upper().replace("-", "_")
    ordered = sorted(set(ports), key=lambda item: (item[1] != "tcp", item[1], item[0]))
    found = []
    for number, protocol in ordered[:1]:
        found.append(f"{prefix}_PORT={protocol}://{address}:{number}")
    for number, protocol in ordered:
        port = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found += [
            f"{port}={protocol}://{address}:{number}",
            f"{port}_ADDR={address}",
            f"{port}_PORT={number}",
            f"{port}_PROTO={protocol}",
        ]
    for first, last, protocol in _runs(ordered):
        port = f"{prefix}_PORT_{first}_{protocol.upper()}"
        found += [
            f"{port}_START={protocol}://{address}:{first}",
            f"{port}_PORT_START={first}",
            f"{port}_END={protocol}://{address}:{last}",
            f"{port}_PORT_END={last}",
        ]
    found.append(f"{prefix}_NAME={name}")
    for item in environment:
        own, equals, value = item.partition("=")
        if equals and own not in _NOT_TOLD:
            found.append(f"{prefix}_ENV_{own}={value}")
    return found


def _runs(ordered: list[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """The first and the last of ports that follow each other, two at least, with their protocol."""
    found: list[tuple[int, int, str]] = []
    for (number, protocol), (following, other) in pairwise(ordered):
        if other != protocol or following != number + 1:
            continue
        if found and found[-1][1:] == (number, protocol):
            found[-1] = (found[-1][0], following, protocol)
        else:
            found.append((number, following, protocol))
    return found
