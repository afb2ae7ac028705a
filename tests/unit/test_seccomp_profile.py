"""Seccomp profiles in Docker's JSON format."""

import json
import platform
from errno import ENOSYS, EPERM

import pytest

from cais.engine import seccomp_compile
from cais.engine.seccomp_policy import DEFAULT, Action, Comparison, Conditions, Policy, Rule
from cais.engine.seccomp_profile import parse
from cais.errors import InvalidArgument, Unsupported
from cais.linux import libseccomp
from tests.harness import classic_bpf

NATIVE_NAME = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[platform.machine()]
NATIVE = {"x86_64": classic_bpf.X86_64, "aarch64": classic_bpf.AARCH64}[platform.machine()]
ALLOW = {"action": "SCMP_ACT_ALLOW"}


def policy(**document: object) -> Policy:
    return parse(json.dumps(document).encode())


def answer(compiled: bytes, name: str, *arguments: int) -> int:
    return classic_bpf.run(compiled, NATIVE, libseccomp.resolve(name, NATIVE), arguments)


def test_everything_is_read() -> None:
    parsed = policy(
        defaultAction="SCMP_ACT_ERRNO",
        defaultErrnoRet=5,
        archMap=[
            {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]},
            {"architecture": NATIVE_NAME, "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_ARM"]},
        ],
        syscalls=[
            {
                "names": ["read", "write"],
                "action": "SCMP_ACT_TRACE",
                "errnoRet": 7,
                "args": [{"index": 2, "value": 18446744073709551615, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
                "comment": "why",
                "includes": {"caps": ["CAP_KILL"], "arches": ["amd64"], "minKernel": "5.10"},
                "excludes": {"caps": ["CAP_BPF"]},
            },
            {"name": "getpid", "action": "SCMP_ACT_ERRNO", "args": None, "includes": {}},
        ],
        unknown=1,
    )
    assert parsed == Policy(
        Action("ERRNO", 5),
        (
            Rule(
                ("read", "write"),
                Action("TRACE", 7),
                (Comparison(2, "MASKED_EQ", 2**64 - 1, 1),),
                Conditions(("CAP_KILL",), ("amd64",), (5, 10)),
                Conditions(("CAP_BPF",)),
            ),
            Rule(("getpid",), Action("ERRNO", EPERM)),
        ),
        ("SCMP_ARCH_X86", "SCMP_ARCH_ARM"),
    )


def test_other_architectures_can_be_listed_without_their_masters() -> None:
    assert policy(defaultAction="SCMP_ACT_ALLOW", architectures=["SCMP_ARCH_X86"]).architectures == ("SCMP_ARCH_X86",)
    assert policy(defaultAction="SCMP_ACT_ALLOW").architectures == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, '"defaultAction": no action is given'),
        ({"defaultAction": "ALLOW"}, '"defaultAction": unknown action "ALLOW"'),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}, "an errno is a number from 0 to 4095, not 4096"),
        ({"syscalls": [{"names": ["a"]}]}, r'"syscalls\[0\].action": no action is given'),
        ({"syscalls": [{"names": ["a"], "name": "b", **ALLOW}]}, "use either 'name' or 'names'"),
        ({"architectures": ["x"], "archMap": [{}]}, "use either 'architectures' or 'archMap'"),
        ({"syscalls": [{"names": ["a"], "args": [{"op": "EQ"}], **ALLOW}]}, r'args\[0\]": unknown operator "EQ"'),
        (
            {"syscalls": [{"names": ["a"], "args": [{"op": "SCMP_CMP_EQ", "index": 6}], **ALLOW}]},
            "arguments 0 to 5, not 6",
        ),
        (
            {"syscalls": [{"names": ["a"], "args": [{"op": "SCMP_CMP_EQ", "value": -1}], **ALLOW}]},
            "64 bits and no sign",
        ),
        (
            {"syscalls": [{"names": ["a"], "includes": {"minKernel": "5"}, **ALLOW}]},
            'minKernel": invalid kernel version "5"',
        ),
        ({"syscalls": {}}, r"Decoding seccomp profile failed: .*\$.syscalls"),
        ({"syscalls": [{"names": ["a"] * 20000, **ALLOW}]}, "more than 10000 names"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        policy(**({"defaultAction": "SCMP_ACT_ERRNO", **document} if document else {}))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"defaultAction": 1}'])
def test_what_is_no_profile_at_all_is_an_error_of_decoding(text: bytes) -> None:
    with pytest.raises(InvalidArgument, match="Decoding seccomp profile failed"):
        parse(text)


@pytest.mark.parametrize(
    "document",
    [
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"},
        {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]},
    ],
)
def test_what_is_not_supported_is_said(document: dict[str, object]) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        policy(**document)


