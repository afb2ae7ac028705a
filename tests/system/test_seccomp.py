"""The default seccomp policy on the real kernel: children that load it and try."""

import ctypes  # noqa: TID251 - system calls by number, which no library makes for us
import errno
import mmap
import os
import platform
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from cais.engine import seccomp
from cais.engine.capabilities import DEFAULT as DEFAULT_CAPABILITIES
from cais.errors import InvalidArgument
from cais.linux import libseccomp
from cais.linux.credentials import CAPABILITY_NAMES
from cais.linux.libc import libc
from cais.linux.seccomp import load

AF_ALG, AF_VSOCK = 38, 40
CLONE_NEWUSER = 0x10000000
SIGCHLD = 17


@pytest.fixture(scope="module")
def exec_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


def under(program: bytes, action: Callable[[], int]) -> int:
    """The result (0 to 200) of an action in a child that has loaded the program; 128 + signal if one ended it."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            load(program)
            status = action()
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def call(number: int, *arguments: int) -> int:
    """A system call; its errno, or 0."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return ctypes.get_errno() if result < 0 else 0


def number(name: str) -> int:
    found = libseccomp.resolve(name, libseccomp.native_architecture())
    assert found >= 0, name
    return found


def answer(exec_root: Path, capabilities: Collection[str], name: str | int, *arguments: int) -> int:
    """The errno of a call in a child under the default policy."""
    program = Path(seccomp.program(capabilities, exec_root)).read_bytes()
    wanted = number(name) if isinstance(name, str) else name
    return under(program, lambda: call(wanted, *arguments))


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("getpid", (), 0),
        ("mount", (0, 0, 0, 0, 0), errno.EPERM),
        ("umount2", (0, 0), errno.EPERM),
        ("unshare", (CLONE_NEWUSER,), errno.EPERM),
        ("setns", (-1, 0), errno.EPERM),
        ("clone", (CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), errno.EPERM),
        ("clone3", (0, 0), errno.ENOSYS),
        ("keyctl", (0, 0), errno.EPERM),
        ("add_key", (0, 0, 0, 0, 0), errno.EPERM),
        ("bpf", (0, 0, 0), errno.EPERM),
        ("perf_event_open", (0, 0, 0, 0, 0), errno.EPERM),
        ("io_uring_setup", (1, 0), errno.EPERM),
        ("userfaultfd", (0,), errno.EPERM),
        ("open_by_handle_at", (-1, 0, 0), errno.EPERM),
        ("init_module", (0, 0, 0), errno.EPERM),
        ("reboot", (0, 0, 0, 0), errno.EPERM),
        ("ptrace", (0, 0, 0, 0), 0),  # PTRACE_TRACEME
        ("personality", (0,), 0),
        ("personality", (0xFFFFFFFF,), 0),
        ("personality", (0x0040000,), errno.EPERM),  # ADDR_NO_RANDOMIZE
        ("socket", (1, 1, 0), 0),
        ("socket", (2, 1, 0), 0),
        ("socket", (AF_ALG, 5, 0), errno.EPERM),
        ("socket", (AF_VSOCK, 1, 0), errno.EPERM),
        ("chroot", (0,), errno.EFAULT),
        (9999, (), errno.ENOSYS),
        (500, (), errno.ENOSYS),
    ],
)
def test_a_call_of_an_ordinary_container(
    exec_root: Path, name: str | int, arguments: tuple[int, ...], expected: int
) -> None:
    assert answer(exec_root, DEFAULT_CAPABILITIES, name, *arguments) == expected


