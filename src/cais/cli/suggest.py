"""What was probably meant by a word that nobody knows."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LETTERS_A_MISTAKE = 3  # one slip in so many letters still looks like the word
_SHORTEST_START = 4


def closest(word: str, known: Iterable[str]) -> str:
    """The name that is nearest to a word, "" when none is near.

    Near is a name that differs in few places, one that the word goes on behind (`networking`: network), or one that
    begins with it, when all that do begin with that one.
    """
    names = sorted(known)
    if not word or not names:
        return ""
    lowered = word.lower()
    distances = {name: edits(lowered, name) for name in names}
    nearest = min(names, key=lambda name: (distances[name], abs(len(name) - len(word))))
    if 0 <= distances[nearest] <= max(1, min(len(word), len(nearest)) // _LETTERS_A_MISTAKE):
        return nearest
    begun = [name for name in names if len(name) >= _SHORTEST_START and lowered.startswith(name)]
    if begun:
        return max(begun, key=len)
    starting = [name for name in names if name.startswith(lowered)]
    return starting[0] if starting and all(name.startswith(starting[0]) for name in starting) else ""


def edits(one: str, other: str) -> int:
    """How many letters to insert, delete, change, or swap with their neighbours, from one word to another."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one):
        earlier, before, row = before, row, [index + 1]
        for place, opposite in enumerate(other):
            cost = min(before[place + 1] + 1, row[place] + 1, before[place] + (letter != opposite))
            if index and place and letter == other[place - 1] and one[index - 1] == opposite:
                cost = min(cost, earlier[place - 1] + 1)
            row.append(cost)
    return row[-1]
