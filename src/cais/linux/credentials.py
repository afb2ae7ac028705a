"""What a process may do: capabilities(7), prctl(2), keyrings(7)."""

import ctypes
import errno
import os
from types import MappingProxyType

from cais.linux.libc import check, libc, syscall

# <linux/capability.h>, in the order of their numbers
CAPABILITY_NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
CAPABILITY_NUMBERS = MappingProxyType({name: number for number, name in enumerate(CAPABILITY_NAMES)})

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# <linux/prctl.h>
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_KEYCTL_JOIN_SESSION_KEYRING = 1


class CapHeader(ctypes.Structure):
    """struct __user_cap_header_struct of <linux/capability.h>."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapData(ctypes.Structure):
    """struct __user_cap_data_struct of <linux/capability.h>."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """prctl(2) with up to two arguments."""
    zero = ctypes.c_ulong(0)
    return check(libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(argument3), zero, zero))


def set_dumpable(dumpable: bool) -> None:
    """Let others trace this process and read its /proc files, or not; exec sets it anew. PR_SET_DUMPABLE."""
    prctl(_PR_SET_DUMPABLE, int(dumpable))


def set_keep_capabilities(keep: bool) -> None:
    """Keep permitted capabilities over a change from user 0 to another. PR_SET_KEEPCAPS."""
    prctl(_PR_SET_KEEPCAPS, int(keep))


def set_no_new_privileges() -> None:
    """From now on no exec gains a privilege. PR_SET_NO_NEW_PRIVS."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_name(name: str) -> None:
    """The name of this process in `ps`: 15 bytes at most. proc_pid_comm(5)."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name.encode())
    os.close(fd)


def command_line_place() -> tuple[int, int]:
    """The address, and the bytes, of what `ps` shows as this process's arguments. proc_pid_stat(5)."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, the 48th and 49th with those before ")"
    return start, end - start


def set_command_line(place: tuple[int, int], text: str) -> None:
    """Let `ps` show `text`, cut to what fits, in the place of this process's arguments."""
    address, size = place
    ctypes.memmove(address, text.encode()[: size - 1].ljust(size, b"\0"), size)


def bounding_set() -> frozenset[int]:
    """The numbers of the capabilities in this process's bounding set, those without a name here included."""
    held = set()
    for number in range(64):
        try:
            if prctl(_PR_CAPBSET_READ, number):
                held.add(number)
        except OSError:
            break  # EINVAL: the kernel knows no higher number
    return frozenset(held)


def permitted_set() -> frozenset[int]:
    """The numbers of the capabilities that this process may use. capget(2)."""
    data = (CapData * 2)()
    check(libc.capget(ctypes.byref(CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)), data))
    mask = data[0].permitted | data[1].permitted << 32
    return frozenset(number for number in range(64) if mask >> number & 1)


def drop_from_bounding_set(numbers: frozenset[int]) -> None:
    """Drop capabilities from the bounding set, for good. PR_CAPBSET_DROP."""
    for number in numbers:
        prctl(_PR_CAPBSET_DROP, number)


def set_capabilities(*, effective: frozenset[int], permitted: frozenset[int], inheritable: frozenset[int]) -> None:
    """Set the three capability sets of this process. capset(2)."""
    data = (CapData * 2)()
    for field, numbers in (("effective", effective), ("permitted", permitted), ("inheritable", inheritable)):
        mask = sum(1 << number for number in numbers)
        setattr(data[0], field, mask & 0xFFFFFFFF)
        setattr(data[1], field, mask >> 32)
    header = CapHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    check(libc.capset(ctypes.byref(header), data))


def set_ambient(numbers: frozenset[int]) -> None:
    """Replace the ambient set. PR_CAP_AMBIENT."""
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in numbers:
        prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number)


def new_session_keyring(name: str) -> None:
    """Leave the session keyring for a new one, so that the host's keys stay out of reach. keyctl(2).

    A kernel without keyrings is no error: there is nothing to hide then.
    """
    try:
        syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, name.encode(), 0, 0, 0)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
