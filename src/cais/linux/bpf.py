"""Extended BPF, bpf(2), as far as device programs of cgroups need it: an assembler, loading, attaching.

https://docs.kernel.org/bpf/standardization/instruction-set.html
"""

import ctypes
import os
import struct

from cais.linux.libc import syscall

# include/uapi/linux/bpf.h
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_DETACH = 9
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 1 << 1

# struct bpf_cgroup_dev_ctx: access_type is (access << 16) | type
BPF_DEVCG_ACC_MKNOD = 1
BPF_DEVCG_ACC_READ = 2
BPF_DEVCG_ACC_WRITE = 4
BPF_DEVCG_DEV_BLOCK = 1
BPF_DEVCG_DEV_CHAR = 2
DEV_CTX_ACCESS_TYPE = 0
DEV_CTX_MAJOR = 4
DEV_CTX_MINOR = 8

R0, R1, R2, R3, R4, R5, R6 = range(7)

# opcode = class | source or size | operation
_LDX_MEM_W = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOV32_IMM, _MOV32_REG = 0xB4, 0xBC
_AND32_IMM, _RSH32_IMM = 0x54, 0x74
_JEQ32_IMM, _JNE32_IMM, _JNE32_REG = 0x16, 0x56, 0x5E
_EXIT = 0x95

_INSTRUCTION_BYTES = 8
_LOG_BYTES = 64 * 1024
_LICENSE = b"Apache-2.0\0"
_NAME = b"cais_devices"


class BpfAttrProgLoad(ctypes.Structure):
    """The part of union bpf_attr that BPF_PROG_LOAD reads, up to `expected_attach_type`."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
    )


class BpfAttrProgAttach(ctypes.Structure):
    """The part of union bpf_attr that BPF_PROG_ATTACH and BPF_PROG_DETACH read."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("replace_bpf_fd", ctypes.c_uint32),
    )


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhI", code, source << 4 | destination, offset, immediate & 0xFFFFFFFF)


def load_word(destination: int, base: int, offset: int) -> bytes:
    """destination = the 32-bit word at base + offset."""
    return _instruction(_LDX_MEM_W, destination, base, offset)


def move(destination: int, value: int) -> bytes:
    """destination = value."""
    return _instruction(_MOV32_IMM, destination, immediate=value)


def move_register(destination: int, source: int) -> bytes:
    """destination = source."""
    return _instruction(_MOV32_REG, destination, source)


def bitwise_and(destination: int, value: int) -> bytes:
    """destination &= value."""
    return _instruction(_AND32_IMM, destination, immediate=value)


def shift_right(destination: int, bits: int) -> bytes:
    """destination >>= bits."""
    return _instruction(_RSH32_IMM, destination, immediate=bits)


def jump_if_equal(register: int, value: int, skip: int) -> bytes:
    """Skip that many instructions if register == value."""
    return _instruction(_JEQ32_IMM, register, offset=skip, immediate=value)


def jump_unless_equal(register: int, value: int, skip: int) -> bytes:
    """Skip that many instructions if register != value."""
    return _instruction(_JNE32_IMM, register, offset=skip, immediate=value)


def jump_unless_same(register: int, other: int, skip: int) -> bytes:
    """Skip that many instructions if the two registers differ."""
    return _instruction(_JNE32_REG, register, other, offset=skip)


def exit_program() -> bytes:
    """Return R0."""
    return _instruction(_EXIT)


def prog_load_cgroup_device(program: bytes) -> int:
    """Load a program of type BPF_PROG_TYPE_CGROUP_DEVICE; returns its descriptor, which the caller closes.

    Raises OSError; if the verifier refuses the program, with the end of what it said.
    """
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(_LICENSE)
    attributes = BpfAttrProgLoad(
        prog_type=BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt=len(program) // _INSTRUCTION_BYTES,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(licence),
        prog_name=_NAME,
        expected_attach_type=BPF_CGROUP_DEVICE,
    )
    try:
        return _bpf(BPF_PROG_LOAD, attributes)
    except OSError as error:
        # The log costs the kernel time, so it is asked for only now
        log = ctypes.create_string_buffer(_LOG_BYTES)
        attributes.log_level, attributes.log_size, attributes.log_buf = 1, _LOG_BYTES, ctypes.addressof(log)
        try:
            return _bpf(BPF_PROG_LOAD, attributes)
        except OSError:
            lines = log.value.decode("utf-8", "replace").splitlines()
            said = "; ".join(line for line in lines[-3:] if line) or "the verifier said nothing"
            raise OSError(error.errno, f"{os.strerror(error.errno or 0)}: {said}") from error


def prog_attach_cgroup_device(cgroup_fd: int, program_fd: int) -> None:
    """Run the program for each device that a process of the group, or below it, opens or makes.

    Programs of groups above are asked too (BPF_F_ALLOW_MULTI): all must agree. Raises OSError.
    """
    _bpf(
        BPF_PROG_ATTACH,
        BpfAttrProgAttach(
            target_fd=cgroup_fd,
            attach_bpf_fd=program_fd,
            attach_type=BPF_CGROUP_DEVICE,
            attach_flags=BPF_F_ALLOW_MULTI,
        ),
    )


def _bpf(command: int, attributes: BpfAttrProgLoad | BpfAttrProgAttach) -> int:
    return syscall("bpf", command, ctypes.byref(attributes), ctypes.sizeof(attributes))
