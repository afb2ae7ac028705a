"""Memory of processes: the proportional set size, in which a page shared by n processes counts 1/n for each."""

from pathlib import Path


def pss_bytes(pids: list[int]) -> int:
    """The sum over processes; one that is gone counts nothing. Pages of memory files are in it like any other."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += 1024 * int(text.partition("\nPss:")[2].split()[0])
    return total


def descendants(pid: int) -> list[int]:
    """The processes below `pid`."""
    found: list[int] = []
    queue = [pid]
    while queue:
        above = queue.pop()
        for task in Path(f"/proc/{above}/task").glob("*/children"):
            children = [int(child) for child in task.read_text("ascii").split()]
            found += children
            queue += children
    return found


def parent(pid: int) -> int:
    """The parent of `pid`."""
    return int(Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[1])
