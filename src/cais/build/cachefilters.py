"""What of the build cache a prune is about: by fields of records, by age, and by how much is to stay."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from cais.build.cacheentries import Entry
from cais.errors import InvalidArgument
from cais.gotext import go_quote

_FLAGS: Final = frozenset({"inuse", "shared", "private", "mutable", "immutable"})
_TEXTS: Final = frozenset({"id", "parent", "parents", "type", "description"})
FIELDS: Final = frozenset(field + sign for field in _TEXTS for sign in ("", "~", "!")) | _FLAGS
_TRUE, _FALSE = frozenset({"1", "true"}), frozenset({"0", "false"})


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """`field` has the value; `field~` has it as a regular expression in it; `field!` is another.

    One that is a flag is set or, for the value "false", not. An id is found by a part of it too.
    """

    field: str
    value: str

    def lets_through(self, entry: Entry) -> bool:
        """Whether a record is what the filter asks for."""
        field = self.field.rstrip("~!")
        if field in _FLAGS:
            return _flag(entry, field) is (self.value not in _FALSE)
        text = _text(entry, field)
        if self.field.endswith("!"):
            return text != self.value
        if self.field.endswith("~") or field == "id":
            return _search(self.value, text)
        return text == self.value


def record_filter(field: str, values: Collection[str]) -> RecordFilter:
    """Raises: InvalidArgument for several values, and for a flag's value that is neither true nor false."""
    if len(values) > 1:
        raise InvalidArgument("filters expect only one value")
    value = "".join(values)
    if field in _FLAGS and value and value.lower() not in _TRUE | _FALSE:
        raise InvalidArgument(f"invalid value {go_quote(value)} of the filter {field}: true or false")
    return RecordFilter(field, value.lower() if field in _FLAGS else value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """What a prune takes. `everything`: also what images share, and the notes of steps without a layer.

    unused_since_ns: spare what was used since. The sizes, in bytes, are 0 where they are not asked for:
    max_used: no more than this stays; min_free: remove until as much of the file system is free; reserved: this much
    stays in any case.
    """

    everything: bool = False
    reserved_bytes: int = 0
    max_used_bytes: int = 0
    min_free_bytes: int = 0
    unused_since_ns: int | None = None
    filters: tuple[RecordFilter, ...] = ()

    @property
    def is_limited(self) -> bool:
        """Whether something may stay that is not in use."""
        sizes = self.reserved_bytes or self.max_used_bytes or self.min_free_bytes
        return bool(sizes or self.filters or self.unused_since_ns is not None)

    def chosen(self, entries: Iterable[Entry], free_bytes: int) -> list[Entry]:
        """The records to remove of all that there are, given least recently used first."""
        found = list(entries)
        total = sum(entry.size_bytes for entry in found if not entry.shared)
        keep_bytes = self._keep_bytes(total, free_bytes)
        chosen: list[Entry] = []
        for entry in found:
            if keep_bytes is not None and total <= keep_bytes:
                break
            if self._takes(entry):
                chosen.append(entry)
                total -= 0 if entry.shared else entry.size_bytes
        return chosen

    def _keep_bytes(self, total: int, free_bytes: int) -> int | None:
        """How much may stay, None where size does not matter."""
        if not (self.reserved_bytes or self.max_used_bytes or self.min_free_bytes):
            return None
        keep = [self.max_used_bytes] if self.max_used_bytes else []
        if self.min_free_bytes:
            keep.append(total - max(self.min_free_bytes - free_bytes, 0))
        return max(min(keep, default=0), self.reserved_bytes)

    def _takes(self, entry: Entry) -> bool:
        if entry.in_use or (entry.shared and not self.everything):
            return False
        if self.unused_since_ns is not None and entry.last_used_ns >= self.unused_since_ns:
            return False
        return all(one.lets_through(entry) for one in self.filters)


def _flag(entry: Entry, field: str) -> bool:
    return {
        "inuse": entry.in_use,
        "shared": entry.shared,
        "private": not entry.shared,
        "mutable": entry.is_mutable,
        "immutable": not entry.is_mutable,
    }[field]


def _text(entry: Entry, field: str) -> str:
    return {"id": entry.id, "type": entry.kind, "description": entry.description}.get(field, entry.parent)


def _search(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return pattern in text
