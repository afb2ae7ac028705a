"""The methods of Docker's types that templates call: `{{range $port, $_ := .NetworkSettings.Ports}}{{$port.Proto}}`."""

from __future__ import annotations

from cais.cli.gotemplate.stringers import string_of
from cais.cli.gotemplate.values import BOOL, FLOAT, INT, Function, Value, make, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def method(value: Value, name: str) -> Function | None:
    """A method of a value, bound to it."""
    type_ = value.type.elem if value.type.kind == "pointer" else value.type
    if type_.is_row or type_.name == "formatter.SubHeaderContext":
        from cais.cli.gotemplate.rows import member  # noqa: PLC0415 -- inspect knows none

        return member(Value(type_, value.data), name)
    if value.data is None:
        return None
    receiver = make(type_, value.data)
    found = _METHODS.get(type_.name, {}).get(name)
    if found is None and name == "String" and string_of(receiver) is not None:
        found = _string
    return None if found is None else Function((), lambda: found(receiver))


def _string(value: Value) -> Value:
    return text(string_of(value) or "")


def _port(value: Value) -> Value:
    return text(value.data.partition("/")[0])


def _protocol(value: Value) -> Value:
    port, _, protocol = value.data.partition("/")
    return text((protocol or "tcp") if port else "")


def _port_number(value: Value) -> Value:
    digits = value.data.partition("/")[0]
    return Value(INT, int(digits) if digits.isascii() and digits.isdecimal() else 0)


def _is(*modes: str) -> Callable[[Value], Value]:
    return lambda value: Value(BOOL, value.data in modes)


def _is_container(value: Value) -> Value:
    return Value(BOOL, value.data.startswith("container:"))


def _container(value: Value) -> Value:
    return text(value.data.removeprefix("container:") if value.data.startswith("container:") else "")


def _network_name(value: Value) -> Value:
    return text("container" if value.data.startswith("container:") else value.data)


def _is_private_network(value: Value) -> Value:
    return Value(BOOL, value.data != "host" and not value.data.startswith("container:"))


def _is_user_defined(value: Value) -> Value:
    built_in = value.data in {"default", "bridge", "host", "none"} or value.data.startswith("container:")
    return Value(BOOL, not built_in)


def _in_units(nanoseconds: int) -> Callable[[Value], Value]:
    return lambda value: Value(FLOAT, value.data / nanoseconds)


def _is_zero_time(value: Value) -> Value:
    return Value(BOOL, value.data.startswith("0001-01-01T00:00:00"))


_SHARED: dict[str, Callable[[Value], Value]] = {
    "IsHost": _is("host"),
    "IsContainer": _is_container,
}
_METHODS: dict[str, dict[str, Callable[[Value], Value]]] = {
    "nat.Port": {"Port": _port, "Proto": _protocol, "Int": _port_number},
    "container.NetworkMode": {
        **_SHARED,
        "IsBridge": _is("bridge"),
        "IsDefault": _is("default"),
        "IsNone": _is("none"),
        "IsPrivate": _is_private_network,
        "IsUserDefined": _is_user_defined,
        "NetworkName": _network_name,
        "ConnectedContainer": _container,
    },
    "container.IpcMode": {
        **_SHARED,
        "IsPrivate": _is("private"),
        "IsShareable": _is("shareable"),
        "Container": _container,
    },
    "container.PidMode": {**_SHARED, "Container": _container},
    "container.UTSMode": {"IsHost": _is("host")},
    "container.UsernsMode": {"IsHost": _is("host")},
    "container.CgroupnsMode": {"IsHost": _is("host"), "IsPrivate": _is("private"), "IsEmpty": _is("")},
    "time.Duration": {
        "Hours": _in_units(3600 * 10**9),
        "Minutes": _in_units(60 * 10**9),
        "Seconds": _in_units(10**9),
        "Milliseconds": lambda value: Value(INT, value.data // 10**6),
        "Nanoseconds": lambda value: Value(INT, value.data),
    },
    "time.Time": {"IsZero": _is_zero_time},
}
