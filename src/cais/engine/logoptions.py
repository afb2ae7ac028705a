"""The options of the logging drivers json-file and local: how much is kept, and what each line carries.

Both write Docker's json-file format (`cais.runtime.log`). Unlike Docker's, a json-file log is rotated where nothing
else is asked for, so that no container fills the disk.

`mode=non-blocking` asks that a slow log hold no container back. Logs here are local files, written into the kernel's
page cache, so neither mode does; nothing is dropped in either, and there is no buffer for `max-buffer-size` to bound.
"""

import re
from typing import Final

import msgspec

from cais.engine.image import short_id
from cais.engine.limits import refuse
from cais.engine.models import Record
from cais.engine.text import printable
from cais.errors import InvalidArgument

MAX_BYTES: Final = 20_000_000
MAX_FILES: Final = 5

_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([kKmMgGtTpP]?)(?:i?[bB])?")
_FIELD: Final = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_FIELDS: Final = frozenset(
    {"ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "DaemonName"}
)  # fmt: skip
_ATTRIBUTES: Final = frozenset({"env", "env-regex", "labels", "labels-regex", "tag"})
_SIZES: Final = frozenset({"compress", "max-buffer-size", "max-file", "max-size", "mode"})
_OPTIONS: Final = {"json-file": _SIZES | _ATTRIBUTES, "local": _SIZES}
_TRUE: Final = frozenset({"1", "t", "true"})
_BOOLEANS: Final = _TRUE | {"0", "f", "false"}


def check(driver: str, options: dict[str, str]) -> None:
    """Raises InvalidArgument for an option that the driver does not have or a value without sense."""
    if driver == "none":
        return
    for name in options:
        refuse(name not in _OPTIONS[driver], f"unknown log opt '{printable(name)}' for {driver} log driver")
    _check_mode(options.get("mode", ""), options.get("max-buffer-size"))
    compress = options.get("compress", "false").lower()
    if compress not in _BOOLEANS:
        raise InvalidArgument(f'strconv.ParseBool: parsing "{printable(compress)}": invalid syntax')
    max_bytes, max_files = limits(options)
    refuse(
        compress in _TRUE and (max_files < 2 or max_bytes == 0),
        "compress cannot be true when max-file is less than 2 or max-size is not set",
    )
    for name in ("env-regex", "labels-regex"):
        _pattern(options.get(name, ""))
    _check_tag(options.get("tag", ""))


def _check_mode(mode: str, buffer_size: str | None) -> None:
    refuse(
        mode not in {"", "blocking", "non-blocking"}, f"logger: logging mode not supported: {printable(mode)}"
    )  # fmt: skip
    if buffer_size is not None:
        refuse(mode != "non-blocking", "logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        refuse(
            not _SIZE.fullmatch(buffer_size),
            f"error parsing option max-buffer-size: invalid size: '{printable(buffer_size)}'",
        )


def limits(options: dict[str, str]) -> tuple[int, int]:
    """The most bytes of one log file (0: no limit, which `max-size=-1` asks for) and how many files are kept.

    Raises InvalidArgument.
    """
    size = options.get("max-size", "")
    max_bytes = MAX_BYTES
    if size == "-1":
        max_bytes = 0
    elif size:
        match = _SIZE.fullmatch(size)
        if match is None:
            raise InvalidArgument(f"invalid size: '{printable(size)}'")
        max_bytes = int(float(match[1]) * 1000 ** " kmgtp".index(match[2].lower() or " "))
        refuse(max_bytes <= 0, "max-size should be a positive number")
    files = options.get("max-file", str(MAX_FILES))
    if not (files.isascii() and files.isdigit() and len(files) < 10):
        raise InvalidArgument(f'strconv.Atoi: parsing "{printable(files)}": invalid syntax')
    refuse(int(files) < 1, "max-file cannot be less than 1")
    return max_bytes, int(files)


def compresses(options: dict[str, str]) -> bool:
    """Whether what is put aside is compressed."""
    return options.get("compress", "false").lower() in _TRUE


def attributes(record: Record) -> str:
    """What each line of a container's log carries, as a JSON object; empty when nothing is asked for."""
    options = record.host_config.log_config.Config
    env = dict(item.partition("=")[::2] for item in record.config.Env or () if "=" in item)
    found = {
        **_chosen(record.config.labels, options.get("labels", ""), options.get("labels-regex", "")),
        **_chosen(env, options.get("env", ""), options.get("env-regex", "")),
    }
    if options.get("tag"):
        found["tag"] = _tag(options["tag"], record)
    return msgspec.json.encode(found, order="sorted").decode() if found else ""


def _chosen(values: dict[str, str], names: str, pattern: str) -> dict[str, str]:
    wanted = {name for name in names.split(",") if name}
    matching = _pattern(pattern) if pattern else None
    return {
        name: value
        for name, value in values.items()
        if name in wanted or (matching is not None and matching.search(name))
    }


def _pattern(text: str) -> "re.Pattern[str]":
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidArgument(f"error parsing regexp: {error}: `{printable(text)}`") from error


def _check_tag(text: str) -> None:
    rest = _FIELD.sub("", text)
    unknown = [name for name in _FIELD.findall(text) if name not in _FIELDS]
    refuse(
        "{{" in rest or "}}" in rest or bool(unknown), f"invalid template for the log option 'tag': {printable(text)}"
    )


def _tag(text: str, record: Record) -> str:
    """The tag with the container's own values in their places."""
    values = {
        "ID": short_id(record.id),
        "FullID": record.id,
        "Name": record.name,
        "ImageID": short_id(record.image_id),
        "ImageFullID": record.image_id,
        "ImageName": record.config.Image,
        "Command": " ".join([record.path, *record.args]),
        "DaemonName": "cais",
    }
    return _FIELD.sub(lambda match: values.get(match[1], ""), text)
