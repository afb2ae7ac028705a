"""Patterns of Go's path.Match, which Docker's filters and Dockerfiles have."""

import re
from typing import Final

from cais.errors import InvalidArgument

_MEMBERS: Final = re.compile(r"\[(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL)


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of Go's path.Match: `*` and `?` do not match "/". Raises: InvalidArgument."""
    made = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "*":
            made += "[^/]*"
        elif char == "?":
            made += "[^/]"
        elif char == "\\" and position + 1 < len(text):
            position += 1
            made += re.escape(text[position])
        elif char == "[":
            members = _MEMBERS.match(text, position)
            if members is None:
                raise InvalidArgument("syntax error in pattern")
            made += f"[{'^/' if members[1] else ''}{members[2].replace('[', chr(92) + '[')}]"
            position = members.end() - 1
        else:
            made += re.escape(char)
        position += 1
    try:
        return re.compile(made)
    except re.error:
        raise InvalidArgument("syntax error in pattern") from None
