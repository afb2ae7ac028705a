"""JSON laid out for reading, without changing anything of what the engine wrote: numbers, escapes and order stay."""

import re

_INDENT = "    "
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+')


def indented_json(data: bytes, indent: str = _INDENT) -> str:
    """One member a line, four spaces or another `indent` a level; an empty list or map stays on its line."""
    parts: list[str] = []
    depth = 0
    opened = False  # the word before opened a list or a map
    for word in _WORD.findall(data.decode("utf-8", "replace")):
        if word in {"}", "]"}:
            depth -= 1
            parts.append(word if opened else f"\n{indent * depth}{word}")
            opened = False
            continue
        if opened:
            parts.append(f"\n{indent * depth}")
        opened = word in {"{", "["}
        depth += opened
        if word == ",":
            parts.append(f",\n{indent * depth}")
        else:
            parts.append(": " if word == ":" else word)
    return "".join(parts)


def compact_json(data: bytes) -> str:
    """Without any blanks between the words."""
    return "".join(_WORD.findall(data.decode("utf-8", "replace")))