@pytest.mark.parametrize(
    ("capability", "name", "arguments", "expected"),
    [
        ("CAP_SYS_ADMIN", "mount", (0, 0, 0, 0, 0), errno.EFAULT),
        ("CAP_SYS_ADMIN", "setns", (-1, 0), errno.EBADF),
        ("CAP_SYS_ADMIN", "clone3", (0, 0), errno.EINVAL),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at", (-1, 0, 0), errno.EFAULT),
        ("CAP_SYS_BOOT", "reboot", (0, 0, 0, 0), errno.EINVAL),
        ("CAP_SYS_NICE", "set_mempolicy", (-1, 0, 0), errno.EINVAL),
    ],
)
def test_a_call_that_a_capability_brings(
    exec_root: Path, capability: str, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    assert answer(exec_root, [*DEFAULT_CAPABILITIES, capability], name, *arguments) == expected
    assert answer(exec_root, CAPABILITY_NAMES, name, *arguments) == expected


def test_without_sys_chroot_there_is_no_chroot(exec_root: Path) -> None:
    assert answer(exec_root, [], "chroot", 0) == errno.EPERM


def test_programs_run_and_threads_start(exec_root: Path) -> None:
    program = Path(seccomp.program(DEFAULT_CAPABILITIES, exec_root)).read_bytes()
    script = (
        "import subprocess, threading, socket, tempfile, asyncio\n"
        "thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()\n"
        "assert subprocess.run(['sh', '-c', 'ls / | cat'], capture_output=True, check=True).stdout\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "tempfile.TemporaryFile().write(b'x'); socket.socketpair()\n"
    )
    pid = os.fork()
    if pid == 0:
        try:
            load(program)
            os.execv(sys.executable, [sys.executable, "-c", script])  # noqa: S606 - the filter is on by now
        finally:
            os._exit(255)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86")
def test_a_call_by_the_door_of_32_bit_programs(exec_root: Path) -> None:
    # push rbx; mov eax, edi; mov ebx, esi; xor ecx, ecx; xor edx, edx; int 0x80; pop rbx; ret
    code = bytes.fromhex("53 89f8 89f3 31c9 31d2 cd80 5b c3")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    int_0x80 = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(address)
    program = Path(seccomp.program(DEFAULT_CAPABILITIES, exec_root)).read_bytes()
    getpid, mount, keyctl, socket = 20, 21, 288, 359
    if under(program, lambda: int(int_0x80(getpid, 0) <= 0)) != 0:
        pytest.skip("this kernel runs no 32-bit programs")
    for wanted, argument, expected in (
        (mount, 0, errno.EPERM),
        (keyctl, 0, errno.EPERM),
        (socket, AF_VSOCK, errno.EPERM),
        (socket, AF_ALG, errno.EPERM),
        (9999, 0, errno.ENOSYS),
    ):
        assert under(program, lambda: -int_0x80(wanted, argument)) == expected, wanted  # noqa: B023 - run at once


def test_a_profile_of_the_user_is_loaded(exec_root: Path) -> None:
    profile = b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "mkdir", "action": "SCMP_ACT_ERRNO"}, \
        {"name": "mkdirat", "action": "SCMP_ACT_ERRNO", "errnoRet": 28}, {"name": "sync", "action": "SCMP_ACT_KILL"}]}'
    program = Path(seccomp.custom(profile, [], exec_root)).read_bytes()
    assert under(program, lambda: call(number("mkdirat"), -100, 0, 0)) == errno.ENOSPC
    assert under(program, lambda: call(number("sync"))) == 128 + 31  # SIGSYS
    assert under(program, lambda: call(9999)) == errno.ENOSYS  # the kernel's own
    with pytest.raises(InvalidArgument, match="Decoding seccomp profile failed"):
        seccomp.custom(b"{", [], exec_root)


def test_a_filter_needs_a_privilege_or_no_new_privileges(exec_root: Path) -> None:
    program = Path(seccomp.program(DEFAULT_CAPABILITIES, exec_root)).read_bytes()
    script = (
        "import sys, ctypes; from cais.linux.seccomp import load; program = sys.stdin.buffer.read()\n"
        "try: load(program)\n"
        "except PermissionError: print('refused')\n"
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0); load(program); print('loaded')\n"  # PR_SET_NO_NEW_PRIVS
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        input=program, check=True, capture_output=True, user=65534, group=65534, extra_groups=[],
    )  # fmt: skip
    assert result.stdout.split() == [b"refused", b"loaded"]


def test_programs_are_kept_for_root_alone_and_shared(tmp_path: Path) -> None:
    seccomp.warm(tmp_path)
    first = Path(seccomp.program(DEFAULT_CAPABILITIES, tmp_path))
    assert first.parent == tmp_path / "seccomp"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    written = first.stat().st_mtime_ns
    assert seccomp.program([*DEFAULT_CAPABILITIES, "CAP_NET_ADMIN"], tmp_path) == str(first)
    assert first.stat().st_mtime_ns == written
    assert seccomp.program([*DEFAULT_CAPABILITIES, "CAP_SYS_TIME"], tmp_path) != str(first)
    first.unlink()
    assert Path(seccomp.program(DEFAULT_CAPABILITIES, tmp_path)).exists()
    assert not list(tmp_path.glob("seccomp/.new-*"))


def test_many_threads_ask_for_the_same_program(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(seccomp.program(DEFAULT_CAPABILITIES, tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(os.listdir(tmp_path / "seccomp")) == 1
