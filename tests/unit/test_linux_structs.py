"""The structures and numbers that the kernel is given, against those of its headers."""

import ctypes  # noqa: TID251 - for sizeof
import errno
import os
import platform
import termios

import pytest

from cais.linux import credentials, fs, inotify, libc, mount, namespaces, seccomp, tty


@pytest.mark.parametrize(
    ("structure", "size", "offsets"),
    [
        (fs.OpenHow, 24, {"flags": 0, "mode": 8, "resolve": 16}),  # <linux/openat2.h>, OPEN_HOW_SIZE_VER0
        (mount.MountAttr, 32, {"attr_set": 0, "attr_clr": 8, "propagation": 16, "userns_fd": 24}),  # _SIZE_VER0
        (credentials.CapHeader, 8, {"version": 0, "pid": 4}),  # <linux/capability.h>
        (credentials.CapData, 12, {"effective": 0, "permitted": 4, "inheritable": 8}),
        (seccomp.SockFprog, 16, {"len": 0, "filter": 8}),  # <linux/filter.h>
    ],
)
def test_structures_have_the_kernel_s_layout(
    structure: type[ctypes.Structure], size: int, offsets: dict[str, int]
) -> None:
    assert ctypes.sizeof(structure) == size
    assert {name: getattr(structure, name).offset for name in offsets} == offsets


def test_a_long_has_64_bits() -> None:
    """The raw system calls pass addresses as longs."""
    assert ctypes.sizeof(ctypes.c_long) == ctypes.sizeof(ctypes.c_void_p) == 8


def test_system_call_numbers_are_the_machine_s() -> None:
    """<asm/unistd_64.h> and <asm-generic/unistd.h>."""
    expected = {
        "x86_64": {"clone": 56, "pivot_root": 155, "keyctl": 250, "seccomp": 317, "bpf": 321},
        "aarch64": {"clone": 220, "pivot_root": 41, "keyctl": 219, "seccomp": 277, "bpf": 280},
    }[platform.machine()]
    assert {name: libc.number(name) for name in expected} == expected


def test_newer_system_calls_have_one_number_everywhere() -> None:
    numbers = {
        "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
        "close_range": 436, "openat2": 437, "mount_setattr": 442,
    }  # fmt: skip
    assert {name: libc.number(name) for name in numbers} == numbers


def test_a_system_call_without_a_number_is_an_error() -> None:
    with pytest.raises(OSError, match="no_such_call") as caught:
        libc.number("no_such_call")
    assert caught.value.errno == errno.ENOSYS


def test_the_errno_of_a_failed_call_is_raised_with_the_path() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        fs.openat2(mount.AT_FDCWD, "/no/such/file", 0)
    assert caught.value.filename == "/no/such/file"
    with pytest.raises(OSError, match="Bad file descriptor") as other:
        namespaces.setns(-1, 0)
    assert other.value.errno == errno.EBADF


def test_namespace_flags() -> None:
    """<linux/sched.h>; the interpreter has them from Python 3.12 on."""
    assert namespaces.CLONE_NEWNS == 0x00020000
    assert namespaces.CLONE_NEWCGROUP == 0x02000000
    assert namespaces.CLONE_NEWUTS == 0x04000000
    assert namespaces.CLONE_NEWIPC == 0x08000000
    assert namespaces.CLONE_NEWUSER == 0x10000000
    assert namespaces.CLONE_NEWPID == 0x20000000
    assert namespaces.CLONE_NEWNET == 0x40000000
    assert namespaces._CLONE_PARENT == 0x00008000
    assert namespaces._CLONE_PARENT_SETTID == 0x00100000
    assert namespaces._SIOCGIFFLAGS == 0x8913
    assert namespaces._SIOCSIFFLAGS == 0x8914


