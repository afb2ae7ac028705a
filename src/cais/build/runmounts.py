"""What `RUN --mount=…` asks for, with BuildKit's defaults and checks."""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cais.build.errors import WordError, with_suggestion
from cais.gotext import FALSE, TRUE, go_quote

TYPES: Final = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING: Final = ("shared", "private", "locked")
_KEYS: Final = (
    "type from source src target dst destination readonly ro readwrite rw required size id sharing mode uid gid env"
).split()
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE)
_UNITS: Final = "kmgtp"
_LARGEST_ID: Final = 2**32


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a RUN. What is empty or None was not said; `source_from` is a stage, an image or a context."""

    type: str = "bind"
    source_from: str = ""
    source: str = ""
    target: str = ""
    id: str = ""
    readonly: bool = True
    sharing: str = ""
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size_bytes: int = 0  # of a tmpfs; 0: no limit
    env: str | None = None  # the variable that holds a secret, in place of or beside the file

    @property
    def secret_id(self) -> str:
        """Which secret is meant."""
        return self.source or self.id or self.target.rpartition("/")[2] or (self.env or "")

    @property
    def secret_target(self) -> str:
        """Where a secret is put; "" where it is a variable alone."""
        if self.target or self.env is not None:
            return self.target
        return f"/run/secrets/{self.secret_id.rpartition('/')[2]}"

    @property
    def cache_id(self) -> str:
        """Which cache is meant."""
        return self.id or self.target


@dataclass(slots=True)
class _Draft:
    """A mount while it is being read."""

    values: dict[str, str] = field(default_factory=dict)
    type: str = "bind"
    readonly: bool | None = None
    required: bool = False
    size_bytes: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    env: str | None = None


def parse_mount(text: str, expander: Callable[[str], str] = str) -> Mount:
    """The mount that a flag's value describes, its values expanded. Raises: WordError in BuildKit's words."""
    draft = _Draft()
    for item in _fields(text):
        key, equals, value = item.partition("=")
        key = key.lower()
        if equals:
            if key == "from" and re.search(r"\$.", value):
                raise WordError("'from' doesn't support variable expansion, define alias stage instead")
            _take(draft, item, key, expander(value))
        elif key in ("readonly", "ro", "readwrite", "rw"):
            draft.readonly = key in ("readonly", "ro")
        elif key == "required":
            _take(draft, item, key, "true")
        elif key in _KEYS:
            raise WordError(f"invalid field '{item}' must be a key=value pair")
        else:
            raise WordError(with_suggestion(f"unexpected key '{key}' in '{item}'", key, _KEYS))
    return _finished(draft)


def check_mount(text: str) -> None:
    """What can be said of a mount before its variables have values. Raises: WordError."""
    if "$" not in text:
        parse_mount(text)
        return
    for item in _fields(text):
        key, _, value = item.partition("=")
        if key.lower() == "from" and re.search(r"\$.", value):
            raise WordError("'from' doesn't support variable expansion, define alias stage instead")


def _fields(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise WordError(f"failed to parse csv mounts: {error}") from None
    if not rows or not rows[0]:
        raise WordError("failed to parse csv mounts: EOF")
    return rows[0]


_NAMES: Final = {
    "from": "from",
    "id": "id",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
}


def _take(draft: _Draft, item: str, key: str, value: str) -> None:
    """Take the value of a key that has one."""
    if key in _NAMES:
        draft.values[_NAMES[key]] = value
    elif key in ("mode", "uid", "gid"):
        draft.numbers[key] = _number(key, value)
    elif key == "type":
        draft.type = value.lower()
        if draft.type not in TYPES:
            raise WordError(with_suggestion(f"unsupported mount type {go_quote(value)}", value, TYPES))
    elif key == "sharing":
        draft.values[key] = value.lower()
        if value.lower() not in SHARING:
            raise WordError(with_suggestion(f"unsupported sharing value {go_quote(value)}", value, SHARING))
    else:
        _take_special(draft, item, key, value)


def _take_special(draft: _Draft, item: str, key: str, value: str) -> None:
    """Take what is a switch, or belongs to some types of mounts only."""
    match key:
        case "readonly" | "ro":
            draft.readonly = _flag(key, value)
        case "readwrite" | "rw":
            draft.readonly = not _flag(key, value)
        case "required":
            _only_for(draft, key, "secret", "ssh")
            draft.required = _flag(key, value)
        case "size":
            _only_for(draft, key, "tmpfs")
            draft.size_bytes = _size(key, value)
        case "env":
            _only_for(draft, key, "secret")
            draft.env = value
        case _:
            raise WordError(with_suggestion(f"unexpected key '{key}' in '{item}'", key, _KEYS))


def _only_for(draft: _Draft, key: str, *types: str) -> None:
    if draft.type not in types:
        raise WordError(f"unexpected key '{key}' for mount type '{draft.type}'")


def _flag(key: str, value: str) -> bool:
    if value not in (TRUE | FALSE):
        raise WordError(f"invalid value for {key}: {value}")
    return value in TRUE


def _size(key: str, value: str) -> int:
    found = _SIZE.fullmatch(value)
    size = float(found[1]) * 1024 ** (_UNITS.find((found[2] or "").lower()) + 1 if found[2] else 0) if found else -1
    if not 0 <= size < 2**63:
        raise WordError(f"invalid value for {key}: {value}")
    return int(size)


def _number(key: str, value: str) -> int:
    digits = "[0-7]+" if key == "mode" else "[0-9]+"
    if not re.fullmatch(digits, value) or (number := int(value, 8 if key == "mode" else 10)) >= _LARGEST_ID:
        raise WordError(f"invalid value {value} for {key}")
    return number


def _finished(draft: _Draft) -> Mount:
    kind, values = draft.type, draft.values
    if kind not in ("secret", "ssh", "cache"):
        for key in ("mode", "uid", "gid"):
            if key in draft.numbers:
                raise WordError(f'{key} not allowed for "{kind}" type mounts')
    if kind == "secret":
        _check_secret(draft)
    if values.get("sharing") and kind != "cache":
        raise WordError(f"invalid cache sharing set for {kind} mount")
    if kind == "ssh" and values.get("source"):
        raise WordError("ssh does not support source")
    return Mount(
        type=kind,
        source_from=values.get("from", ""),
        source=values.get("source", ""),
        target=values.get("target", ""),
        id=values.get("id", ""),
        readonly=kind not in ("cache", "tmpfs") if draft.readonly is None else draft.readonly,
        sharing=values.get("sharing", "") or ("shared" if kind == "cache" else ""),
        required=draft.required,
        mode=draft.numbers.get("mode"),
        uid=draft.numbers.get("uid"),
        gid=draft.numbers.get("gid"),
        size_bytes=draft.size_bytes,
        env=draft.env,
    )


def _check_secret(draft: _Draft) -> None:
    values = draft.values
    if values.get("from"):
        raise WordError("secret mount should not have a from")
    if values.get("sharing"):
        raise WordError("secret mount should not define sharing")
    if not (values.get("source") or values.get("target") or values.get("id")):
        raise WordError("invalid secret mount. one of source, target required")
    if values.get("source") and values.get("id"):
        raise WordError("both source and id can't be set")
