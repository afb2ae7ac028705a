"""Device rules: what a list comes to, and that the lines of version 1 and the program of version 2 say the same."""

import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cais.errors import InvalidArgument
from cais.runtime.cgroups.devices import DEFAULT_RULES, DeviceState, effective, v1_writes
from cais.runtime.cgroups.devices_bpf import assemble
from cais.runtime.cgroups.resources import DeviceRule

ACCESS_BITS = {"m": 1, "r": 2, "w": 4}
JUMPS: dict[int, Callable[[int, int, int], bool]] = {
    0x16: lambda left, _, value: left == value,
    0x56: lambda left, _, value: left != value,
    0x5E: lambda left, right, _: left != right,
}
ARITHMETIC: dict[int, Callable[[int, int, int], int]] = {
    0xB4: lambda _left, _right, value: value,
    0xBC: lambda _left, right, _value: right,
    0x54: lambda left, _, value: left & value,
    0x74: lambda left, _, value: left >> value,
}
DENY_ALL, ALLOW_ALL = DeviceRule(False), DeviceRule(True)


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> int:
    """An interpreter for the instructions that device programs are made of. Returns R0."""
    bits = sum(ACCESS_BITS[letter] for letter in access)
    context = struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = dict.fromkeys(range(11), 0)
    position = 0
    while True:
        code, pair, offset, immediate = struct.unpack_from("=BBhI", program, position * 8)
        left, right = pair & 15, pair >> 4
        position += 1
        if code == 0x95:
            return registers[0]
        if code == 0x61:
            assert right == 1, "only the context is read"
            (registers[left],) = struct.unpack_from("=I", context, offset)
        elif code in JUMPS:
            position += offset if JUMPS[code](registers[left], registers[right], immediate) else 0
        else:
            registers[left] = ARITHMETIC[code](registers[left], registers[right], immediate)


def kernel_says(state: DeviceState, kind: str, major: int, minor: int, access: str) -> bool:
    """What version 1 answers: security/device_cgroup.c, match_exception and match_exception_partial."""
    for rule in state.exceptions:
        if rule.type != kind or rule.major not in {None, major} or rule.minor not in {None, minor}:
            continue
        if rule.allow and set(access) <= set(rule.access):
            return True
        if not rule.allow and set(access) & set(rule.access):
            return False
    return state.allow


def lines(rules: Sequence[DeviceRule] | None) -> list[tuple[str, str]]:
    return [(item.file, item.value) for item in v1_writes(effective(rules))]


def test_the_devices_that_every_container_has_come_from_no_rule() -> None:
    assert lines(None) == [
        ("devices.deny", "a"),
        ("devices.allow", "c *:* m"),
        ("devices.allow", "b *:* m"),
        ("devices.allow", "c 1:3 rwm"),
        ("devices.allow", "c 1:5 rwm"),
        ("devices.allow", "c 1:7 rwm"),
        ("devices.allow", "c 1:8 rwm"),
        ("devices.allow", "c 1:9 rwm"),
        ("devices.allow", "c 5:0 rwm"),
        ("devices.allow", "c 5:1 rwm"),
        ("devices.allow", "c 5:2 rwm"),
        ("devices.allow", "c 136:* rwm"),
    ]


def test_allowing_everything_needs_no_exception() -> None:
    assert lines([DENY_ALL, ALLOW_ALL]) == [("devices.allow", "a")]


def test_rules_for_one_device_are_joined_and_taken_back() -> None:
    rules = [
        DENY_ALL,
        DeviceRule(True, "c", 10, 1, "r"),
        DeviceRule(True, "c", 10, 1, "wm"),
        DeviceRule(True, "b", 8, 0, "rwm"),
        DeviceRule(True, "b", 8, 1, "r"),
        DeviceRule(False, "b", 8, None, "rm"),
    ]
    assert lines(rules)[1:3] == [("devices.allow", "c 10:1 rwm"), ("devices.allow", "b 8:0 w")]
    assert len(lines(rules)) == 3 + len(DEFAULT_RULES)


def test_denying_what_was_not_allowed_changes_nothing() -> None:
    assert lines([DENY_ALL, DeviceRule(False, "c", 10, 229)]) == lines(None)


@pytest.mark.parametrize(
    "rules",
    [
        [DENY_ALL, DeviceRule(True, "c", 10, None), DeviceRule(False, "c", 10, 229, "w")],
        [DENY_ALL, DeviceRule(True, "c", None, 3), DeviceRule(False, "c", 1, None)],
        [ALLOW_ALL, DeviceRule(False, "b", None, None), DeviceRule(True, "b", 8, 0)],
    ],
)
def test_a_part_of_a_wildcard_cannot_be_taken_back(rules: list[DeviceRule]) -> None:
    with pytest.raises(InvalidArgument, match="as a part of the earlier rule"):
        effective(rules)


def test_all_devices_means_all_access() -> None:
    with pytest.raises(InvalidArgument, match='must have access "rwm"'):
        effective([DeviceRule(True, "a", access="r")])


numbers = st.one_of(st.none(), st.integers(0, 3), st.just(2**31), st.just(2**32 - 1))
letters = st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"])
device_rules = st.one_of(
    st.sampled_from([DENY_ALL, ALLOW_ALL]),
    st.builds(DeviceRule, st.booleans(), st.sampled_from("bc"), numbers, numbers, letters),
)


@given(
    st.lists(device_rules, max_size=12),
    st.sampled_from("bc"),
    st.one_of(st.integers(0, 3), st.just(2**32 - 1)),
    st.one_of(st.integers(0, 3), st.just(2**31)),
    letters,
)
def test_the_program_answers_as_version_1_does(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    try:
        state = effective(rules)
    except InvalidArgument:
        return
    assert run(assemble(state), kind, major, minor, access) == kernel_says(state, kind, major, minor, access)


@given(
    st.lists(device_rules, max_size=12),
    st.sampled_from("bc"),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from("rwm"),
)
def test_the_last_rule_that_names_a_device_decides(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    try:
        state = effective(rules)
    except InvalidArgument:
        return
    expected = False
    for rule in (*rules, *(() if state.allow else DEFAULT_RULES)):
        if rule.type == "a" or (
            rule.type == kind and rule.major in {None, major} and rule.minor in {None, minor} and access in rule.access
        ):
            expected = rule.allow
    assert kernel_says(state, kind, major, minor, access) == expected
