"""A seccomp program that decides as another one does, with fewer instructions.

libseccomp gives every system call a leaf of its own; most neighbours have the same answer. The kernel translates a
program each time that it is loaded, on the way of every start and exec, at about a third of a microsecond an
instruction. So the program is followed for each range of numbers that it can't tell apart, and written again as a
search among the ranges that differ. seccomp(2), bpf(4).
"""

import struct
from dataclasses import dataclass
from typing import Final

from cais.engine.seccomp_stub import X32_SYSCALL_BIT

_Instruction = tuple[int, int, int, int]  # struct sock_filter: code, jt, jf, k
_FORMAT: Final = struct.Struct("=HBBI")
# <linux/bpf_common.h>: those that libseccomp uses
_LD_ABS, _AND, _JA, _JEQ, _JGT, _JGE, _JSET, _RET = 0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06
_OPERATIONS: Final = {_AND, _JEQ, _JGT, _JGE, _JSET}
# struct seccomp_data of <linux/seccomp.h>
_NR, _ARCH = 0, 4
_END_OF_NUMBERS: Final = 1 << 32
_FARTHEST: Final = 255  # how far a comparison can jump
_ANSWER: Final = 1 << 32  # more than any jump, see `_before_answers`

# What is decided: ("ret", value), or, once an argument matters, ("load", offset, then), ("and", mask, then) and
# ("if", comparison, value, true, false)
_Decision = tuple[object, ...]


class _TooClever(Exception):
    """The program does something that libseccomp's don't."""


@dataclass(frozen=True, slots=True)
class _Call:
    architecture: int
    number: int


def shrink(program: bytes) -> bytes:
    """The shorter one of `program` and of what it can be written as."""
    code = [_FORMAT.unpack_from(program, at) for at in range(0, len(program), _FORMAT.size)]
    try:
        written = _write(code)
    except _TooClever:
        return program
    return program if len(written) >= len(code) else b"".join(_FORMAT.pack(*item) for item in written)


def _write(code: list[_Instruction]) -> list[_Instruction]:
    architectures, starts = _told_apart(code)
    written: list[_Instruction] = [(_LD_ABS, 0, 0, _ARCH)]
    for architecture in architectures:
        ranges = _ranges(code, architecture, starts)
        load = [(_LD_ABS, 0, 0, _NR)] if len(ranges) > 1 else []
        written += _branch(_JEQ, architecture, [*load, *_code_of(_search(ranges))], [])
    unknown = next(number for number in range(len(architectures) + 1) if number not in architectures)
    others = _ranges(code, unknown, starts)
    if len(others) > 1:
        raise _TooClever
    return written + _code_of(others[0][1])


def _told_apart(code: list[_Instruction]) -> tuple[list[int], list[int]]:
    """The architectures that the program asks for, and where a number of a call may change the answer."""
    architectures: set[int] = set()
    starts = {0}
    for loaded, operation, value in _operations(code):
        if loaded == _NR:
            starts |= _changes(operation, value)
        elif loaded == _ARCH and operation == _JEQ:
            architectures.add(value)
        elif loaded == _ARCH:
            raise _TooClever
    return sorted(architectures), sorted(start for start in starts if start < _END_OF_NUMBERS)


def _operations(code: list[_Instruction]) -> set[tuple[int, int, int]]:
    """What the program does with what it has loaded: where that was, the operation and its value."""
    found: set[tuple[int, int, int]] = set()
    seen: set[tuple[int, int]] = set()
    left = [(0, -1)]  # where to go on, and what is loaded there
    while left:
        if (here := left.pop()) in seen:
            continue
        seen.add(here)
        at, loaded = here
        operation, if_true, if_false, value = code[at]
        if operation == _JA:
            left.append((at + 1 + value, loaded))
        elif operation == _LD_ABS:
            left.append((at + 1, value))
        elif operation != _RET:
            if operation not in _OPERATIONS:
                raise _TooClever
            found.add((loaded, operation, value))
            # no comparison: the next instruction twice
            left += [(at + 1 + if_true, loaded), (at + 1 + if_false, loaded)]
    return found


