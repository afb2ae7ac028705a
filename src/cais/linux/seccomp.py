"""Loading a seccomp filter. seccomp(2)."""

import ctypes

from cais.linux.libc import syscall

# <linux/seccomp.h>
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_LOG = 1 << 1
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1 << 2

_INSTRUCTION_BYTES = 8


class SockFprog(ctypes.Structure):
    """struct sock_fprog of <linux/filter.h>."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load(program: bytes, flags: int = SECCOMP_FILTER_FLAG_SPEC_ALLOW) -> None:
    """Filter every system call of the calling thread, and of what it execs and forks, by a classic BPF program.

    The caller has CAP_SYS_ADMIN or has set no_new_privs. Without SECCOMP_FILTER_FLAG_SPEC_ALLOW, kernels before 5.16
    also turn speculative store bypass off for the process, which costs more than it guards. Raises: OSError.
    """
    code = SockFprog(len(program) // _INSTRUCTION_BYTES, program)
    syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(code))
