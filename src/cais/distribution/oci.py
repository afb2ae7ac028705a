"""The documents that describe an image: configuration, manifest, index.

Fields that are not known are ignored; an image's id is the digest of its configuration's own bytes, which
are kept as they came. A document that two readers could understand differently (a key twice, a manifest
that is also an index) is refused, CVE-2021-41190.

OCI image specification 1.1, config.md, manifest.md, image-index.md; Docker's additions (healthcheck,
onbuild, shell): moby image specification 1.3.
"""

import hashlib
import json
from typing import Any, Final, TypeVar

import msgspec

from cais.distribution.reference import checked_digest
from cais.errors import InvalidArgument

MAX_DOCUMENT_BYTES: Final = 4 << 20

INDEX_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
MANIFEST_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar"
GZIP_LAYER_TYPE: Final = LAYER_TYPE + "+gzip"
ZSTD_LAYER_TYPE: Final = LAYER_TYPE + "+zstd"

T = TypeVar("T")


class Healthcheck(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """How to see that a container is well; durations in nanoseconds, 0 means the default."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """What a container of the image runs, where nothing else is asked for."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: Healthcheck | None = None
    args_escaped: bool = False
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    on_build: list[str] | None = None
    shell: list[str] | None = None


class RootFS(msgspec.Struct, frozen=True):
    """The layers of an image, bottom first, by the digests of their uncompressed archives."""

    diff_ids: list[str] | None = None
    type: str = "layers"


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step that made the image; without `empty_layer` it has brought the next layer."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The configuration of an image."""

    architecture: str = ""
    os: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    variant: str = ""
    created: str | None = None
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    parent: str = ""
    config: ContainerConfig | None = None
    rootfs: RootFS = RootFS()
    history: list[History] | None = None

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers, bottom first."""
        return tuple(self.rootfs.diff_ids or ())

    @property
    def defaults(self) -> ContainerConfig:
        """What containers of it run, never None."""
        return self.config or ContainerConfig()


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a manifest of an index is for."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A pointer to content: what it is, its digest and its length in bytes."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """An image for one platform: its configuration and its layers, bottom first."""

    config: Descriptor
    layers: list[Descriptor]
    schema_version: int = 2
    media_type: str = ""


class Index(msgspec.Struct, frozen=True, rename="camel"):
    """Several manifests, or indexes, under one name."""

    manifests: list[Descriptor]
    schema_version: int = 2
    media_type: str = ""


def digest_of(data: bytes) -> str:
    """The digest of bytes: "sha256:HEX"."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode_config(data: bytes) -> ImageConfig:
    """A configuration, checked: it describes a Linux image whose layers have well-formed digests.

    Raises: InvalidArgument.
    """
    config = _convert(_load(data, "image configuration"), ImageConfig, "image configuration")
    if config.rootfs.type != "layers":
        raise InvalidArgument(f"invalid image configuration: rootfs type {config.rootfs.type!r}")
    if config.os not in ("linux", ""):
        raise InvalidArgument(f"cannot use an image for operating system {config.os[:64]!r} on linux")
    for diff_id in config.diff_ids:
        _check_digest(diff_id, "image configuration")
    return config


def decode_manifest(data: bytes) -> Manifest:
    """A manifest, checked: it is not an index too, and its descriptors are well-formed. Raises: InvalidArgument."""
    raw = _load(data, "manifest")
    if "manifests" in raw or "fsLayers" in raw:
        raise InvalidArgument("invalid manifest: it has the fields of an index too")
    manifest = _convert(raw, Manifest, "manifest")
    if manifest.media_type and manifest.media_type not in MANIFEST_TYPES:
        raise InvalidArgument(f"invalid manifest: media type {manifest.media_type[:100]!r}")
    for descriptor in (manifest.config, *manifest.layers):
        _check_descriptor(descriptor, "manifest")
    return manifest


def decode_index(data: bytes) -> Index:
    """An index, checked: it is not a manifest too, and its descriptors are well-formed. Raises: InvalidArgument."""
    raw = _load(data, "index")
    if "layers" in raw or "config" in raw or "fsLayers" in raw:
        raise InvalidArgument("invalid index: it has the fields of a manifest too")
    index = _convert(raw, Index, "index")
    if index.media_type and index.media_type not in INDEX_TYPES:
        raise InvalidArgument(f"invalid index: media type {index.media_type[:100]!r}")
    for descriptor in index.manifests:
        _check_descriptor(descriptor, "index")
    return index


def decode_document(data: bytes, kind: type[T], what: str) -> T:
    """Any JSON document as a `kind`; `what` names it in the error. Raises: InvalidArgument."""
    return _convert(_parse(data, what), kind, what)


def _load(data: bytes, what: str) -> dict[str, Any]:
    raw = _parse(data, what)
    if not isinstance(raw, dict):
        raise InvalidArgument(f"invalid {what}: not a JSON object")
    return raw


def _parse(data: bytes, what: str) -> Any:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InvalidArgument(f"invalid {what}: larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_without_nulls)
        if b"\\u" in data:  # half of a surrogate pair is no text, and could not be sent to anybody
            json.dumps(parsed, ensure_ascii=False).encode("utf-8")
        return parsed
    except RecursionError:
        raise InvalidArgument(f"invalid {what}: nested too deep") from None
    except ValueError as error:
        raise InvalidArgument(f"invalid {what}: {error}") from error


def _unique_without_nulls(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different; null stands for a field that is not there, as in Go."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return {key: value for key, value in made.items() if value is not None}


def _convert(raw: Any, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidArgument(f"invalid {what}: {error}") from None


def _check_descriptor(descriptor: Descriptor, what: str) -> None:
    _check_digest(descriptor.digest, what)
    if descriptor.size < 0:
        raise InvalidArgument(f"invalid {what}: a size of {descriptor.size} bytes")


def _check_digest(digest: str, what: str) -> None:
    try:
        checked_digest(digest)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid {what}: digest {digest[:100]!r}: {error}") from None
    if not digest.startswith("sha256:"):
        raise InvalidArgument(f"invalid {what}: digest {digest[:100]!r}: unsupported digest algorithm")
