"""Images in an archive: what `docker save` writes, in its old and its new form, and OCI layouts.

The archive itself is read elsewhere, into files with names of our own; here its *contents* are understood:
a catalogue of the archive's names and links. Old archives hold ID/layer.tar, some of them links to another
one; newer ones hold blobs/sha256/HEX, and an index.json beside manifest.json. Nothing is looked up on disk
by a name that the archive gives.
"""

import posixpath
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec

from cais.distribution import oci
from cais.distribution.platforms import host_platform, matches, platform_text
from cais.distribution.reference import Reference, parse
from cais.errors import InvalidArgument, NotFound

MAX_MEMBERS: Final = 20_000
MAX_LAYERS: Final = 125
MAX_IMAGES: Final = 1_000

_MAX_LINKS = 8
_MAX_INDEX_DEPTH = 4
_DIGEST_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")
_NAME_ANNOTATION = "io.containerd.image.name"
_REF_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive, where it is kept now. digest: its content's, where its name says that, verified."""

    path: Path
    size_bytes: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image as the archive describes it; that the layers are what `config` says is still to be seen.

    manifest: its OCI or Docker manifest, where the archive has one.
    """

    config_bytes: bytes
    config: oci.ImageConfig
    layers: tuple[Member, ...]
    references: tuple[Reference, ...]
    manifest: "Found | None" = None


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest as it is in the archive, whole and of the digest that the index says."""

    data: bytes
    media_type: str
    manifest: oci.Manifest


@dataclass(slots=True)
class Contents:
    """The catalogue of an archive. A later member of the same name takes the place of an earlier one."""

    files: dict[str, Member] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def add_file(self, name: str, member: Member) -> None:
        """Raises: InvalidArgument when there are too many members."""
        name = self._place(name)
        self.files[name] = member

    def add_link(self, name: str, target: str, *, hard: bool = False) -> None:
        """A link: the target of a symbolic one is relative to its folder. Raises: InvalidArgument."""
        name = self._place(name)
        base = "" if hard else posixpath.dirname(name)
        self.links[name] = _clean(posixpath.join(base, target))

    def find(self, name: str) -> Member | None:
        """The file of that name, links followed; None when there is none."""
        name = _clean(name)
        for _ in range(_MAX_LINKS):
            member = self.files.get(name)
            if member is not None:
                return member
            target = self.links.get(name)
            if target is None:
                return None
            name = target
        return None

    def read(self, name: str) -> bytes:
        """A small document. Raises: InvalidArgument when it is missing or too large."""
        member = self.find(name)
        if member is None:
            raise InvalidArgument(f"invalid archive: {name[:200]!r} is missing")
        if member.size_bytes > oci.MAX_DOCUMENT_BYTES:
            raise InvalidArgument(f"invalid archive: {name[:200]!r} is larger than {oci.MAX_DOCUMENT_BYTES} bytes")
        return member.path.read_bytes()

    def _place(self, name: str) -> str:
        name = _clean(name)
        self.files.pop(name, None)
        self.links.pop(name, None)
        if len(self.files) + len(self.links) >= MAX_MEMBERS:
            raise InvalidArgument(f"invalid archive: more than {MAX_MEMBERS} members")
        return name


