"""Filters as the clients of the API send them: a key, and the values that are wanted for it.

Within a key any value suffices, between keys all must match; a key that was not given matches everything.
What a value is compared with (exactly, as a regular expression, as a label) is the choice of the caller.
"""

import re
from collections.abc import Collection, Mapping
from typing import Final

from cais.engine.text import printable
from cais.errors import InvalidArgument
from cais.gotext import FALSE, TRUE

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")


class Filters:
    """A read-only map of filter names to the values that were asked for."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Collection[str]] | None = None) -> None:
        self._values: dict[str, tuple[str, ...]] = {key: tuple(wanted) for key, wanted in (values or {}).items()}

    def __bool__(self) -> bool:
        return bool(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __repr__(self) -> str:
        return f"Filters({self._values!r})"

    @property
    def names(self) -> list[str]:
        """The keys that were given, also those without any value."""
        return list(self._values)

    def get(self, key: str) -> tuple[str, ...]:
        """The values wanted for `key`; empty when it was not given."""
        return self._values.get(key, ())

    def validate(self, accepted: Collection[str]) -> None:
        """Raises InvalidArgument when a key is not among the accepted ones."""
        for key in self._values:
            if key not in accepted:
                raise InvalidArgument(f"invalid filter '{key}'")

    def exact(self, key: str, *candidates: str) -> bool:
        """True when one of the candidates is wanted, or nothing was asked for under `key`."""
        wanted = self._values.get(key)
        return not wanted or any(candidate in wanted for candidate in candidates)

    def matches(self, key: str, *candidates: str) -> bool:
        """As `exact`, but a wanted value may also be a regular expression found somewhere in a candidate."""
        wanted = self._values.get(key)
        if not wanted:
            return True
        return any(value == candidate or _search(value, candidate) for value in wanted for candidate in candidates)

    def prefix(self, key: str, candidate: str) -> bool:
        """True when the candidate starts with a wanted value, or nothing was asked for under `key`."""
        wanted = self._values.get(key)
        return not wanted or candidate.startswith(wanted)

    def labels(self, key: str, labels: Mapping[str, str]) -> bool:
        """True when *every* wanted `NAME` or `NAME=VALUE` is among the labels."""
        for wanted in self._values.get(key, ()):
            name, equals, value = wanted.partition("=")
            if name not in labels or (equals and labels[name] != value):
                return False
        return True

    def boolean(self, key: str, default: bool) -> bool:
        """The one boolean under `key`; InvalidArgument when it is none, or both were given."""
        wanted = set(self._values.get(key, ()))
        if not wanted:
            return default
        if wanted <= TRUE:
            return True
        if wanted <= FALSE:
            return False
        raise InvalidArgument(f"invalid filter '{key}=[{' '.join(self._values[key])}]'")

    def integers(self, key: str) -> tuple[int, ...]:
        """The wanted values as integers; InvalidArgument when one is none."""
        values = self._values.get(key, ())
        for value in values:
            if not _INTEGER.fullmatch(value):
                raise InvalidArgument(f'strconv.Atoi: parsing "{printable(value)}": invalid syntax')
        return tuple(map(int, values))


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False
