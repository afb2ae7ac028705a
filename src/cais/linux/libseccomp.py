"""libseccomp 2.5 or newer: from rules by name to a classic BPF program. seccomp_init(3) and its neighbours.

Loads the library when imported, so it is imported only where a program is compiled. Whoever loads the program into
the kernel needs `cais.linux.seccomp` alone.
"""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

# seccomp.h, enum scmp_filter_attr
SCMP_FLTATR_CTL_OPTIMIZE: Final = 8
OPTIMIZE_BINARY_TREE: Final = 2

# include/uapi/linux/seccomp.h
SCMP_ACT_KILL_PROCESS: Final = 0x80000000
SCMP_ACT_KILL_THREAD: Final = 0x00000000
SCMP_ACT_TRAP: Final = 0x00030000
SCMP_ACT_LOG: Final = 0x7FFC0000
SCMP_ACT_ALLOW: Final = 0x7FFF0000

# seccomp.h, enum scmp_compare
SCMP_CMP_NE: Final = 1
SCMP_CMP_LT: Final = 2
SCMP_CMP_LE: Final = 3
SCMP_CMP_EQ: Final = 4
SCMP_CMP_GE: Final = 5
SCMP_CMP_GT: Final = 6
SCMP_CMP_MASKED_EQ: Final = 7

# seccomp.h: the kernel's AUDIT_ARCH_*, and one of the library's own for x32
SCMP_ARCH_X86: Final = 0x40000003
SCMP_ARCH_X86_64: Final = 0xC000003E
SCMP_ARCH_X32: Final = 0x4000003E
SCMP_ARCH_ARM: Final = 0x40000028
SCMP_ARCH_AARCH64: Final = 0xC00000B7

NR_SCMP_ERROR: Final = -1
_EEXIST: Final = 17


class ScmpArgCmp(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class ScmpVersion(ctypes.Structure):
    """struct scmp_version of seccomp.h."""

    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One argument against `value`; with SCMP_CMP_MASKED_EQ, the argument & `value` against `value_two`."""

    index: int
    operator: int
    value: int
    value_two: int = 0


_library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
_library.seccomp_version.restype = ctypes.POINTER(ScmpVersion)
_library.seccomp_init.argtypes = (ctypes.c_uint32,)
_library.seccomp_init.restype = ctypes.c_void_p
_library.seccomp_release.argtypes = (ctypes.c_void_p,)
_library.seccomp_release.restype = None
_library.seccomp_arch_native.restype = ctypes.c_uint32
_library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
_library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
_library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
_ADD_ARGUMENTS: Final = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(ScmpArgCmp))
_library.seccomp_rule_add_array.argtypes = _ADD_ARGUMENTS
_library.seccomp_rule_add_exact_array.argtypes = _ADD_ARGUMENTS
_library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)


def scmp_act_errno(number: int) -> int:
    """The action "fail with this errno"."""
    return 0x00050000 | number & 0xFFFF


def scmp_act_trace(number: int) -> int:
    """The action "tell the tracer, with this number"."""
    return 0x7FF00000 | number & 0xFFFF


def version() -> tuple[int, int, int]:
    """The version of the library that is loaded."""
    found = _library.seccomp_version().contents
    return found.major, found.minor, found.micro


def native_architecture() -> int:
    """The SCMP_ARCH_* of this machine."""
    architecture: int = _library.seccomp_arch_native()
    return architecture


def resolve(name: str, architecture: int) -> int:
    """The number of a system call; negative if the architecture doesn't have it, NR_SCMP_ERROR if it is unknown."""
    number: int = _library.seccomp_syscall_resolve_name_arch(architecture, name.encode("utf-8", "replace"))
    return number


class Filter:
    """A filter under construction, for this machine's architecture and those added. A context manager.

    Every method raises OSError with the library's negative result as errno.
    """

    def __init__(self, default_action: int) -> None:
        self._context = _library.seccomp_init(default_action)
        if not self._context:
            raise OSError(22, f"seccomp_init: invalid default action {default_action:#x}")  # EINVAL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _library.seccomp_release(self._context)
        self._context = None

    def set_attribute(self, attribute: int, value: int) -> None:
        """seccomp_attr_set(3)."""
        _check(_library.seccomp_attr_set(self._context, attribute, value), "seccomp_attr_set")

    def add_architecture(self, architecture: int) -> None:
        """seccomp_arch_add(3); one that is there already is fine."""
        result = _library.seccomp_arch_add(self._context, architecture)
        if result != -_EEXIST:
            _check(result, f"seccomp_arch_add({architecture:#x})")

    def add_rule(
        self, action: int, number: int, comparisons: Sequence[Comparison] = (), *, exact: bool = False
    ) -> None:
        """seccomp_rule_add_array(3): `number` is this machine's, as `resolve` says.

        An architecture that lacks the call is skipped; with `exact` that is an error.
        """
        items = [ScmpArgCmp(item.index, item.operator, item.value, item.value_two) for item in comparisons]
        array = (ScmpArgCmp * len(items))(*items)
        add = _library.seccomp_rule_add_exact_array if exact else _library.seccomp_rule_add_array
        _check(add(self._context, action, number, len(items), array), f"seccomp_rule_add({number})")

    def export(self) -> bytes:
        """The BPF program: struct sock_filter of <linux/filter.h>, one after another. seccomp_export_bpf(3)."""
        descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            _check(_library.seccomp_export_bpf(self._context, descriptor), "seccomp_export_bpf")
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)


def _check(result: int, operation: str) -> None:
    if result < 0:
        raise OSError(-result, f"{operation}: {os.strerror(-result)}")
