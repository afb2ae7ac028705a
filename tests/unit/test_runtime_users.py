"""Whom a process runs as: the forms of a user, and files that lie about it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.runtime.errors import Reason, StartFailed
from cais.runtime.users import User, resolve

ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
alice:x:1000:1000:Alice:/home/alice:/bin/sh
bob:x:1001:100::/home/bob:
homeless:x:1002:1002
1003:x:0:0:a number as a name:/evil:/bin/sh
twice:x:1004:1004:::
twice:x:0:0:::
"""
GROUPS = """\
root:x:0:
staff:x:50:alice,bob
users:x:100:
audio:x:29:root,alice,
empty:x:777:
4000:x:0:
"""


def make_root(folder: Path, passwd: str | bytes | None = ACCOUNTS, group: str | bytes | None = GROUPS) -> int:
    """A root folder with these files; its descriptor, which the caller closes."""
    etc = folder / "etc"
    etc.mkdir(exist_ok=True)
    for name, content in (("passwd", passwd), ("group", group)):
        if content is not None:
            (etc / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return os.open(folder, os.O_PATH | os.O_DIRECTORY)


def who(folder: Path, text: str, additional: tuple[str, ...] = ()) -> User:
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        return resolve(fd, text, additional)
    finally:
        os.close(fd)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    os.close(make_root(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(0, 0, (0, 29), "/root")),
        ("root", User(0, 0, (0, 29), "/root")),
        ("0", User(0, 0, (0, 29), "/root")),
        ("alice", User(1000, 1000, (1000, 50, 29), "/home/alice")),
        ("1000", User(1000, 1000, (1000, 50, 29), "/home/alice")),
        ("bob", User(1001, 100, (100, 50), "/home/bob")),
        ("homeless", User(1002, 1002, (1002,), "/")),
        ("4242", User(4242, 0, (0,), "/")),
        ("alice:staff", User(1000, 50, (50,), "/home/alice")),
        ("alice:", User(1000, 1000, (1000, 50, 29), "/home/alice")),
        ("1000:50", User(1000, 50, (50,), "/home/alice")),
        ("4242:4243", User(4242, 4243, (4243,), "/")),
        ("4242:users", User(4242, 100, (100,), "/")),
        (":staff", User(0, 50, (50,), "/root")),
        ("2147483647:2147483647", User(2147483647, 2147483647, (2147483647,), "/")),
        ("twice", User(1004, 1004, (1004,), "/")),
    ],
)
def test_every_form_of_a_user(root: Path, text: str, expected: User) -> None:
    assert who(root, text) == expected


def test_a_number_is_an_id_even_where_an_entry_is_called_so(root: Path) -> None:
    assert who(root, "1003").uid == 1003
    assert who(root, "alice:4000").gid == 4000


def test_a_user_without_an_entry_gets_no_group_that_has_no_members(root: Path) -> None:
    assert who(root, "4242").groups == (0,)


def test_additional_groups_come_by_name_and_by_number(root: Path) -> None:
    assert who(root, "bob", ("audio", "4711", "users")).groups == (100, 50, 29, 4711)


@pytest.mark.parametrize(
    "text",
    ["nobody-here", "4294967296", "4294967295", "2147483648", "-1", "-0x", "+0", " 0", "0 ", "0x0", "1e3", "\u0660",
     "\u00b2", "alice:nogroup", "alice:-1", "alice:2147483648",
     "0:4294967296", "a:b:c", "root\n0", "00000000000000000000000",
     "9" * 5000],
)  # fmt: skip
def test_what_is_neither_an_entry_nor_an_id_is_refused(root: Path, text: str) -> None:
    with pytest.raises(StartFailed) as caught:
        who(root, text)
    assert caught.value.reason is Reason.INVALID


def test_the_words_are_docker_s(root: Path) -> None:
    with pytest.raises(StartFailed, match=r"^unable to find user x: no matching entries in passwd file$"):
        who(root, "x")
    with pytest.raises(StartFailed, match=r"^unable to find group y: no matching entries in group file$"):
        who(root, "alice:y")
    with pytest.raises(StartFailed, match=r"^uids and gids must be in range 0-2147483647$"):
        who(root, "4294967296")


