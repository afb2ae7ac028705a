"""The C library and the raw system call, declared once.

Everything else in `cais.linux` goes through `check`, which turns a result of -1 into
`OSError(errno, text, path)`, and `syscall`, for calls that older C libraries have no function for.
"""

import ctypes
import os
import platform
from types import MappingProxyType

libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the interpreter's lock while the call runs: what a call that returns in two processes needs.
_libc_locked = ctypes.PyDLL(None, use_errno=True)
for _library in (libc, _libc_locked):
    _library.syscall.restype = ctypes.c_long

MACHINE = platform.machine()

# <asm/unistd_64.h> and <asm-generic/unistd.h>: numbers below 424 differ between architectures.
_NUMBERS = {
    "x86_64": {"clone": 56, "pivot_root": 155, "keyctl": 250, "seccomp": 317, "bpf": 321},
    "aarch64": {"clone": 220, "pivot_root": 41, "keyctl": 219, "seccomp": 277, "bpf": 280},
}
# From 424 on, every architecture has the same number.
_COMMON_NUMBERS = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "close_range": 436,
    "openat2": 437,
    "mount_setattr": 442,
}
NUMBERS = MappingProxyType(_NUMBERS.get(MACHINE, {}) | _COMMON_NUMBERS)

Argument = int | bytes | ctypes.Array[ctypes.c_char] | ctypes.c_char_p | None


def check(result: int, path: str | bytes | int | None = None) -> int:
    """Give `result` back, or raise the OSError of the calling thread's errno when it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        if path is None:
            raise OSError(number, os.strerror(number))
        raise OSError(number, os.strerror(number), path)
    return result


def number(name: str) -> int:
    """The number of a system call on this architecture; OSError(ENOSYS) where it is not known."""
    try:
        return NUMBERS[name]
    except KeyError:
        raise OSError(38, f"no system call number for {name} on {MACHINE}") from None  # ENOSYS


def syscall(name: str, *arguments: object, path: str | bytes | int | None = None) -> int:
    """Call the kernel: integers are passed as longs, bytes and ctypes objects as pointers.

    Raises: OSError with `path`.
    """
    return check(libc.syscall(ctypes.c_long(number(name)), *map(_widen, arguments)), path)


def syscall_locked(name: str, *arguments: object) -> int:
    """As `syscall`, without letting go of the interpreter's lock. For `clone`, in a single-threaded process."""
    return check(_libc_locked.syscall(ctypes.c_long(number(name)), *map(_widen, arguments)))


def _widen(argument: object) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
