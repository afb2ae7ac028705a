"""An interpreter for seccomp programs: what a filter answers to a system call, without a kernel."""

import struct
from collections.abc import Sequence

X86_64 = 0xC000003E
I386 = 0x40000003
AARCH64 = 0xC00000B7
ARM = 0x40000028

ALLOW = 0x7FFF0000
KILL = 0x00000000


def errno(number: int) -> int:
    """The answer "fail with this errno"."""
    return 0x00050000 | number


def run(program: bytes, architecture: int, number: int, arguments: Sequence[int] = ()) -> int:
    """The value that the filter returns. https://docs.kernel.org/userspace-api/seccomp_filter.html"""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    accumulator = 0
    position = 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("=HBBI", program, position * 8)
        position += 1
        if code == 0x06:  # RET K
            return int(operand)
        if code == 0x20:  # LD W ABS
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:  # AND K
            accumulator &= operand
        elif code == 0x05:  # JA
            position += operand
        else:
            holds = {
                0x15: accumulator == operand,
                0x25: accumulator > operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[code]
            position += if_true if holds else if_false
