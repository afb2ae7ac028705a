"""A program that was made shorter answers as before, whatever the call."""

import platform
import struct
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cais.engine import seccomp_compile, seccomp_profile
from cais.engine.capabilities import DEFAULT as DEFAULT_CAPABILITIES
from cais.engine.seccomp_policy import DEFAULT, Policy
from cais.engine.seccomp_shrink import shrink
from cais.linux.credentials import CAPABILITY_NAMES
from tests.harness import classic_bpf

pytestmark = pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="no policy for this machine")

ARCHITECTURES = [classic_bpf.X86_64, classic_bpf.I386, classic_bpf.AARCH64, classic_bpf.ARM, 0, 0xFFFFFFFF]
X32 = 0x40000000
ARGUMENTS = [0, 1, 2, 11, 12, 16, 38, 40, 0x20008, 0x7E020000, 0x10000000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 16]
CUSTOM = b"""{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "rmdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7},
    {"names": ["write"], "action": "SCMP_ACT_KILL_PROCESS", "args": [
        {"index": 0, "value": 5, "op": "SCMP_CMP_GE"}, {"index": 2, "value": 4294967297, "op": "SCMP_CMP_LT"}]},
    {"names": ["kill"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_NE"}]}]}"""


def long(policy: Policy, capabilities: frozenset[str]) -> bytes:
    """The program as it was compiled."""
    with patch.object(seccomp_compile, "shrink", bytes):
        return seccomp_compile.compile_policy(policy, capabilities)


@pytest.fixture(
    scope="module", params=["default", "all capabilities", "custom"],
)  # fmt: skip
def programs(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    """A program, and what it was made into."""
    program = {
        "default": lambda: long(DEFAULT, frozenset(DEFAULT_CAPABILITIES)),
        "all capabilities": lambda: long(DEFAULT, frozenset(CAPABILITY_NAMES)),
        "custom": lambda: long(seccomp_profile.parse(CUSTOM), frozenset()),
    }[request.param]()
    return program, shrink(program)


def test_every_call_is_answered_as_before(programs: tuple[bytes, bytes]) -> None:
    before, after = programs
    numbers = [*range(520), 0x0F0000, 0x0F0005, *range(X32, X32 + 560), 0x80000000, 0xC0000000, 0xFFFFFFFF]
    for architecture in ARCHITECTURES:
        for number in numbers:
            for arguments in [(), (16,), (40, 9, 1 << 32)]:
                expected = classic_bpf.run(before, architecture, number, arguments)
                assert classic_bpf.run(after, architecture, number, arguments) == expected


@given(
    st.sampled_from(ARCHITECTURES),
    st.one_of(st.sampled_from([1, 4, 41, 56, 62, 120, 135, 136, 359, X32 + 41, X32 + 56]), st.integers(0, 0xFFFFFFFF)),
    st.lists(st.one_of(st.sampled_from(ARGUMENTS), st.integers(0, (1 << 64) - 1)), max_size=6),
)
@settings(max_examples=400)
def test_and_whatever_its_arguments(
    programs: tuple[bytes, bytes], architecture: int, number: int, arguments: list[int]
) -> None:
    before, after = programs
    expected = classic_bpf.run(before, architecture, number, arguments)
    assert classic_bpf.run(after, architecture, number, arguments) == expected


def test_the_usual_program_is_less_than_half_as_long() -> None:
    program = long(DEFAULT, frozenset(DEFAULT_CAPABILITIES))
    assert len(shrink(program)) < len(program) / 2


@pytest.mark.parametrize(
    "instructions",
    [
        [(0x20, 0, 0, 0), (0x04, 0, 0, 1), (0x15, 0, 1, 5), (0x06, 0, 0, 0), (0x06, 0, 0, 1)],  # arithmetic
        [(0x20, 0, 0, 4), (0x25, 0, 1, 5), (0x06, 0, 0, 0), (0x06, 0, 0, 1)],  # an architecture above another
        [(0x20, 0, 0, 0), (0x45, 0, 1, 3), (0x06, 0, 0, 0), (0x06, 0, 0, 1)],  # bits of a number
    ],
)
def test_what_is_not_understood_is_left_as_it_is(instructions: list[tuple[int, int, int, int]]) -> None:
    program = b"".join(struct.pack("=HBBI", *item) for item in instructions)
    assert shrink(program) == program
