"""What stands before a compiled policy: an answer for the system calls that the policy's time didn't know.

A policy that refuses what it doesn't list would answer EPERM to a call that was invented after it was written, and C
libraries, which fall back to an older call on ENOSYS alone, would fail. So calls with a number beyond the last one that
the policy names answer ENOSYS. And calls that the policy names, but the installed libseccomp doesn't know yet, are
decided here: from 424 on, a call has the same number on every architecture.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# <asm-generic/unistd.h>, Linux 6.4 to 6.17
NEW_CALLS: Final[Mapping[str, int]] = {
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
    "file_getattr": 468,
    "file_setattr": 469,
}

# A process of the x32 kind has the architecture of x86-64 and this bit in the call's number, <asm/unistd.h>
X32_SYSCALL_BIT: Final = 0x40000000
# Calls of 32-bit ARM alone (cacheflush, set_tls) begin here, <asm/unistd.h>
ARM_PRIVATE: Final = 0x0F0000

_RET_ENOSYS: Final = 0x00050000 | 38  # SECCOMP_RET_ERRNO

# <linux/bpf_common.h>; struct seccomp_data of <linux/seccomp.h>
_LD_ABS, _JA, _JEQ, _JGT, _JGE, _JSET, _RET = 0x20, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06
_DATA_NR, _DATA_ARCH = 0, 4

_Instruction = tuple[int, int, int, int]
_TO_POLICY: Final[_Instruction] = (_JA, 0, 0, 0)  # its length is filled in at the end


@dataclass(frozen=True, slots=True)
class Known:
    """What a policy knows of one architecture (its AUDIT_ARCH_* number).

    `last` is the highest number that it names, `x32_last` the same with X32_SYSCALL_BIT (0: x32 is not allowed at
    all); `answers` maps further numbers to what the filter returns for them.
    """

    architecture: int
    last: int
    x32_last: int = 0
    answers: Mapping[int, int] = field(default_factory=dict)


def prepend(known: list[Known], program: bytes, *, enosys: bool) -> bytes:
    """`program` with the answers before it and, if `enosys`, with ENOSYS for what is beyond the last known call."""
    blocks = [_block(item, enosys) for item in known if enosys or item.answers]
    if not blocks:
        return program
    code = [(_LD_ABS, 0, 0, _DATA_ARCH), *(instruction for block in blocks for instruction in block)]
    parts = []
    for position, instruction in enumerate(code):
        if instruction is _TO_POLICY:
            parts.append(_encode((_JA, 0, 0, len(code) - position - 1)))
        else:
            parts.append(_encode(instruction))
    return b"".join(parts) + program


def _block(known: Known, enosys: bool) -> list[_Instruction]:
    """For one architecture, whose number is in the accumulator; skipped by the others."""
    body: list[_Instruction] = [(_LD_ABS, 0, 0, _DATA_NR)]
    if known.x32_last and enosys:
        body += [(_JSET, 0, 3, X32_SYSCALL_BIT), *_beyond(known.x32_last), _TO_POLICY]
    else:
        body += [(_JSET, 0, 1, X32_SYSCALL_BIT), _TO_POLICY]
    body += [(_JGE, 0, 1, ARM_PRIVATE), _TO_POLICY]
    for number, answer in known.answers.items():
        body += [(_JEQ, 0, 1, number), (_RET, 0, 0, answer)]
    if enosys:
        body += _beyond(known.last)
    body.append(_TO_POLICY)
    return [(_JEQ, 0, len(body), known.architecture), *body]


def _beyond(last: int) -> list[_Instruction]:
    return [(_JGT, 0, 1, last), (_RET, 0, 0, _RET_ENOSYS)]


def _encode(instruction: _Instruction) -> bytes:
    """struct sock_filter of <linux/filter.h>."""
    return struct.pack("=HBBI", *instruction)
