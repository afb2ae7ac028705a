"""The files and folders of a cgroup file system: short reads, single writes, errors that name file and value."""

import errno
import itertools
import os
import signal
import time
from collections.abc import Iterable, Iterator

from cais.runtime.cgroups.interface import CgroupError, Write

# Dying processes keep their group busy until they are gone; more than a second means that something is stuck
_REMOVE_SECONDS = 1.0


def check_path(path: str) -> str:
    """A group's path starts with "/" and goes down only."""
    parts = path.split("/")
    if not path.startswith("/") or len(parts) < 2 or any(part in {"", ".", ".."} for part in parts[1:]) or "\0" in path:
        raise CgroupError(f'invalid cgroup path "{path}": it must be absolute and without "." or ".."')
    return path


def read(path: str) -> str:
    """The content of a small file, without the last newline."""
    try:
        return _read(path)
    except OSError as error:
        raise failed(f'read "{path}"', error) from error


def _read(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while chunk := os.read(descriptor, 65536):
            data += chunk
    finally:
        os.close(descriptor)
    return data.decode("utf-8", "surrogateescape").rstrip("\n")


def read_lines(path: str) -> list[str]:
    """The lines of a file; none when it doesn't exist."""
    try:
        return _read(path).splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed(f'read "{path}"', error) from error


def read_first(path: str) -> str:
    """The first line of a file; "" when it doesn't exist (any more), or cannot be read."""
    try:
        return _read(path).partition("\n")[0]
    except OSError:
        return ""


def read_number(path: str) -> int | None:
    """The number in a file; None for "max", or when the file doesn't exist (any more)."""
    try:
        text = _read(path)
    except OSError:
        return None
    return int(text) if text.lstrip("-").isdigit() else None


def read_table(path: str) -> dict[str, int]:
    """The lines "key number" of a file; empty when it doesn't exist (any more)."""
    table = {}
    try:
        lines = _read(path).splitlines()
    except OSError:
        return {}
    for line in lines:
        key, _, value = line.partition(" ")
        if value.lstrip("-").isdigit():
            table[key] = int(value)
    return table


def write(path: str, value: str) -> None:
    """One write of `value` into an existing file."""
    _write_each(path, [value])


def write_all(directory: str, writes: Iterable[Write]) -> None:
    """Each of `writes`, in order, below `directory`."""
    for (name, optional, fallback), group in itertools.groupby(
        writes, key=lambda item: (item.file, item.optional, item.fallback)
    ):
        try:
            _write_each(f"{directory}/{name}", [item.value for item in group])
        except CgroupError as error:
            if error.errno not in {errno.ENOENT, errno.EOPNOTSUPP}:
                raise
            if fallback is not None:
                write(f"{directory}/{fallback[0]}", fallback[1])
            elif not optional:
                hint = "; this kernel has no such limit" if os.path.isdir(directory) else ""
                raise CgroupError(error.message + hint, error.errno) from error


def _write_each(path: str, values: list[str]) -> None:
    """Several values into one file, each by a write of its own."""
    value = values[0]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for value in values:
                os.write(descriptor, value.encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise failed(f'write "{value}" to "{path}"', error) from error


def entry(path: str) -> int:
    """A new descriptor of a file that moves the process that writes "0" into it."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise failed(f'open "{path}"', error) from error


def enter(entries: Iterable[int]) -> None:
    """Move the calling process, which must have one thread, into the groups that these lead to, and close them."""
    try:
        for fd in entries:
            os.write(fd, b"0")
            os.close(fd)
    except OSError as error:
        raise failed("enter a control group", error) from error


def failed(operation: str, error: OSError) -> CgroupError:
    """The error for a failed operation, with the kernel's words."""
    return CgroupError(f"{operation}: {os.strerror(error.errno or 0)}", error.errno)


def make(root: str, path: str) -> None:
    """Make the folder root/path, which must be new, and its parents, which need not be.

    An old one without processes is replaced, so that counters start at 0.
    """
    directory = root + path
    try:
        os.mkdir(directory, 0o755)
    except FileNotFoundError:
        _make_parents(root, path)
        make(root, path)
    except FileExistsError:
        if remove([directory], wait_seconds=0):
            raise CgroupError(f'create cgroup "{directory}": it exists and is in use', errno.EEXIST) from None
        make(root, path)
    except OSError as error:
        raise failed(f'create cgroup "{directory}"', error) from error


def _make_parents(root: str, path: str) -> None:
    if not os.path.isdir(root):
        raise CgroupError(f'create cgroup "{root}{path}": "{root}" does not exist', errno.ENOENT)
    directory = root
    for part in path.split("/")[1:-1]:
        directory += "/" + part
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            continue
        except OSError as error:
            raise failed(f'create cgroup "{directory}"', error) from error


def subgroups(directory: str) -> list[str]:
    """The names of the groups directly below; none when `directory` is gone."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def walk(directory: str) -> Iterator[str]:
    """`directory` and every group below it, parents first."""
    yield directory
    for name in subgroups(directory):
        yield from walk(f"{directory}/{name}")


def pids(directory: str) -> list[int]:
    """The processes of a group and of those below it."""
    found: list[int] = []
    for group in walk(directory):
        try:
            found += map(int, _read(f"{group}/cgroup.procs").split())
        except OSError:  # gone, or threaded: its processes are listed in the domain above
            continue
    return found


def remove(directories: Iterable[str], wait_seconds: float = _REMOVE_SECONDS) -> list[str]:
    """Remove groups and those below them. Returns those that are busy after `wait_seconds`. Missing is fine."""
    deadline = time.monotonic() + wait_seconds
    pause = 0.0002
    left = [directory for directory in directories if not _remove_once(directory)]
    while left and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
        left = [directory for directory in left if not _remove_once(directory)]
    return left


def _remove_once(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise failed(f'remove cgroup "{directory}"', error) from error
    else:
        return True
    children = subgroups(directory)
    if not all([_remove_once(f"{directory}/{name}") for name in children]) or not children:
        return False
    return _remove_once(directory)


def kill_each(numbers: Iterable[int]) -> None:
    """SIGKILL to each; one that is gone is fine."""
    for number in numbers:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
