"""A volume: a folder of the engine's own that outlives containers."""

import re
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec

from cais.engine.text import printable
from cais.errors import InvalidArgument

DRIVER: Final = "local"
SCOPE: Final = "local"
ANONYMOUS_LABEL: Final = "com.docker.volume.anonymous"
RECORD_VERSION: Final = 1

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_LONGEST_NAME: Final = 255


class VolumeRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Everything that is stored of a volume. labels and options are None where none were given, as the API shows."""

    version: int = RECORD_VERSION
    name: str
    created_ns: int
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None


class VolumeRequest(msgspec.Struct, kw_only=True):
    """The body of a request to create a volume."""

    Name: str = ""
    Driver: str = ""
    DriverOpts: dict[str, str] | None = None
    Labels: dict[str, str] | None = None
    ClusterVolumeSpec: dict[str, Any] | None = None


class Volume:
    """A volume of the engine. users: containers that run with it; pending: how many are just being made with it."""

    __slots__ = ("folder", "pending", "record", "removing", "users")

    def __init__(self, record: VolumeRecord, folder: Path) -> None:
        self.record = record
        self.folder = folder
        self.users: set[str] = set()
        self.pending = 0
        self.removing = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def mount_point(self) -> Path:
        """The folder with its content."""
        return self.folder / "_data"

    @property
    def labels(self) -> dict[str, str]:
        """The labels, also when there are none."""
        return self.record.labels or {}

    @property
    def options(self) -> dict[str, str]:
        """The driver's options, also when there are none."""
        return self.record.options or {}

    @property
    def anonymous(self) -> bool:
        """True when nobody gave it a name."""
        return ANONYMOUS_LABEL in self.labels


_decoder: Final = msgspec.json.Decoder(VolumeRecord)
_encoder: Final = msgspec.json.Encoder()


def encode_volume(record: VolumeRecord) -> bytes:
    """A record as it is stored."""
    return _encoder.encode(record)


def decode_volume(stored: bytes) -> VolumeRecord:
    """A record as it was stored; msgspec.MsgspecError when it is none."""
    return _decoder.decode(stored)


def is_name(name: str) -> bool:
    """Whether a volume can be called so."""
    return _NAME.fullmatch(name) is not None and len(name) <= _LONGEST_NAME


def check_name(name: str) -> None:
    """Raises InvalidArgument for what cannot be the name of a volume, in Docker's words."""
    if len(name) == 1 and _NAME.fullmatch(name * 2):
        raise InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not is_name(name):
        shown = printable(name)
        raise InvalidArgument(
            f'create {shown}: "{shown}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def anonymous_name() -> str:
    """A name for a volume that nobody has named."""
    return secrets.token_hex(32)
