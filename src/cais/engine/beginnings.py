"""Ids, found by their beginnings."""

import bisect


class Beginnings:
    """Ids in order, so that those with one beginning stand together and are found without looking at the others."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def add(self, identity: str) -> None:
        """Adds an id that is not among them."""
        bisect.insort(self._ids, identity)

    def remove(self, identity: str) -> None:
        """Takes an id out; one that is not among them is none the worse for it."""
        place = bisect.bisect_left(self._ids, identity)
        if place < len(self._ids) and self._ids[place] == identity:
            del self._ids[place]

    def find(self, beginning: str) -> list[str]:
        """The first two ids that begin so, which tells whether one is meant; none for an empty beginning."""
        if not beginning:
            return []
        place = bisect.bisect_left(self._ids, beginning)
        return [identity for identity in self._ids[place : place + 2] if identity.startswith(beginning)]
