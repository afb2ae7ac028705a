"""Whom a process runs as: Docker's forms of a user, looked up in the container's own /etc/passwd and /etc/group.

The files are parsed here: the C library's look-ups would load modules from the container.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cais.linux.fs import read_regular
from cais.runtime.errors import Reason, StartFailed

_FILES = _PASSWD, _GROUP = "/etc/passwd", "/etc/group"
_MAX_ID = 2**31 - 1  # what runc and Docker accept
_MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class User:
    """Numeric ids of a process, and its home folder as /etc/passwd has it ("/" for an id without an entry).

    groups: the supplementary groups, the primary one among them, so that a file which denies that group denies
    this process too (CVE-2022-36109).
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(root_fd: int, text: str, additional: tuple[str, ...] = ()) -> User:
    """The user that `text` means: "", "name", "uid", "name:group", "uid:gid" and the mixed forms.

    additional: further groups by name or number, as `--group-add` has them.
    Raises: StartFailed (invalid) for what has no entry and is no number in range.
    """
    name, colon, group_name = text.partition(":")
    accounts = list(_accounts(_read(root_fd, _PASSWD)))
    groups = list(_groups(_read(root_fd, _GROUP)))
    account = _find_account(accounts, name)
    if colon and group_name:
        gid = _find_group(groups, group_name)
        supplementary: list[int] = []
    else:
        gid = account.gid
        supplementary = [group.gid for group in groups if account.name in group.members]
    supplementary += [_find_group(groups, extra) for extra in additional]
    return User(account.uid, gid, tuple(dict.fromkeys([gid, *supplementary])), account.home)


def state_of_files() -> list[tuple[int, ...]]:
    """What changes whenever the caller's /etc/passwd or /etc/group does."""
    states: list[tuple[int, ...]] = []
    for path in _FILES:
        try:
            status = os.stat(path)
        except OSError as error:
            states.append((error.errno or 0,))
        else:
            states.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return states


def _find_account(accounts: list[_Account], name: str) -> _Account:
    """The first entry of this name or id: a number is an id, whatever an entry may be called."""
    wanted = name or "0"
    if _is_number(wanted):
        uid = _in_range(wanted)
        return next((entry for entry in accounts if entry.uid == uid), _Account("", uid, 0, "/"))
    for entry in accounts:
        if entry.name == wanted:
            return entry
    raise StartFailed(Reason.INVALID, f"unable to find user {name}: no matching entries in passwd file")


def _find_group(groups: list[_Group], name: str) -> int:
    if _is_number(name):
        return _in_range(name)
    for group in groups:
        if group.name == name:
            return group.gid
    raise StartFailed(Reason.INVALID, f"unable to find group {name}: no matching entries in group file")


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _in_range(text: str) -> int:
    # The length is bounded first: int() of a very long string takes long.
    if len(text) > 11 or not 0 <= int(text) <= _MAX_ID:
        raise StartFailed(Reason.INVALID, f"uids and gids must be in range 0-{_MAX_ID}")
    return int(text)


def _read(root_fd: int, path: str) -> list[list[str]]:
    """The lines of a colon-separated file, [] where it is missing or no regular file."""
    try:
        content = read_regular(root_fd, path, _MAX_FILE_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StartFailed(Reason.INVALID, f"read {path} of the container: {error.strerror}") from error
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    return [line.strip().split(":") for line in lines if line.strip() and not line.startswith("#")]


def _number(text: str) -> int | None:
    return int(text) if len(text) <= 10 and text.isascii() and text.isdigit() and int(text) <= _MAX_ID else None


def _accounts(rows: list[list[str]]) -> Iterator[_Account]:
    for row in rows:
        if len(row) < 4 or not row[0]:
            continue
        uid, gid = _number(row[2]), _number(row[3])
        if uid is not None and gid is not None:  # an entry whose ids can't be read is no entry, never user 0
            yield _Account(row[0], uid, gid, (row[5] if len(row) > 5 else "") or "/")


def _groups(rows: list[list[str]]) -> Iterator[_Group]:
    for row in rows:
        if len(row) >= 3 and row[0] and (gid := _number(row[2])) is not None:
            yield _Group(row[0], gid, tuple(filter(None, row[3].split(","))) if len(row) > 3 else ())
