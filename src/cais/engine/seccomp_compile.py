"""From a policy to a classic BPF program for this machine. Imported only where one is compiled: loads libseccomp."""

import errno
import os
import re
from collections.abc import Collection
from types import MappingProxyType
from typing import Final

from cais.engine import seccomp_stub
from cais.engine.seccomp_machine import Machine, this_machine
from cais.engine.seccomp_policy import Action, Comparison, Policy, Rule
from cais.engine.seccomp_shrink import shrink
from cais.errors import Internal, InvalidArgument, Unsupported
from cais.linux import libseccomp as lib

_ARCHITECTURES: Final = MappingProxyType(
    {
        "SCMP_ARCH_X86_64": lib.SCMP_ARCH_X86_64,
        "SCMP_ARCH_X86": lib.SCMP_ARCH_X86,
        "SCMP_ARCH_X32": lib.SCMP_ARCH_X32,
        "SCMP_ARCH_AARCH64": lib.SCMP_ARCH_AARCH64,
        "SCMP_ARCH_ARM": lib.SCMP_ARCH_ARM,
    }
)
_OPERATORS: Final = MappingProxyType(
    {
        "NE": lib.SCMP_CMP_NE,
        "LT": lib.SCMP_CMP_LT,
        "LE": lib.SCMP_CMP_LE,
        "EQ": lib.SCMP_CMP_EQ,
        "GE": lib.SCMP_CMP_GE,
        "GT": lib.SCMP_CMP_GT,
        "MASKED_EQ": lib.SCMP_CMP_MASKED_EQ,
    }
)
_ACTIONS: Final = MappingProxyType(
    {
        "KILL": lib.SCMP_ACT_KILL_THREAD,
        "KILL_THREAD": lib.SCMP_ACT_KILL_THREAD,
        "KILL_PROCESS": lib.SCMP_ACT_KILL_PROCESS,
        "TRAP": lib.SCMP_ACT_TRAP,
        "LOG": lib.SCMP_ACT_LOG,
        "ALLOW": lib.SCMP_ACT_ALLOW,
    }
)
# A policy that lets through what it doesn't list has an answer for what it doesn't know
_PERMISSIVE: Final = frozenset({"ALLOW", "LOG", "TRACE"})
# Calls below 424, of one architecture alone, that libseccomp 2.5 doesn't know
_NEW_ON: Final = MappingProxyType({lib.SCMP_ARCH_X86_64: MappingProxyType({"uretprobe": 335})})


def environment() -> tuple[object, ...]:
    """What a program depends on besides the policy and the capabilities."""
    return lib.version(), this_machine(), _kernel_version()


def compile_policy(policy: Policy, capabilities: Collection[str]) -> bytes:
    """The program for a container with these capabilities on this machine.

    Raises InvalidArgument for a rule that can't be compiled. Names that are unknown here are left out.
    """
    machine = this_machine()
    if lib.version() < (2, 5, 0):
        raise Unsupported("seccomp: libseccomp is older than 2.5")
    native = _ARCHITECTURES[machine.native]
    rules = [rule for rule in policy.rules if rule.applies(capabilities, machine.go_name, _kernel_version())]
    relatives = _relatives(policy, machine)
    try:
        with lib.Filter(_action(policy.default)) as compiled:
            for architecture in relatives:
                compiled.add_architecture(architecture)
            compiled.set_attribute(lib.SCMP_FLTATR_CTL_OPTIMIZE, lib.OPTIMIZE_BINARY_TREE)
            for rule in rules:
                if rule.action != policy.default:
                    _add(compiled, rule, native)
            exported = compiled.export()
    except OSError as error:
        raise Internal(f"compile seccomp policy: {error.strerror}") from error
    known = [_known(rules, native, other, relatives) for other in (native, *relatives) if other != lib.SCMP_ARCH_X32]
    return shrink(seccomp_stub.prepend(known, exported, enosys=policy.default.kind not in _PERMISSIVE))


def _kernel_version() -> tuple[int, int]:
    """Major and minor number of the running kernel."""
    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _add(compiled: lib.Filter, rule: Rule, native: int) -> None:
    groups = [[_comparison(item) for item in rule.comparisons]]
    if len({item.index for item in rule.comparisons}) < len(rule.comparisons):
        # One rule can't compare an argument twice: then each comparison is a rule of its own, as in runc
        groups = [[item] for item in groups[0]]
    for name in rule.names:
        number = lib.resolve(name, native)
        if number == lib.NR_SCMP_ERROR:
            continue  # newer than this libseccomp: what stands before the program answers
        for group in groups:
            try:
                compiled.add_rule(_action(rule.action), number, group)
            except OSError as error:
                if error.errno != errno.EEXIST:
                    raise InvalidArgument(
                        f'invalid seccomp profile: the rule for "{name}" cannot be compiled: {error.strerror}'
                    ) from error


def _known(rules: list[Rule], native: int, architecture: int, relatives: list[int]) -> seccomp_stub.Known:
    """What the rules know of one architecture."""
    names = {name for rule in rules for name in rule.names}
    new = {**seccomp_stub.NEW_CALLS, **_NEW_ON.get(architecture, {})}
    numbers = [lib.resolve(name, architecture) for name in names] + [new[name] for name in names & new.keys()]
    answers: dict[int, int] = {}
    for rule in rules:
        for name in rule.names:
            if name in new and not rule.comparisons and lib.resolve(name, native) == lib.NR_SCMP_ERROR:
                answers.setdefault(new[name], _action(rule.action))
    x32_last = 0
    if architecture == lib.SCMP_ARCH_X86_64 and lib.SCMP_ARCH_X32 in relatives:
        x32_last = max((lib.resolve(name, lib.SCMP_ARCH_X32) for name in names), default=0)
    last = max((number for number in numbers if number < seccomp_stub.ARM_PRIVATE), default=0)
    return seccomp_stub.Known(architecture, max(last, 0), max(x32_last, 0), answers)


def _relatives(policy: Policy, machine: Machine) -> list[int]:
    """The architectures beside this machine's own that its kernel can run."""
    wanted = machine.relatives if policy.architectures is None else policy.architectures
    for name in wanted:
        if not re.fullmatch(r"SCMP_ARCH_[A-Z0-9_]{1,20}", name):
            raise InvalidArgument(f'invalid seccomp profile: unknown architecture "{name[:100]}"')
    return [_ARCHITECTURES[name] for name in machine.relatives if name in wanted]


def _comparison(item: Comparison) -> lib.Comparison:
    return lib.Comparison(item.index, _OPERATORS[item.operator], item.value, item.value_two)


def _action(action: Action) -> int:
    if action.kind == "ERRNO":
        return lib.scmp_act_errno(action.errno)
    if action.kind == "TRACE":
        return lib.scmp_act_trace(action.errno)
    return _ACTIONS[action.kind]
