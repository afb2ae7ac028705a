"""The value of --mount: comma-separated fields (CSV, RFC 4180), as in type=bind,src=/data,dst=/data,readonly."""

from __future__ import annotations

import os

from cais.cli.values import Mistyped, parse_bool, parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

Mount = dict[str, object]

_SWITCHES = frozenset(["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"])
_TARGETS = frozenset(["target", "dst", "destination"])
_SOURCES = frozenset(["source", "src"])
_RECURSIVE: dict[str, dict[str, object]] = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}


def split_fields(text: str) -> list[str]:
    """The fields of one line of CSV. Raises ValueError."""
    import csv  # noqa: PLC0415 -- seldom needed

    _refuse_bare_quotes(text)
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise ValueError(f"parse error on line 1: {error}") from None
    return rows[0] if rows else []


def _refuse_bare_quotes(text: str) -> None:
    """Raises ValueError for quotes inside a field that does not begin with one; others are left to the reader."""
    start = 0
    while start < len(text):
        if text[start] == '"':
            end = text.find('"', start + 1)
            while end >= 0 and text[end + 1 : end + 2] == '"':
                end = text.find('"', end + 2)
            if end < 0 or text[end + 1 : end + 2] not in {"", ","}:
                return
            start = end + 2
            continue
        end = text.find(",", start)
        end = len(text) if end < 0 else end
        quote = text.find('"', start, end)
        if quote >= 0:
            raise ValueError(f'parse error on line 1, column {quote + 1}: bare " in non-quoted-field')
        start = end + 1


def parse_mount(text: str) -> Mount:
    """A mount, as the API has it. Raises ValueError."""
    mount: Mount = {"Type": "volume"}
    options: dict[str, dict[str, object]] = {}
    for field in split_fields(text):
        name, separator, value = field.partition("=")
        name = name.strip().lower()
        if not separator:
            if name not in _SWITCHES:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        _take(mount, options, name, value, field)
    _check(mount, options)
    if "bind" in options:
        mount["BindOptions"] = options["bind"]
    if "volume" in options:
        mount["VolumeOptions"] = options["volume"]
    if "tmpfs" in options:
        mount["TmpfsOptions"] = options["tmpfs"]
    if "image" in options:
        mount["ImageOptions"] = options["image"]
    return mount


def _take(mount: Mount, options: dict[str, dict[str, object]], name: str, value: str, field: str) -> None:
    if name == "type":
        mount["Type"] = value.lower()
    elif name in _TARGETS:
        mount["Target"] = value
    elif name in _SOURCES:
        mount["Source"] = _absolute(value) if value == "." or value.startswith("./") else value
    elif name in {"readonly", "ro"}:
        mount["ReadOnly"] = _bool(name, value)
    elif name == "consistency":
        mount["Consistency"] = value.lower()
    elif not _take_option(options, name, value):
        raise Mistyped(f"unexpected key '{name}' in '{field}'", _meant(name))


def _meant(name: str) -> str:
    from cais.cli.suggest import closest  # noqa: PLC0415 -- only after a mistake

    return closest(name, ["type", "consistency", *_SWITCHES, *_TARGETS, *_SOURCES, *_OPTIONS])


def _take_option(options: dict[str, dict[str, object]], name: str, value: str) -> bool:
    """Take a field that belongs to one type of mount alone; False where there is no such field."""
    take = _OPTIONS.get(name)
    if take is None:
        return False
    kind = name.partition("-")[0]
    take(options.setdefault(kind, {"DriverConfig": {}} if kind == "volume" else {}), name, value)
    return True


def _set(field: str, parse: Callable[[str, str], object]) -> Callable[[dict[str, object], str, str], None]:
    def take(fields: dict[str, object], name: str, value: str) -> None:
        fields[field] = parse(name, value)

    return take


def _set_recursive(fields: dict[str, object], name: str, value: str) -> None:
    if value not in _RECURSIVE:
        known = '"enabled", "disabled", "writable", or "readonly"'
        raise ValueError(f"invalid value for {name}: {value} (must be {known})")
    fields.update(_RECURSIVE[value])


def _set_label(fields: dict[str, object], _name: str, value: str) -> None:
    label, _, text = value.partition("=")
    _map(fields, "Labels")[label] = text


def _set_driver(fields: dict[str, object], _name: str, value: str) -> None:
    _map(fields, "DriverConfig")["Name"] = value


def _set_driver_option(fields: dict[str, object], _name: str, value: str) -> None:
    option, _, text = value.partition("=")
    _map(_map(fields, "DriverConfig"), "Options")[option] = text


def _bool(name: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _size(name: str, value: str) -> int:
    try:
        return parse_bytes(value)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _mode(name: str, value: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}") from None


def _text(_name: str, value: str) -> str:
    return value


_OPTIONS: dict[str, Callable[[dict[str, object], str, str], None]] = {
    "bind-create-src": _set("CreateMountpoint", _bool),
    "bind-nonrecursive": _set("NonRecursive", _bool),
    "bind-propagation": _set("Propagation", _text),
    "bind-recursive": _set_recursive,
    "image-subpath": _set("Subpath", _text),
    "tmpfs-mode": _set("Mode", _mode),
    "tmpfs-size": _set("SizeBytes", _size),
    "volume-driver": _set_driver,
    "volume-label": _set_label,
    "volume-nocopy": _set("NoCopy", _bool),
    "volume-opt": _set_driver_option,
    "volume-subpath": _set("Subpath", _text),
}


def _check(mount: Mount, options: dict[str, dict[str, object]]) -> None:
    kind = mount["Type"]
    if not mount.get("Target"):
        raise ValueError("target is required")
    for other in ("volume", "image", "bind", "tmpfs"):
        if other in options and kind != other:
            raise ValueError(f"cannot mix '{other}-*' options with mount type '{kind}'")
    bind = options.get("bind", {})
    if bind.get("ReadOnlyNonRecursive") and not mount.get("ReadOnly"):
        raise ValueError("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
    if bind.get("ReadOnlyForceRecursive"):
        if not mount.get("ReadOnly"):
            raise ValueError("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction")
        if bind.get("Propagation") != "rprivate":
            raise ValueError(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
            )


def _absolute(path: str) -> str:
    return os.path.abspath(path)


def _map(fields: dict[str, object], name: str) -> dict[str, object]:
    found = fields.setdefault(name, {})
    if not isinstance(found, dict):
        raise TypeError(name)
    return found