def _changes(operation: int, value: int) -> set[int]:
    """The first number of each range in which a comparison of numbers has one answer."""
    if operation == _JSET and value == X32_SYSCALL_BIT:
        return set(range(0, _END_OF_NUMBERS, X32_SYSCALL_BIT))
    if operation not in {_JEQ, _JGT, _JGE}:
        raise _TooClever
    return {_JEQ: {value, value + 1}, _JGT: {value + 1}, _JGE: {value}}[operation]


def _ranges(code: list[_Instruction], architecture: int, starts: list[int]) -> list[tuple[int, _Decision]]:
    """The first number of each range with one decision, and that."""
    ranges: list[tuple[int, _Decision]] = []
    for start in starts:
        decision = _decide(code, 0, _Call(architecture, start), None)
        if not ranges or ranges[-1][1] != decision:
            ranges.append((start, decision))
    return ranges


def _decide(code: list[_Instruction], at: int, call: _Call, loaded: int | None) -> _Decision:
    """Follow the program from `at` on. loaded: what is in the accumulator, None for an argument of the call."""
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == _RET:
            return "ret", value
        if operation == _JA:
            at += value
        elif operation == _LD_ABS and value in {_NR, _ARCH}:
            loaded = call.number if value == _NR else call.architecture
        elif operation == _LD_ABS:
            return "load", value, _decide(code, at, call, None)
        elif operation == _AND:
            return "and", value, _decide(code, at, call, None)
        elif loaded is None:
            true, false = (_decide(code, at + jump, call, None) for jump in (if_true, if_false))
            return true if true == false else ("if", operation, value, true, false)
        else:
            at += if_true if _compare(operation, loaded, value) else if_false


def _compare(operation: int, loaded: int, value: int) -> bool:
    if operation == _JEQ:
        return loaded == value
    if operation == _JGT:
        return loaded > value
    if operation == _JGE:
        return loaded >= value
    return bool(loaded & value)


def _search(ranges: list[tuple[int, _Decision]]) -> _Decision:
    """Find the range of the number in the accumulator, in as few steps as can be."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    return "if", _JGE, ranges[middle][0], _search(ranges[middle:]), _search(ranges[:middle])


def _code_of(decision: _Decision) -> list[_Instruction]:
    """What decides so, complete. Answers are shared as far as a comparison can jump."""
    code = _before_answers(decision)
    answers = list(dict.fromkeys(jump for item in code for jump in item[1:3] if jump > _FARTHEST))
    if len(code) + len(answers) <= _FARTHEST:
        return [
            *((item[0], *_resolved(item, len(code) - at - 1, answers), item[3]) for at, item in enumerate(code)),
            *((_RET, 0, 0, answer - _ANSWER) for answer in answers),
        ]
    match decision:
        case ("if", int(operation), int(value), tuple(true), tuple(false)):
            return _branch(operation, value, _code_of(true), _code_of(false))
        case _:
            raise _TooClever


def _before_answers(decision: _Decision) -> list[_Instruction]:
    """The same without its answers: a jump to one is _ANSWER and the answer."""
    match decision:
        case ("ret", int(value)):
            return [(_RET, 0, 0, value)]
        case ("load", int(offset), tuple(then)):
            return [(_LD_ABS, 0, 0, offset), *_before_answers(then)]
        case ("and", int(mask), tuple(then)):
            return [(_AND, 0, 0, mask), *_before_answers(then)]
        case ("if", int(operation), int(value), tuple(true), tuple(false)):
            if_true, if_false = (_ANSWER + branch[1] if branch[0] == "ret" else 0 for branch in (true, false))
            first = [] if if_false else _before_answers(false)
            second = [] if if_true else _before_answers(true)
            return [(operation, if_true or len(first), if_false, value), *first, *second]
        case _:
            raise _TooClever


def _resolved(item: _Instruction, to_answers: int, answers: list[int]) -> tuple[int, int]:
    if_true, if_false = (to_answers + answers.index(jump) if jump > _FARTHEST else jump for jump in item[1:3])
    return if_true, if_false


def _branch(operation: int, value: int, true: list[_Instruction], false: list[_Instruction]) -> list[_Instruction]:
    """`true` where the comparison holds, else `false`, which comes last."""
    if len(true) <= _FARTHEST:
        return [(operation, 0, len(true), value), *true, *false]
    return [(operation, 1, 0, value), (_JA, 0, 0, len(true)), *true, *false]