@pytest.mark.parametrize(
    "line",
    ["evil:x:4294967296:0::/:", "evil:x:-1:0::/:", "evil:x::0::/:", "evil:x:1000:::/:", "evil:x:0x10:0::/:",
     "evil:x:99999999999999999999:0::/:", "evil:x:1000", "evil", ":x:0:0::/:", "evil:x:1e3:1::/:", "evil:x: 1:1::/:",
     "#evil:x:1:1::/:", "evil:x:\u0663:1::/:"],
)  # fmt: skip
def test_an_entry_that_cannot_be_read_is_no_entry(tmp_path: Path, line: str) -> None:
    os.close(make_root(tmp_path, f"{line}\n"))
    with pytest.raises(StartFailed):
        who(tmp_path, "evil")
    assert who(tmp_path, "77").uid == 77


def test_without_files_numbers_still_work(tmp_path: Path) -> None:
    os.close(make_root(tmp_path, None, None))
    assert who(tmp_path, "") == User(0, 0, (0,), "/")
    assert who(tmp_path, "5:6") == User(5, 6, (6,), "/")
    with pytest.raises(StartFailed):
        who(tmp_path, "root")


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.close(make_root(tmp_path, None, None))
    os.mkfifo(tmp_path / "etc/passwd")
    with pytest.raises(StartFailed, match="not a regular file"):
        who(tmp_path, "root")


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    os.close(make_root(tmp_path, ACCOUNTS, None))
    (tmp_path / "etc/group").mkdir()
    with pytest.raises(StartFailed, match="/etc/group"):
        who(tmp_path, "alice")


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    os.close(make_root(tmp_path, b"x:x:1:1::/:\n" * 500_000))
    with pytest.raises(StartFailed, match="File too large"):
        who(tmp_path, "x")


def test_a_link_is_followed_inside_the_root_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/passwd").write_text("alice:x:1:2::/in:\n")
    (tmp_path / "passwd").write_text("alice:x:0:0::/out:\n")
    for aim in ("/usr/share/passwd", "../usr/share/passwd", "../../../usr/share/passwd"):
        (root / "etc/passwd").symlink_to(aim)
        assert who(root, "alice").home == "/in"
        (root / "etc/passwd").unlink()
    (root / "etc/passwd").symlink_to(tmp_path / "passwd")
    with pytest.raises(StartFailed):
        who(root, "alice")


def test_a_link_of_proc_is_never_followed(tmp_path: Path) -> None:
    with open(tmp_path / "outside", "w", encoding="ascii") as outside:
        outside.write("alice:x:0:0::/:\n")
        outside.flush()
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/passwd").symlink_to(f"/proc/self/fd/{outside.fileno()}")
        with pytest.raises(StartFailed):
            who(root, "alice")


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=12)
LINES = st.lists(st.lists(FIELD, max_size=8).map(":".join), max_size=8).map("\n".join)


@given(passwd=st.one_of(LINES.map(str.encode), st.binary(max_size=200)), group=LINES, name=FIELD)
def test_whatever_the_files_say_nobody_is_root_by_accident(
    tmp_path_factory: pytest.TempPathFactory, passwd: bytes, group: str, name: str
) -> None:
    """Root is who asks for it, or who has an entry that says so in plain digits."""
    folder = tmp_path_factory.getbasetemp() / "users"
    folder.mkdir(exist_ok=True)
    fd = make_root(folder, passwd, group)
    try:
        user = resolve(fd, name)
    except StartFailed as error:
        assert error.reason is Reason.INVALID
        return
    finally:
        os.close(fd)
    asked = name.partition(":")[0]
    entries = [line.strip().split(":") for line in passwd.decode("utf-8", "surrogateescape").split("\n")]
    plain = any(len(row) > 3 and row[0] == asked and set(row[2]) == {"0"} for row in entries)
    assert user.uid != 0 or asked == "" or set(asked.removeprefix("-")) == {"0"} or plain
    assert 0 <= user.uid < 2**31
    assert all(0 <= gid < 2**31 for gid in user.groups)
    assert user.gid in user.groups
