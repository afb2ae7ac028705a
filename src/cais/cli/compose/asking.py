"""Asking the user before something is thrown away."""

from __future__ import annotations

import os
import sys

from cais.cli.output import STDIN, STDOUT, out

_YES = {"1", "t", "true", "y", "yes"}


def agreed(question: str) -> bool:
    """What the user answers; where nobody can, as the standard input has an end, no."""
    hint = " (y/N) " if os.isatty(STDIN) and os.isatty(STDOUT) else ""
    out(f"{question}{hint}", end="")
    return sys.stdin.readline().strip().lower() in _YES
