"""What a .dockerignore leaves out of a context: the patterns of Docker (moby/patternmatcher).

name  dir/name   exactly that path, from the root of the context, and what is below it
*  ?  [a-z]      within one name
**               any number of folders
!pattern         not left out after all; the last pattern that matches decides
"""

import posixpath
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Final

from cais.errors import InvalidArgument

_ESCAPED: Final = frozenset(".+()|{}$\\")
_WILD: Final = {"*": "[^/]*", "?": "[^/]", "[": "[", "]": "]"}
_BYTE_ORDER_MARK: Final = "\ufeff"

Matched = tuple[bool, ...]  # which patterns matched a path or a folder above it, for what is below


class Ignore:
    """The patterns, in their order. Raises: InvalidArgument for one that makes no sense."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_Pattern(_clean(text)) for text in map(str.strip, patterns) if text]
        self.has_exceptions = any(pattern.is_exception for pattern in self._patterns)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def leaves_out(self, path: str) -> bool:
        """Whether a path (relative, with slashes) is left out, itself or with a folder above it."""
        matched: Matched = ()
        left_out = False
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            left_out, matched = self.verdict("/".join(parts[:end]), matched)
        return left_out

    def verdict(self, path: str, above: Matched) -> tuple[bool, Matched]:
        """The same, for who walks: `above` is what this gave for the folder of the path, () at the root."""
        left_out = False
        matched: list[bool] = []
        for index, pattern in enumerate(self._patterns):
            hit = above[index] if above else False
            if not hit and pattern.is_exception == left_out:
                hit = pattern.matches(path)
            matched.append(hit)
            if hit:
                left_out = not pattern.is_exception
        return left_out, tuple(matched)

    def may_be_needed(self, folder: str) -> bool:
        """Whether something below a folder that is left out may be an exception."""
        return any(pattern.is_exception and pattern.may_match_below(folder) for pattern in self._patterns)


def parse_ignore(text: str | bytes) -> list[str]:
    """The patterns of a .dockerignore: comments and blank lines are none, a leading slash means nothing."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    patterns: list[str] = []
    for line in text.removeprefix(_BYTE_ORDER_MARK).split("\n"):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        exception = "!" if pattern.startswith("!") else ""
        pattern = pattern[len(exception) :].strip()
        if pattern:
            pattern = _go_clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        patterns.append(exception + pattern)
    return patterns


def _go_clean(path: str) -> str:
    """A path without what means nothing, as Go cleans it: two slashes at the beginning are one."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _clean(pattern: str) -> str:
    cleaned = _go_clean(pattern)
    if cleaned == "!":
        raise InvalidArgument('illegal exclusion pattern: "!"')
    return cleaned


class _Pattern:
    def __init__(self, text: str) -> None:
        self.is_exception = text.startswith("!")
        self.text = text.removeprefix("!")
        self.matches = _matcher(self.text)
        wild = re.search(r"[*?\[\\]", self.text)
        self._plain_start = self.text[: wild.start()] if wild else f"{self.text}/"

    def may_match_below(self, folder: str) -> bool:
        start = f"{folder}/"
        return self._plain_start.startswith(start) or start.startswith(self._plain_start)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """What tells whether a path matches. Docker takes a plain path, and `**` at one end of it, literally."""
    kind, expression = _translated(pattern)
    if kind == "regular":
        compiled = _compiled(expression, pattern)
        return lambda path: compiled.fullmatch(path) is not None
    if kind == "suffix":
        suffix = pattern[2:]
        return lambda path: path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])
    if kind == "prefix":
        return lambda path: path.startswith(pattern[:-2])
    return lambda path: path == pattern


def _translated(pattern: str) -> tuple[str, str]:
    """What kind a pattern is of ("exact", "prefix", "suffix", "regular"), and a regular expression for the last."""
    kind = "exact"
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        letter, start = pattern[at], at
        at += 1
        if pattern.startswith("**", start):
            at += 1 + pattern.startswith("/", start + 2)
            ends = at >= len(pattern)
            parts.append(".*" if ends else "(?:.*/)?")
            kind = "suffix" if start == 0 else "prefix" if ends and kind == "exact" else "regular"
        elif letter == "\\" and at < len(pattern):
            parts.append(re.escape(pattern[at]))
            kind, at = "regular", at + 1
        elif letter in _WILD:
            parts.append(_WILD[letter])
            kind = "regular"
        else:
            parts.append(f"\\{letter}" if letter in _ESCAPED else letter)
    return kind, "".join(parts)


def _compiled(expression: str, pattern: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "[[" is a letter in a set, as in Go
            return re.compile(expression, re.DOTALL)
    except (re.error, RecursionError, OverflowError):
        raise InvalidArgument(f"syntax error in pattern: {pattern}") from None