def _clean(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


class _Item(msgspec.Struct, frozen=True, rename="pascal"):
    """One image in manifest.json."""

    config: str
    layers: list[str] = []
    repo_tags: list[str] = []


def images_in(contents: Contents, platform: oci.Platform | None = None) -> list[ArchivedImage]:
    """The images that an archive describes, each consistent in itself.

    platform: which one of an index to take; without it, this machine's.
    Raises: InvalidArgument for an archive of another kind or one that contradicts itself; NotFound when it has
        no image for the platform.
    """
    if contents.find("manifest.json") is not None:
        items = oci.decode_document(contents.read("manifest.json"), list[_Item], "manifest.json")
        if len(items) > MAX_IMAGES:
            raise InvalidArgument(f"invalid archive: more than {MAX_IMAGES} images")
        manifests = _manifests(contents)
        images = [_of_item(contents, item, manifests) for item in items]
        if platform is not None and images:
            images = [image for image in images if matches(platform, image.config.os, image.config.architecture)]
            if not images:
                raise NotFound(f"the archive has no image for platform {platform_text(platform)}")
        return images
    if contents.find("index.json") is not None and contents.find("oci-layout") is not None:
        return _of_layout(contents, platform or host_platform())
    raise InvalidArgument("invalid archive: it has neither manifest.json nor index.json")


def expected_layers(contents: Contents) -> list[list[tuple[str, str]]]:
    """Of an archive that is not whole yet: for each image whose configuration is here, its layers' names and diffIDs.

    The layers are told bottom first. None are known before manifest.json is here. Raises: InvalidArgument.
    """
    if contents.find("manifest.json") is None:
        return []
    items = oci.decode_document(contents.read("manifest.json"), list[_Item], "manifest.json")
    expected = []
    for item in items[:MAX_IMAGES]:
        if contents.find(item.config) is not None:
            diff_ids = oci.decode_config(contents.read(item.config)).diff_ids
            if len(diff_ids) == len(item.layers) <= MAX_LAYERS:
                expected.append(list(zip(item.layers, diff_ids, strict=True)))
    return expected


def _manifests(contents: Contents) -> dict[str, Found]:
    """The manifests that an index beside manifest.json leads to, by the digests of their configurations."""
    if contents.find("index.json") is None:
        return {}
    found = {}
    for descriptor in oci.decode_index(contents.read("index.json")).manifests[:MAX_IMAGES]:
        if descriptor.media_type in oci.MANIFEST_TYPES and contents.find(_blob_name(descriptor.digest)) is not None:
            one = _read_manifest(contents, descriptor)
            found[one.manifest.config.digest] = one
    return found


def _of_item(contents: Contents, item: _Item, manifests: dict[str, Found]) -> ArchivedImage:
    references = []
    for text in item.repo_tags:
        reference = parse(text)
        if reference.digest or not reference.tag:
            raise InvalidArgument(f"invalid archive: invalid tag {text[:300]!r}")
        references.append(reference)
    named = _DIGEST_NAME.fullmatch(_clean(item.config))
    digest = f"sha256:{named[1]}" if named else None
    image = _image(contents, item.config, digest, list(item.layers), tuple(references))
    return replace(image, manifest=manifests.get(oci.digest_of(image.config_bytes)))


def _of_layout(contents: Contents, platform: oci.Platform) -> list[ArchivedImage]:
    index = oci.decode_index(contents.read("index.json"))
    images: dict[tuple[bytes, tuple[Reference, ...]], ArchivedImage] = {}
    for descriptor in index.manifests[:MAX_IMAGES]:
        found = _choose(contents, descriptor, platform, 0)
        if found is None:
            continue
        manifest = found.manifest
        layers = [_blob_name(layer.digest) for layer in manifest.layers]
        image = _image(
            contents, _blob_name(manifest.config.digest), manifest.config.digest, layers, _references(descriptor)
        )
        images[image.config_bytes, image.references] = replace(image, manifest=found)
    if not images:
        raise NotFound(f"the archive has no image for platform {platform_text(platform)}")
    return list(images.values())


def _choose(contents: Contents, descriptor: oci.Descriptor, platform: oci.Platform, depth: int) -> Found | None:
    """The manifest that a descriptor leads to, for the platform; None when it leads to none."""
    if depth > _MAX_INDEX_DEPTH:
        raise InvalidArgument("invalid archive: indexes nested too deep")
    wanted = descriptor.platform
    if wanted is not None and not matches(platform, wanted.os, wanted.architecture):
        return None
    if descriptor.media_type in oci.MANIFEST_TYPES:
        return _read_manifest(contents, descriptor)
    if descriptor.media_type not in oci.INDEX_TYPES:
        return None
    for inner in oci.decode_index(_read_blob(contents, descriptor)).manifests:
        found = _choose(contents, inner, platform, depth + 1)
        if found is not None:
            return found
    return None


def _read_manifest(contents: Contents, descriptor: oci.Descriptor) -> Found:
    data = _read_blob(contents, descriptor)
    manifest = oci.decode_manifest(data)
    if manifest.media_type not in ("", descriptor.media_type):
        raise InvalidArgument(f"invalid archive: manifest {descriptor.digest} has another media type")
    return Found(data, descriptor.media_type, manifest)


def _read_blob(contents: Contents, descriptor: oci.Descriptor) -> bytes:
    data = contents.read(_blob_name(descriptor.digest))
    if oci.digest_of(data) != descriptor.digest or len(data) != descriptor.size:
        raise InvalidArgument(f"invalid archive: the content of {descriptor.digest} has another digest")
    return data


def _references(descriptor: oci.Descriptor) -> tuple[Reference, ...]:
    annotations = descriptor.annotations or {}
    text = annotations.get(_NAME_ANNOTATION, "")
    if not text:
        text = annotations.get(_REF_ANNOTATION, "")
        if "/" not in text and ":" not in text:  # a tag alone, of a name that is not said
            return ()
    reference = parse(text).with_default_tag()
    return (reference,) if reference.tag else ()


def _image(
    contents: Contents, config_name: str, digest: str | None, layers: list[str], references: tuple[Reference, ...]
) -> ArchivedImage:
    config_bytes = contents.read(config_name)
    if digest is not None and oci.digest_of(config_bytes) != digest:
        raise InvalidArgument(f"invalid archive: the content of {config_name[:200]!r} has another digest")
    config = oci.decode_config(config_bytes)
    if len(layers) != len(config.diff_ids):
        raise InvalidArgument(
            f"invalid manifest, layers length mismatch: expected {len(config.diff_ids)}, got {len(layers)}"
        )
    if len(layers) > MAX_LAYERS:
        raise InvalidArgument("max depth exceeded")
    members = []
    for name in layers:
        member = contents.find(name)
        if member is None:
            raise InvalidArgument(f"invalid archive: the layer {name[:200]!r} is missing")
        members.append(member)
    return ArchivedImage(config_bytes, config, tuple(members), references)


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)