def test_mount_flags() -> None:
    """<linux/mount.h> and <linux/fcntl.h>."""
    assert (mount.MS_RDONLY, mount.MS_REC, mount.MS_UNBINDABLE) == (1, 16384, 131072)
    assert (mount.MS_PRIVATE, mount.MS_SLAVE, mount.MS_SHARED) == (262144, 524288, 1048576)
    assert (mount.AT_FDCWD, mount.AT_SYMLINK_NOFOLLOW) == (-100, 0x100)
    assert (mount.AT_EMPTY_PATH, mount.AT_RECURSIVE) == (0x1000, 0x8000)
    assert (mount.MOUNT_ATTR_RDONLY, mount.MOUNT_ATTR_NOSUID, mount.MOUNT_ATTR_NODEV) == (1, 2, 4)
    assert (mount.MOUNT_ATTR_NOEXEC, mount.MOUNT_ATTR__ATIME, mount.MOUNT_ATTR_NOATIME) == (8, 0x70, 0x10)
    assert (mount.MOUNT_ATTR_STRICTATIME, mount.MOUNT_ATTR_NODIRATIME) == (0x20, 0x80)
    assert mount.MOUNT_ATTR_NOSYMFOLLOW == 0x200000


def test_file_flags() -> None:
    """<linux/openat2.h>, <linux/magic.h>, <linux/falloc.h>."""
    assert (fs.RESOLVE_NO_XDEV, fs.RESOLVE_NO_MAGICLINKS, fs.RESOLVE_NO_SYMLINKS) == (1, 2, 4)
    assert (fs.RESOLVE_BENEATH, fs.RESOLVE_IN_ROOT) == (8, 16)
    assert (fs.PROC_SUPER_MAGIC, fs.DEVPTS_SUPER_MAGIC) == (0x9FA0, 0x1CD1)
    assert (fs._FALLOC_FL_KEEP_SIZE, fs._FALLOC_FL_PUNCH_HOLE) == (1, 2)


def test_terminal_requests() -> None:
    """<asm-generic/ioctls.h>: _IO('T', 0x41) and _IOW('T', 0x31, int)."""
    assert tty._TIOCGPTPEER == ord("T") << 8 | 0x41
    assert tty._TIOCSPTLCK == 1 << 30 | 4 << 16 | ord("T") << 8 | 0x31
    assert (termios.TIOCSCTTY, termios.TIOCSWINSZ, termios.FIONREAD) == (0x540E, 0x5414, 0x541B)


def test_capabilities_have_the_kernel_s_numbers() -> None:
    """<linux/capability.h>."""
    some = {
        "CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13,
        "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_MKNOD": 27,
        "CAP_AUDIT_WRITE": 29, "CAP_SETFCAP": 31, "CAP_SYSLOG": 34, "CAP_AUDIT_READ": 37, "CAP_PERFMON": 38,
        "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40,
    }  # fmt: skip
    assert {name: credentials.CAPABILITY_NUMBERS[name] for name in some} == some
    assert len(credentials.CAPABILITY_NAMES) == 41


def test_a_process_can_be_called_otherwise_than_it_was_started() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        credentials.set_name("a-name-too-long-for-it")
        credentials.set_command_line(credentials.command_line_place(), "what is shown")
        for path in ("/proc/self/comm", "/proc/self/cmdline"):
            with open(path, "rb") as file:
                os.write(writer, file.read())
        os._exit(0)
    os.waitpid(pid, 0)
    name, _, line = os.read(reader, 10_000).partition(b"\n")
    assert name == b"a-name-too-long"
    assert line.rstrip(b"\0") == b"what is shown"
    os.close(reader)
    os.close(writer)


def test_the_sets_of_this_process_are_those_that_the_kernel_shows() -> None:
    with open("/proc/self/status", encoding="utf-8") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if line.startswith("Cap"))
    for name, held in (("CapBnd", credentials.bounding_set()), ("CapPrm", credentials.permitted_set())):
        assert sum(1 << number for number in held) == int(status[name], 16)


def test_inotify_flags() -> None:
    """<linux/inotify.h>."""
    assert (inotify.IN_MODIFY, inotify.IN_CREATE, inotify.IN_DELETE, inotify.IN_IGNORED) == (2, 0x100, 0x200, 0x8000)
