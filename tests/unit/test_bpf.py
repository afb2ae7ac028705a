"""The layout of what bpf(2) is given."""

import ctypes  # noqa: TID251 - for sizeof

from cais.linux import bpf


def test_the_structures_are_as_the_kernel_has_them() -> None:
    """include/uapi/linux/bpf.h, union bpf_attr."""
    assert ctypes.sizeof(bpf.BpfAttrProgLoad) == 72
    assert bpf.BpfAttrProgLoad.insns.offset == 8
    assert bpf.BpfAttrProgLoad.log_buf.offset == 32
    assert bpf.BpfAttrProgLoad.prog_name.offset == 48
    assert bpf.BpfAttrProgLoad.expected_attach_type.offset == 68
    assert ctypes.sizeof(bpf.BpfAttrProgAttach) == 20


def test_instructions_are_encoded_as_the_kernel_reads_them() -> None:
    assert bpf.load_word(bpf.R2, bpf.R1, 4).hex() == "6112040000000000"
    assert bpf.move(bpf.R0, 1).hex() == "b400000001000000"
    assert bpf.jump_unless_equal(bpf.R4, 0xFFFFFFFF, 3).hex() == "56040300ffffffff"
    assert bpf.exit_program().hex() == "9500000000000000"
