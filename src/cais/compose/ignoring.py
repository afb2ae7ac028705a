"""Which files a .dockerignore leaves out: patterns with *, ?, ** and [...], a later one counting more, ! letting in."""

from __future__ import annotations

import re


class Ignored:
    def __init__(self, lines: list[str]) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        self.has_exceptions = False
        for line in lines:
            text = line.strip()
            if not text or line.startswith("#"):
                continue
            lets_in = text.startswith("!")
            pattern = _cleaned(text[1:].strip() if lets_in else text)
            if pattern:
                self._rules.append((re.compile(_expression(pattern)), lets_in))
                self.has_exceptions = self.has_exceptions or lets_in

    def __contains__(self, path: str) -> bool:
        """Whether a path, relative to the context, is left out; a rule for a folder counts for all that is in it."""
        left_out = False
        parts = path.split("/")
        for pattern, lets_in in self._rules:
            if left_out == lets_in and any(
                pattern.fullmatch("/".join(parts[:length])) for length in range(1, len(parts) + 1)
            ):
                left_out = not lets_in
        return left_out


def _cleaned(pattern: str) -> str:
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    return "/".join(parts)


def _expression(pattern: str) -> str:
    found, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            found, at = found + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            found, at = found + ".*", at + 2
        elif pattern[at] == "*":
            found, at = found + "[^/]*", at + 1
        elif pattern[at] == "?":
            found, at = found + "[^/]", at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            found, at = found + pattern[at : end + 1].replace("[!", "[^"), end + 1
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            found, at = found + re.escape(pattern[at + 1]), at + 2
        else:
            found, at = found + re.escape(pattern[at]), at + 1
    return found
