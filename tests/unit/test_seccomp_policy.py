"""The default seccomp policy: its facts, and what its compiled program answers."""

import platform
from collections.abc import Collection
from errno import ENOSYS, EPERM

import pytest

from cais.engine import seccomp_compile
from cais.engine.capabilities import DEFAULT as DEFAULT_CAPABILITIES
from cais.engine.seccomp_policy import DEFAULT, Conditions, Rule
from cais.linux import libseccomp
from cais.linux.credentials import CAPABILITY_NAMES
from tests.harness import classic_bpf
from tests.harness.classic_bpf import ALLOW, KILL

NATIVE = {"x86_64": classic_bpf.X86_64, "aarch64": classic_bpf.AARCH64}[platform.machine()]
COMPAT = {"x86_64": classic_bpf.I386, "aarch64": classic_bpf.ARM}[platform.machine()]
REFUSED, UNKNOWN = classic_bpf.errno(EPERM), classic_bpf.errno(ENOSYS)
X32 = 0x40000000


@pytest.fixture(scope="module")
def programs() -> dict[str, bytes]:
    """The program of an ordinary container, of one with nothing, and of one with every capability."""
    sets: dict[str, Collection[str]] = {"default": DEFAULT_CAPABILITIES, "none": (), "all": CAPABILITY_NAMES}
    return {name: seccomp_compile.compile_policy(DEFAULT, capabilities) for name, capabilities in sets.items()}


def answer(program: bytes, name: str, *arguments: int, architecture: int = NATIVE) -> int:
    number = libseccomp.resolve(name, architecture)
    assert number >= 0, name
    return classic_bpf.run(program, architecture, number, arguments)


def test_the_policy_has_the_names_of_the_published_one() -> None:
    always = DEFAULT.rules[0]
    assert always == Rule(always.names)
    assert len(always.names) == len(set(always.names)) == 360
    assert not {"keyctl", "add_key", "request_key", "io_uring_setup", "userfaultfd", "bpf", "mount"} & set(always.names)
    assert DEFAULT.capabilities() == {
        "CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_PERFMON", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
        "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO",
        "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
    }  # fmt: skip


def test_every_name_is_a_system_call() -> None:
    """A typing error would silently allow one call less."""
    if libseccomp.version() < (2, 5, 4):
        pytest.skip("this libseccomp is too old to know them")
    architectures = (
        libseccomp.SCMP_ARCH_X86_64, libseccomp.SCMP_ARCH_X86, libseccomp.SCMP_ARCH_AARCH64, libseccomp.SCMP_ARCH_ARM,
    )  # fmt: skip
    newer = {
        "getxattrat", "listmount", "listxattrat", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mseal",
        "removexattrat", "setxattrat", "statmount", "uretprobe",
    }  # fmt: skip
    for name in {name for rule in DEFAULT.rules for name in rule.names} - newer:
        assert any(libseccomp.resolve(name, each) != libseccomp.NR_SCMP_ERROR for each in architectures), name


@pytest.mark.parametrize(
    "name",
    [
        "read",
        "openat",
        "execve",
        "clone",
        "ptrace",
        "process_vm_readv",
        "chroot",
        "mknodat",
        "prctl",
        "seccomp",
        "memfd_secret",
    ],
)
def test_ordinary_calls_are_allowed(programs: dict[str, bytes], name: str) -> None:
    assert answer(programs["default"], name) == ALLOW


@pytest.mark.parametrize(
    "name",
    [
        "mount", "umount2", "pivot_root", "unshare", "setns", "bpf", "perf_event_open", "keyctl", "add_key",
        "request_key", "init_module", "finit_module", "kexec_load", "reboot", "swapon", "io_uring_setup", "userfaultfd",
        "open_by_handle_at", "open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr", "quotactl", "acct",
        "clock_settime", "settimeofday", "vhangup", "syslog", "kcmp", "pidfd_getfd", "process_madvise", "mbind",
        "sethostname", "nfsservctl", "lookup_dcookie",
    ],
)  # fmt: skip
def test_dangerous_calls_are_refused(programs: dict[str, bytes], name: str) -> None:
    assert answer(programs["default"], name) == REFUSED


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("CAP_DAC_READ_SEARCH", ["open_by_handle_at"]),
        ("CAP_SYS_ADMIN", ["mount", "unshare", "setns", "clone3", "bpf", "perf_event_open", "fsopen", "sethostname"]),
        ("CAP_SYS_BOOT", ["reboot"]),
        ("CAP_SYS_CHROOT", ["chroot"]),
        ("CAP_SYS_MODULE", ["init_module", "finit_module", "delete_module"]),
        ("CAP_SYS_PACCT", ["acct"]),
        ("CAP_SYS_PTRACE", ["kcmp", "pidfd_getfd", "process_madvise"]),
        ("CAP_SYS_TIME", ["settimeofday", "clock_settime"]),
        ("CAP_SYS_TTY_CONFIG", ["vhangup"]),
        ("CAP_SYS_NICE", ["mbind", "set_mempolicy", "get_mempolicy"]),
        ("CAP_SYSLOG", ["syslog"]),
        ("CAP_BPF", ["bpf"]),
        ("CAP_PERFMON", ["perf_event_open"]),
    ],
)
def test_a_capability_brings_its_calls(programs: dict[str, bytes], capability: str, names: list[str]) -> None:
    granted = seccomp_compile.compile_policy(DEFAULT, [capability])
    for name in names:
        assert answer(programs["none"], name) in {REFUSED, UNKNOWN}, name
        assert answer(granted, name) == ALLOW, name
        assert answer(programs["all"], name) == ALLOW, name


