"""Text for messages."""

_LONGEST = 200


def printable(text: str) -> str:
    """The beginning of a text with its control characters escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:_LONGEST])


def reason(error: OSError) -> str:
    """What went wrong, and with what, in the words of the kernel."""
    text = error.strerror or str(error)
    return f"{text}: {str(error.filename)!r}" if error.filename is not None else text


def binary_size(size_bytes: int) -> str:
    """A size in units of 1024, with at most four digits: "64MiB", "1.5GiB"."""
    size, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.4g}{units[0]}"
