"""NAME=VALUE pairs from flags and from files: environments and labels."""

from __future__ import annotations

import os

_BOM = "\ufeff"


def environment(files: list[str], pairs: list[str]) -> list[str]:
    """The variables of the files, then those of the flags. A bare NAME has the value that it has here.

    One that is not set here is left out of a file, and as a flag tells the engine to unset it. Raises ValueError for
    a file that cannot be read.
    """
    found = []
    for pair in (line for path in files for line in _lines(path)):
        if "=" in pair:
            found.append(pair)
        elif pair in os.environ:
            found.append(f"{pair}={os.environ[pair]}")
    for pair in pairs:
        found.append(f"{pair}={os.environ[pair]}" if "=" not in pair and pair in os.environ else pair)
    return found


def labels(files: list[str], pairs: list[str]) -> dict[str, str]:
    """The labels of the files, then those of the flags, which may be a bare NAME. Raises ValueError."""
    lines = [line for path in files for line in _lines(path) if "=" in line]
    split = (pair.partition("=") for pair in lines + pairs)
    return {name: value for name, _, value in split}


def _lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            raw = file.read().split(b"\n")
    except IsADirectoryError:
        raise ValueError(f"invalid env file ({path}): read {path}: is a directory") from None
    except OSError as error:
        raise ValueError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    found = []
    for number, line in enumerate(raw, 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            shown = " ".join(str(byte) for byte in line)
            raise ValueError(f"invalid env file ({path}): invalid utf8 bytes at line {number}: [{shown}]") from None
        text = text.removeprefix(_BOM if number == 1 else "").removesuffix("\r").lstrip()
        if not text or text.startswith("#"):
            continue
        name = text.partition("=")[0].lstrip()
        if name != "".join(name.split()):
            raise ValueError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        if not name:
            raise ValueError(f"invalid env file ({path}): no variable name on line '{text}'")
        found.append(text)
    return found