def test_namespaces_cannot_be_made_by_clone(programs: dict[str, bytes]) -> None:
    thread = 0x3D0F00
    assert answer(programs["default"], "clone", thread) == ALLOW
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(programs["default"], "clone", thread | flag) == REFUSED, hex(flag)
        assert answer(programs["all"], "clone", thread | flag) == ALLOW, hex(flag)
    assert answer(programs["default"], "clone3") == UNKNOWN


def test_some_socket_families_are_refused(programs: dict[str, bytes]) -> None:
    allowed = {family for family in range(64) if answer(programs["default"], "socket", family) == ALLOW}
    assert allowed >= {0, 1, 2, 10, 16, 17, 29, 31, 39, 44}  # unix, inet, inet6, netlink, packet, can, bluetooth…
    refused = set(range(46)) - allowed
    assert refused == {12, 19, 20, 23, 25, 34, 37, 38, 40}
    for family in (38, 40):
        # The kernel looks at the lower half only
        assert answer(programs["default"], "socket", 1 << 32 | family) == REFUSED
        assert answer(programs["all"], "socket", family) == REFUSED


def test_personalities(programs: dict[str, bytes]) -> None:
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert answer(programs["default"], "personality", value) == ALLOW
    for value in (1, 0x40000, 0x0100000, 0xFFFFFFFE):
        assert answer(programs["default"], "personality", value) == REFUSED


@pytest.mark.parametrize("architecture", [NATIVE, COMPAT])
def test_calls_newer_than_the_policy_are_unknown(programs: dict[str, bytes], architecture: int) -> None:
    for program in programs.values():
        for number in (467, 468, 500, 9999, 0x0EFFFF):
            assert classic_bpf.run(program, architecture, number) == UNKNOWN, number
        for number in range(467):
            assert classic_bpf.run(program, architecture, number) != KILL, number


@pytest.mark.parametrize("architecture", [NATIVE, COMPAT])
def test_calls_that_libseccomp_may_not_know_are_decided_all_the_same(
    programs: dict[str, bytes], architecture: int
) -> None:
    listed = {451, 452, 453, 454, 455, 456, 457, 458, 462, 463, 464, 465, 466}
    for number in range(451, 467):
        expected = ALLOW if number in listed else REFUSED
        assert classic_bpf.run(programs["default"], architecture, number) == expected, number
        assert classic_bpf.run(programs["all"], architecture, number) == ALLOW, number


@pytest.mark.skipif(NATIVE != classic_bpf.X86_64, reason="about x86")
def test_the_other_kinds_of_program_on_x86(programs: dict[str, bytes]) -> None:
    program = programs["default"]
    i386 = {"socketcall": ALLOW, "chown32": ALLOW, "mount": REFUSED, "clone3": UNKNOWN}
    for name, expected in i386.items():
        assert answer(program, name, architecture=classic_bpf.I386) == expected, name
    # <asm/unistd_32.h>: socket(2) has had a number of its own since Linux 4.3
    assert classic_bpf.run(program, classic_bpf.I386, 359, (2,)) == ALLOW
    for family in (38, 40):
        assert classic_bpf.run(program, classic_bpf.I386, 359, (family,)) == REFUSED
    x32_execve, x32_mount = X32 | 520, X32 | 165
    assert classic_bpf.run(program, classic_bpf.X86_64, x32_execve) == ALLOW
    assert classic_bpf.run(program, classic_bpf.X86_64, x32_mount) == REFUSED
    assert classic_bpf.run(program, classic_bpf.X86_64, X32 | 9999) == UNKNOWN
    assert answer(program, "arch_prctl") == answer(program, "modify_ldt") == ALLOW
    assert classic_bpf.run(program, classic_bpf.X86_64, 335) == ALLOW  # uretprobe


def test_an_architecture_that_cannot_be_is_killed(programs: dict[str, bytes]) -> None:
    assert classic_bpf.run(programs["default"], 0x80000016, 0) == KILL  # s390x


def test_a_program_is_of_a_size_that_the_kernel_takes(programs: dict[str, bytes]) -> None:
    for program in programs.values():
        assert len(program) % 8 == 0
        assert len(program) // 8 <= 4096  # BPF_MAXINSNS


def test_conditions_of_a_rule() -> None:
    def applies(rule: Rule, *capabilities: str, architecture: str = "amd64", kernel: tuple[int, int] = (6, 1)) -> bool:
        return rule.applies(capabilities, architecture, kernel)

    both = Rule(("x",), includes=Conditions(capabilities=("A", "B")))
    assert applies(both, "A", "B", "C")
    assert not applies(both, "A")
    assert not applies(Rule(("x",), excludes=Conditions(capabilities=("A", "B"))), "B")
    assert applies(Rule(("x",), includes=Conditions(architectures=("arm64", "amd64"))))
    assert not applies(Rule(("x",), includes=Conditions(architectures=("arm64",))))
    assert not applies(Rule(("x",), excludes=Conditions(architectures=("amd64",))))
    new, old = Rule(("x",), includes=Conditions(kernel=(4, 8))), Rule(("x",), excludes=Conditions(kernel=(4, 8)))
    assert applies(new, kernel=(4, 8))
    assert not applies(new, kernel=(4, 7))
    assert applies(old, kernel=(4, 7))
    assert not applies(old, kernel=(4, 8))
