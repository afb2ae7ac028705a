"""The device rules of a group as a BPF program, which is how version 2 takes them.

https://docs.kernel.org/admin-guide/cgroup-v2.html#device-controller
"""

from cais.linux import bpf
from cais.runtime.cgroups.devices import DeviceState
from cais.runtime.cgroups.resources import DeviceRule

_TYPES = {"b": bpf.BPF_DEVCG_DEV_BLOCK, "c": bpf.BPF_DEVCG_DEV_CHAR}
_ACCESS = {"r": bpf.BPF_DEVCG_ACC_READ, "w": bpf.BPF_DEVCG_ACC_WRITE, "m": bpf.BPF_DEVCG_ACC_MKNOD}
_TYPE, _WANTED, _MAJOR, _MINOR, _SCRATCH = bpf.R2, bpf.R3, bpf.R4, bpf.R5, bpf.R6


def assemble(state: DeviceState) -> bytes:
    """A program of type BPF_PROG_TYPE_CGROUP_DEVICE that answers 1 for what is allowed and 0 for the rest."""
    parts = [
        bpf.load_word(_TYPE, bpf.R1, bpf.DEV_CTX_ACCESS_TYPE),
        bpf.move_register(_WANTED, _TYPE),
        bpf.shift_right(_WANTED, 16),
        bpf.bitwise_and(_TYPE, 0xFFFF),
        bpf.load_word(_MAJOR, bpf.R1, bpf.DEV_CTX_MAJOR),
        bpf.load_word(_MINOR, bpf.R1, bpf.DEV_CTX_MINOR),
    ]
    for rule in state.exceptions:
        parts += _exception(rule)
    parts += [bpf.move(bpf.R0, int(state.allow)), bpf.exit_program()]
    return b"".join(parts)


def _exception(rule: DeviceRule) -> list[bytes]:
    """If the rule matches, answer; else go on behind it.

    A rule that allows must cover all that is wanted, one that denies any part of it, as on version 1.
    """
    # Built from its end, so that each test knows how much to skip
    code = [bpf.move(bpf.R0, int(rule.allow)), bpf.exit_program()]
    if rule.access != "rwm":
        jump = (
            bpf.jump_unless_same(_SCRATCH, _WANTED, len(code))
            if rule.allow
            else bpf.jump_if_equal(_SCRATCH, 0, len(code))
        )
        mask = sum(_ACCESS[letter] for letter in rule.access)
        code = [bpf.move_register(_SCRATCH, _WANTED), bpf.bitwise_and(_SCRATCH, mask), jump, *code]
    if rule.minor is not None:
        code.insert(0, bpf.jump_unless_equal(_MINOR, rule.minor, len(code)))
    if rule.major is not None:
        code.insert(0, bpf.jump_unless_equal(_MAJOR, rule.major, len(code)))
    code.insert(0, bpf.jump_unless_equal(_TYPE, _TYPES[rule.type], len(code)))
    return code
