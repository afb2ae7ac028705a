"""Users that are malformed, or named by hostile files of an image."""

import tarfile

import pytest

from tests.harness.engine import Daemon
from tests.harness.images import GROUPS, RootFilesystem, busybox_root


@pytest.mark.parametrize(
    "user",
    ["4294967296", "4294967295", "2147483648", "-1", "0x0", "+0", " 0", "0 ", "1e3", "00000000000000000000001:x",
     "root:4294967296", "nobody-here", "\u0660", "0:-1", "a:b:c", "root\n0"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["run", "exec"])
def test_a_malformed_user_is_an_error_and_never_root(caisd: Daemon, how: str, user: str) -> None:
    if how == "run":
        answer = caisd.ask(
            "POST", "/containers/create?name=victim", {"Image": "busybox", "Cmd": ["id", "-u"], "User": user}
        )
        if answer.status == 201:
            answer = caisd.ask("POST", "/containers/victim/start")
    else:
        caisd.docker_output("run", "-d", "--name", "victim", "busybox", "sleep", "100")
        body = {"Cmd": ["id", "-u"], "User": user, "AttachStdout": True}
        answer = caisd.ask("POST", "/containers/victim/exec", body)
        if answer.status == 201:
            answer = caisd.ask("POST", f"/exec/{answer.json['Id'].text}/start", {"Detach": True})
    assert 400 <= answer.status <= 500, answer.body
    assert answer.message


def _with_users(kind: str) -> RootFilesystem:
    if kind == "fifo":
        root = busybox_root(passwd=None, group=None)
        root.special("etc/passwd", tarfile.FIFOTYPE)
        root.special("etc/group", tarfile.FIFOTYPE)
    elif kind == "link to a descriptor":
        root = busybox_root(passwd=None, group=None)
        root.link("etc/passwd", "/proc/self/fd/0")
        root.link("etc/group", "/proc/self/fd/0")
    elif kind == "link to an endless device":
        root = busybox_root(passwd=None, group=None)
        root.link("etc/passwd", "/dev/zero")
        root.link("etc/group", "/dev/zero")
    elif kind == "huge":
        root = busybox_root(passwd=b"x:x:1:1::/:/bin/sh\n" * 5_000_000)
    elif kind == "folder":
        root = busybox_root(passwd=None)
        root.folder("etc/passwd")
    elif kind == "absent":
        root = busybox_root(passwd=None, group=None)
    else:
        root = busybox_root(passwd=b"\xff\xfe\nroot\n:::\nevil:x:4294967296:0::/:\nwide:x:1:99999999999::/:\n")
    return root


@pytest.mark.parametrize(
    "kind", ["fifo", "link to a descriptor", "link to an endless device", "huge", "folder", "absent", "malformed"]
)
def test_a_hostile_list_of_users_neither_hangs_nor_gives_root(caisd: Daemon, kind: str) -> None:
    caisd.import_root("users", _with_users(kind))
    named = caisd.docker("run", "--rm", "-u", "someone", "users", "id", "-u", timeout_seconds=20)
    assert named.returncode == 125
    assert named.stdout == ""
    numbered = caisd.docker("run", "--rm", "-u", "1000:1001", "users", "id", timeout_seconds=20)
    assert numbered.returncode in {0, 125}
    if numbered.returncode == 0:
        assert numbered.stdout.startswith("uid=1000 gid=1001")
    for name in ("evil", "wide"):
        assert caisd.docker("run", "--rm", "-u", name, "users", "id", "-u", timeout_seconds=20).stdout == ""
    caisd.ask("DELETE", "/images/users?force=1")


def test_the_groups_of_a_user_are_those_of_the_image_alone(caisd: Daemon) -> None:
    caisd.import_root("groups", busybox_root(group=(GROUPS + "extra:x:4242:root,daemon\n").encode()))
    assert caisd.docker_output("run", "--rm", "-u", "daemon", "groups", "id", "-G").split() == ["1", "50", "4242"]
    assert caisd.docker_output("run", "--rm", "-u", "1234", "groups", "id", "-G").split() == ["0"]
