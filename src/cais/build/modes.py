"""Permissions as `--chmod` has them: an octal number, or chmod(1)'s words such as u=rwX,go-w."""

import re
from dataclasses import dataclass
from typing import Final

from cais.errors import InvalidArgument

_OCTAL: Final = re.compile(r"[0-7]{1,5}")
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=][rwxXst]*)+)")
_ACTION: Final = re.compile(r"([-+=])([rwxXst]*)")
_BITS: Final = {"r": 4, "w": 2, "x": 1}
_SHIFT: Final = {"u": 6, "g": 3, "o": 0}


@dataclass(frozen=True, slots=True)
class Mode:
    """A change of permissions; `number` where it is plain, else the clauses in order."""

    number: int | None = None
    clauses: tuple[tuple[str, str, str], ...] = ()  # who, operator, what

    def applied(self, mode: int, *, is_folder: bool) -> int:
        """The permissions that come of those that something has."""
        if self.number is not None:
            return self.number
        for who, operator, what in self.clauses:
            mask = sum(_mask(one) for one in who)
            bits = _bits(who, what, executable=is_folder or bool(mode & 0o111))
            if operator == "+":
                mode |= bits
            elif operator == "-":
                mode &= ~bits
            else:
                mode = mode & ~mask | bits
        return mode


def parse_mode(text: str) -> Mode:
    """The mode of a text. Raises: InvalidArgument."""
    if _OCTAL.fullmatch(text) and int(text, 8) <= 0o7777:
        return Mode(int(text, 8))
    clauses: list[tuple[str, str, str]] = []
    for part in text.split(","):
        found = _CLAUSE.fullmatch(part)
        if found is None:
            raise InvalidArgument(
                f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            )
        who = "ugo" if not found[1] or "a" in found[1] else found[1]
        clauses += [(who, operator, what) for operator, what in _ACTION.findall(found[2])]
    return Mode(clauses=tuple(clauses))


def _mask(who: str) -> int:
    special = {"u": 0o4000, "g": 0o2000, "o": 0o1000}
    return 7 << _SHIFT[who] | special[who]


def _bits(who: str, what: str, *, executable: bool) -> int:
    permissions = sum(bit for letter, bit in _BITS.items() if letter in what)
    if "X" in what and executable:
        permissions |= 1
    bits = 0
    for one in who:
        bits |= permissions << _SHIFT[one]
    if "s" in what:
        bits |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
    if "t" in what:
        bits |= 0o1000
    return bits