def test_a_profile_that_refuses_some_calls_and_allows_the_rest() -> None:
    compiled = seccomp_compile.compile_policy(
        policy(
            defaultAction="SCMP_ACT_ALLOW",
            syscalls=[
                {"names": ["mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO"},
                {"name": "unlinkat", "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
                {"name": "getpid", "action": "SCMP_ACT_KILL_PROCESS"},
                {"name": "getppid", "action": "SCMP_ACT_ALLOW"},
            ],
        ),
        (),
    )
    assert answer(compiled, "mkdirat") == classic_bpf.errno(EPERM)
    assert answer(compiled, "unlinkat") == classic_bpf.errno(ENOSYS)
    assert answer(compiled, "getpid") == 0x80000000
    assert answer(compiled, "getppid") == answer(compiled, "read") == classic_bpf.ALLOW
    assert classic_bpf.run(compiled, NATIVE, 9999) == classic_bpf.ALLOW


def test_a_profile_that_lists_few_calls_answers_enosys_beyond_its_last_one() -> None:
    names = ["read", "openat2", "mseal"]
    compiled = seccomp_compile.compile_policy(
        policy(defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=EPERM, syscalls=[{"names": names, **ALLOW}]), ()
    )
    assert answer(compiled, "openat2") == classic_bpf.run(compiled, NATIVE, 462) == classic_bpf.ALLOW
    assert answer(compiled, "write") == classic_bpf.errno(EPERM)
    assert classic_bpf.run(compiled, NATIVE, 463) == classic_bpf.errno(ENOSYS)


def test_comparisons_of_several_arguments_must_all_hold_and_of_one_argument_any() -> None:
    def one(index: int, operator: str, value: int) -> dict[str, object]:
        return {"index": index, "op": f"SCMP_CMP_{operator}", "value": value}

    compiled = seccomp_compile.compile_policy(
        policy(
            defaultAction="SCMP_ACT_ERRNO",
            syscalls=[
                {"name": "read", "args": [one(0, "EQ", 3), one(2, "LE", 10)], **ALLOW},
                {"name": "write", "args": [one(0, "EQ", 1), one(0, "EQ", 2)], **ALLOW},
                {"name": "lseek", "args": [one(1, "GT", 5)], **ALLOW},
                {"name": "fsync", "args": [one(0, "NE", 5)], **ALLOW},
                {"name": "getpid", **ALLOW},
            ],
        ),
        (),
    )
    results = [answer(compiled, "read", *arguments) for arguments in ((3, 0, 10), (3, 0, 11), (4, 0, 10))]
    refused = classic_bpf.errno(EPERM)
    assert results == [classic_bpf.ALLOW, refused, refused]
    assert [answer(compiled, "write", value) for value in (0, 1, 2)] == [refused, classic_bpf.ALLOW, classic_bpf.ALLOW]
    assert [answer(compiled, "lseek", 0, value) for value in (5, 6)] == [refused, classic_bpf.ALLOW]
    assert [answer(compiled, "fsync", value) for value in (5, 6)] == [refused, classic_bpf.ALLOW]


def test_an_architecture_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match='unknown architecture "x86"'):
        seccomp_compile.compile_policy(policy(defaultAction="SCMP_ACT_ALLOW", architectures=["x86"]), ())


@pytest.mark.skipif(NATIVE != classic_bpf.X86_64, reason="about x86")
def test_only_the_listed_kinds_of_program_may_run() -> None:
    rules = [{"name": "read", **ALLOW}]
    alone = seccomp_compile.compile_policy(policy(defaultAction="SCMP_ACT_ERRNO", syscalls=rules), ())
    assert classic_bpf.run(alone, classic_bpf.I386, 3) == classic_bpf.KILL
    assert classic_bpf.run(alone, classic_bpf.X86_64, 0x40000000) == classic_bpf.KILL
    both = policy(defaultAction="SCMP_ACT_ERRNO", syscalls=rules, architectures=[NATIVE_NAME, "SCMP_ARCH_X86"])
    assert classic_bpf.run(seccomp_compile.compile_policy(both, ()), classic_bpf.I386, 3) == classic_bpf.ALLOW


def test_the_default_policy_is_the_same_as_its_json_form() -> None:
    """What Docker publishes can be given as a profile: the two ways meet."""

    def conditions(item: Conditions) -> dict[str, object]:
        kernel = f"{item.kernel[0]}.{item.kernel[1]}" if item.kernel else ""
        return {"caps": list(item.capabilities), "arches": list(item.architectures), "minKernel": kernel}

    document = {
        "defaultAction": f"SCMP_ACT_{DEFAULT.default.kind}",
        "defaultErrnoRet": DEFAULT.default.errno,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
        "syscalls": [
            {
                "names": list(rule.names),
                "action": f"SCMP_ACT_{rule.action.kind}",
                "errnoRet": rule.action.errno,
                "args": [
                    {"index": item.index, "value": item.value, "op": f"SCMP_CMP_{item.operator}"}
                    for item in rule.comparisons
                ],
                "includes": conditions(rule.includes),
                "excludes": conditions(rule.excludes),
            }
            for rule in DEFAULT.rules
        ],
    }
    parsed = policy(**document)
    for capabilities in ((), ("CAP_SYS_ADMIN",)):
        expected = seccomp_compile.compile_policy(DEFAULT, capabilities)
        assert seccomp_compile.compile_policy(parsed, capabilities) == expected
