"""Points in time, as the engine writes them."""

from __future__ import annotations


def seconds_of(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 for none."""
    from datetime import datetime  # noqa: PLC0415 -- seldom needed

    if not text or text.startswith("0001-"):
        return 0
    whole, dot, rest = text.replace("Z", "+00:00").partition(".")
    if dot:
        digits = rest[:9].rstrip("+-:0123456789") or rest
        end = next((index for index, letter in enumerate(digits) if letter in "+-"), len(digits))
        whole += f".{digits[:end][:6].ljust(6, '0')}{digits[end:]}"
    return datetime.fromisoformat(whole).timestamp()
