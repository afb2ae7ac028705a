"""A user's seccomp profile, in Docker's JSON format, as a policy.

https://docs.docker.com/engine/security/seccomp/ ; OCI's config-linux.md#seccomp is nearly the same.
"""

import re
from errno import EPERM
from typing import Final

import msgspec

from cais.engine.seccomp_machine import this_machine
from cais.engine.seccomp_policy import OPERATORS, Action, Comparison, Conditions, Policy, Rule
from cais.errors import InvalidArgument, Unsupported

_ACTIONS: Final = frozenset({"KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG"})
_WITH_ERRNO: Final = frozenset({"ERRNO", "TRACE"})
_MAX_ERRNO: Final = 4095  # <linux/err.h>
_MAX_NAMES: Final = 10_000
# Flags of the filter that need nothing: it is loaded by a process with one thread, and SPEC_ALLOW is always on
_HARMLESS_FLAGS: Final = frozenset({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"})


class _Argument(msgspec.Struct, rename="camel"):
    index: int = 0
    value: int = 0
    value_two: int = 0
    op: str = ""


class _Filter(msgspec.Struct, rename="camel"):
    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class _Syscall(msgspec.Struct, rename="camel"):
    names: list[str] | None = None
    name: str = ""
    action: str = ""
    errno_ret: int | None = None
    args: list[_Argument] | None = None
    includes: _Filter | None = None
    excludes: _Filter | None = None


class _Architecture(msgspec.Struct, rename="camel"):
    architecture: str = ""
    sub_architectures: list[str] | None = None


class _Profile(msgspec.Struct, rename="camel"):
    default_action: str = ""
    default_errno_ret: int | None = None
    arch_map: list[_Architecture] | None = None
    architectures: list[str] | None = None
    syscalls: list[_Syscall] | None = None
    flags: list[str] | None = None
    listener_path: str = ""


def parse(document: bytes) -> Policy:
    """The policy of a profile, on this machine.

    Raises InvalidArgument, which names the place, for a profile that makes no sense, and Unsupported for what needs
    a program that listens.
    """
    try:
        profile = msgspec.json.decode(document, type=_Profile)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument(f"Decoding seccomp profile failed: {error}") from error
    if profile.architectures and profile.arch_map:
        raise InvalidArgument(
            "invalid seccomp profile: both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    if profile.listener_path:
        raise Unsupported('the seccomp profile asks for "listenerPath", which is not supported')
    for flag in profile.flags or ():
        if flag not in _HARMLESS_FLAGS:
            raise Unsupported(f'the seccomp profile asks for the flag "{flag[:100]}", which is not supported')
    if sum(len(item.names or ()) for item in profile.syscalls or ()) > _MAX_NAMES:
        raise InvalidArgument(f"invalid seccomp profile: it has more than {_MAX_NAMES} names")
    return Policy(
        default=_action(profile.default_action, profile.default_errno_ret, "defaultAction"),
        rules=tuple(_rule(item, f"syscalls[{index}]") for index, item in enumerate(profile.syscalls or ())),
        architectures=_architectures(profile),
    )


def _architectures(profile: _Profile) -> tuple[str, ...]:
    if profile.architectures:
        return tuple(profile.architectures)
    for item in profile.arch_map or ():
        if item.architecture == this_machine().native:
            return tuple(item.sub_architectures or ())
    return ()


def _rule(item: _Syscall, where: str) -> Rule:
    if item.name and item.names:
        raise _wrong(where, "'name' and 'names' are specified, use either 'name' or 'names'")
    arguments = item.args or []
    return Rule(
        names=(item.name,) if item.name else tuple(item.names or ()),
        action=_action(item.action, item.errno_ret, f"{where}.action"),
        comparisons=tuple(_comparison(one, f"{where}.args[{index}]") for index, one in enumerate(arguments)),
        includes=_conditions(item.includes, f"{where}.includes"),
        excludes=_conditions(item.excludes, f"{where}.excludes"),
    )


def _action(name: str, errno: int | None, where: str) -> Action:
    if name == "SCMP_ACT_NOTIFY":
        raise Unsupported(f'the seccomp profile asks for "SCMP_ACT_NOTIFY" in "{where}", which is not supported')
    kind = name.removeprefix("SCMP_ACT_")
    if not name.startswith("SCMP_ACT_") or kind not in _ACTIONS:
        raise _wrong(where, f'unknown action "{name[:100]}"' if name else "no action is given")
    if kind not in _WITH_ERRNO:
        return Action(kind)
    if errno is not None and not 0 <= errno <= _MAX_ERRNO:
        raise _wrong(where, f"an errno is a number from 0 to {_MAX_ERRNO}, not {errno}")
    return Action(kind, EPERM if errno is None else errno)


def _comparison(item: _Argument, where: str) -> Comparison:
    operator = item.op.removeprefix("SCMP_CMP_")
    if not item.op.startswith("SCMP_CMP_") or operator not in OPERATORS:
        raise _wrong(where, f'unknown operator "{item.op[:100]}"')
    if not 0 <= item.index < 6:
        raise _wrong(where, f"a call has the arguments 0 to 5, not {item.index}")
    for value in (item.value, item.value_two):
        if not 0 <= value < 1 << 64:
            raise _wrong(where, f"a value has 64 bits and no sign, not {value}")
    return Comparison(item.index, operator, item.value, item.value_two)


def _conditions(item: _Filter | None, where: str) -> Conditions:
    if item is None:
        return Conditions()
    kernel: tuple[int, int] | None = None
    if item.min_kernel:
        match = re.fullmatch(r"(\d{1,9})\.(\d{1,9})", item.min_kernel)
        if match is None or match.groups() == ("0", "0"):
            raise _wrong(
                f"{where}.minKernel", f'invalid kernel version "{item.min_kernel[:100]}": expected "major.minor"'
            )
        kernel = int(match[1]), int(match[2])
    return Conditions(tuple(item.caps or ()), tuple(item.arches or ()), kernel)


def _wrong(where: str, what: str) -> InvalidArgument:
    return InvalidArgument(f'invalid seccomp profile: "{where}": {what}')
