"""Which devices a group may use: OCI's list of rules, normalised, for both versions.

Rules are applied in order, a later one over an earlier one. The result is a default and exceptions to it,
which version 1 takes as lines in devices.allow and devices.deny, and version 2 as a BPF program.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cais.errors import InvalidArgument
from cais.runtime.cgroups.interface import Write
from cais.runtime.cgroups.resources import DeviceRule

# What every container gets besides its own rules: making any node, which is harmless as long as opening it
# is not allowed, and the devices of OCI's config-linux.md#default-devices, pseudo-terminals included.
DEFAULT_RULES = (
    DeviceRule(True, "c", None, None, "m"),
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3, "rwm"),  # null
    DeviceRule(True, "c", 1, 5, "rwm"),  # zero
    DeviceRule(True, "c", 1, 7, "rwm"),  # full
    DeviceRule(True, "c", 1, 8, "rwm"),  # random
    DeviceRule(True, "c", 1, 9, "rwm"),  # urandom
    DeviceRule(True, "c", 5, 0, "rwm"),  # tty
    DeviceRule(True, "c", 5, 1, "rwm"),  # console
    DeviceRule(True, "c", 5, 2, "rwm"),  # ptmx
    DeviceRule(True, "c", 136, None, "rwm"),  # pts/*
)

_Key = tuple[str, int | None, int | None]


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a list of rules comes to: every device is allowed, or none, except `exceptions` (all of the other kind)."""

    allow: bool
    exceptions: tuple[DeviceRule, ...]


def effective(rules: Iterable[DeviceRule] | None) -> DeviceState:
    """The rules of a group and, unless they allow everything, the default ones.

    Raises InvalidArgument for a rule that takes away a part of what an earlier one with a wildcard gave (or gives
    back a part of what one took): version 1 can't hold it, and ignoring it would open what was meant to be closed.
    """
    allow = False
    table: dict[_Key, str] = {}
    for rule in rules or ():
        if rule.type == "a":
            if rule.access != "rwm":
                raise InvalidArgument(f'invalid device rule: "a" must have access "rwm", not "{rule.access}"')
            allow = rule.allow
            table.clear()
        elif rule.allow != allow:
            key = (rule.type, rule.major, rule.minor)
            table[key] = _letters(table.get(key, "") + rule.access)
        else:
            _take_back(table, rule)
    if not allow:
        for rule in DEFAULT_RULES:
            key = (rule.type, rule.major, rule.minor)
            table[key] = _letters(table.get(key, "") + rule.access)
    exceptions = tuple(DeviceRule(not allow, *key, access) for key, access in table.items())
    return DeviceState(allow, exceptions)


def v1_writes(state: DeviceState) -> list[Write]:
    """The lines for devices.allow and devices.deny. The first one resets what the group inherited."""
    default, exception = ("allow", "deny") if state.allow else ("deny", "allow")
    writes = [Write("devices", f"devices.{default}", "a")]
    for rule in state.exceptions:
        line = f"{rule.type} {_number(rule.major)}:{_number(rule.minor)} {rule.access}"
        writes.append(Write("devices", f"devices.{exception}", line))
    return writes


def _take_back(table: dict[_Key, str], rule: DeviceRule) -> None:
    """Remove what `rule` covers from the exceptions, or say that they can't be cut like that."""
    for key, access in list(table.items()):
        kind, major, minor = key
        if kind != rule.type or not set(access) & set(rule.access):
            continue
        if rule.major in {None, major} and rule.minor in {None, minor}:
            rest = _letters(set(access) - set(rule.access))
            if rest:
                table[key] = rest
            else:
                del table[key]
        elif (major is None or rule.major in {None, major}) and (minor is None or rule.minor in {None, minor}):
            word = "allowed" if rule.allow else "denied"
            raise InvalidArgument(
                f'invalid device rule: "{kind} {_number(rule.major)}:{_number(rule.minor)} {rule.access}" cannot be '
                f'{word} as a part of the earlier rule "{kind} {_number(major)}:{_number(minor)} {access}"'
            )


def _letters(access: Iterable[str]) -> str:
    present = set(access)
    return "".join(letter for letter in "rwm" if letter in present)


def _number(value: int | None) -> str:
    return "*" if value is None else str(value)
