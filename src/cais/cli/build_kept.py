"""A folder as a context that the engine keeps: only what has changed since the last build is sent."""

from __future__ import annotations

import os
import stat
import time
from hashlib import sha256

from cais.cli.build_files import Entry, pack, scan
from cais.client import builds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cais.cli.build_context import Folder
    from cais.client.engine import Engine

_RECENT_NS = 20_000_000  # the clock of files moves on every 10 ms at the latest


def keep(engine: Engine, folder: Folder, sent: Callable[[int], None], name: str = "") -> str:
    """Make the engine have the folder as it is now; the id of the context. Raises CommandError and EngineError.

    `name` tells uses of one folder apart that leave out different files of it.
    """
    now = time.time_ns()
    entries = list(scan(folder.root, folder.ignore, links=False))
    offer = builds.offer_context(engine, _key(folder.root, name), _manifest(entries, now))
    missing = offer["Missing"]
    if missing is None:
        return offer["Id"]
    wanted = set(missing)
    chosen = [entry for number, entry in enumerate(entries) if number in wanted or not entry.is_file]
    return builds.fill_context(engine, offer["Id"], pack(folder.root, chosen, sent))


def _key(root: str, name: str) -> str:
    """One for each folder of each user of each machine."""
    try:
        with open("/etc/machine-id", "rb") as file:
            machine = file.read()
    except OSError:
        machine = os.uname().nodename.encode()
    return sha256(b"\0".join([machine, str(os.getuid()).encode(), os.fsencode(root), name.encode()])).hexdigest()


def _manifest(entries: list[Entry], now: int) -> bytes:
    """What is compared with the last time: kept_files.py of the engine says what it is."""
    parts: list[str] = []
    for entry in entries:
        info = entry.info
        if info is None:
            continue
        # A file that is changing just now may change once more within the same tick of the clock: it is sent again.
        changed = info.st_ctime_ns if info.st_ctime_ns < now - _RECENT_NS else now
        size = info.st_size if stat.S_ISREG(info.st_mode) else 0
        numbers = f"{info.st_mode:o}\0{size}\0{max(info.st_mtime_ns, 0)}\0{max(changed, 0)}\0{info.st_ino}"
        parts.append(f"{numbers}\0{entry.path}\0{entry.link}\0")
    return "".join(parts).encode("utf-8", "surrogateescape")
