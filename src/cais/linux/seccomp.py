"""Loading a seccomp filter. seccomp(2)."""

import ctypes

from cais.linux.libc import syscall

_SECCOMP_SET_MODE_FILTER = 1
_INSTRUCTION_BYTES = 8


class SockFprog(ctypes.Structure):
    """struct sock_fprog of <linux/filter.h>."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load(program: bytes, flags: int = 0) -> None:
    """Filter every system call of the calling thread, and of what it execs and forks, by a classic BPF program.

    The caller has CAP_SYS_ADMIN or has set no_new_privs. Raises: OSError.
    """
    code = SockFprog(len(program) // _INSTRUCTION_BYTES, program)
    syscall("seccomp", _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(code))
