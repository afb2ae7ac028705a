"""The documents of an archive of images, as a current Docker writes them: an OCI layout and what old readers know.

    oci-layout, index.json       OCI image layout 1.0: a manifest for each image, by its names
    manifest.json, repositories  Docker's own form; its paths lead to the same blobs
    blobs/sha256/HEX             manifests, configurations, layers

The same images under the same names give the same bytes, whatever the order in which they are asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cais.distribution.oci import CONFIG_TYPE, INDEX_TYPE, MANIFEST_TYPE, Descriptor, Manifest, digest_of
from cais.distribution.reference import Reference

NAME_ANNOTATION: Final = "io.containerd.image.name"
REF_ANNOTATION: Final = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image to be written. layers: its blobs, bottom first; diff_ids: what they are when decompressed."""

    manifest: bytes
    manifest_type: str
    config_digest: str
    diff_ids: tuple[str, ...]
    layers: tuple[Descriptor, ...]
    references: tuple[Reference, ...]


def new_manifest(config_digest: str, config_size: int, layers: Sequence[Descriptor]) -> bytes:
    """The manifest of an image that came without one."""
    manifest = Manifest(
        config=Descriptor(CONFIG_TYPE, config_digest, config_size), layers=list(layers), media_type=MANIFEST_TYPE
    )
    return msgspec.json.encode(manifest)


def documents(images: Iterable[SavedImage]) -> dict[str, bytes]:
    """The small files of the archive by their names, sorted: all but configurations and layers."""
    ordered = sorted(images, key=lambda image: (image.config_digest, image.manifest))
    made = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(_index(ordered)),
        "manifest.json": _json([_item(image) for image in ordered]),
    }
    repositories = _repositories(ordered)
    if repositories:
        made["repositories"] = _json(repositories)
    for image in ordered:
        made[blob_path(digest_of(image.manifest))] = image.manifest
    return dict(sorted(made.items()))


def blob_path(digest: str) -> str:
    """Where a blob is in the archive."""
    return "blobs/" + digest.replace(":", "/", 1)


def _index(images: Sequence[SavedImage]) -> dict[str, Any]:
    manifests = []
    for image in images:
        digest = digest_of(image.manifest)
        names: list[Reference | None] = [*image.references]
        for reference in names or [None]:
            descriptor: dict[str, Any] = {
                "mediaType": image.manifest_type,
                "digest": digest,
                "size": len(image.manifest),
            }
            if reference is not None:
                descriptor["annotations"] = {NAME_ANNOTATION: str(reference), REF_ANNOTATION: reference.tag}
            manifests.append(descriptor)
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}


def _item(image: SavedImage) -> dict[str, Any]:
    sources = zip(image.diff_ids, image.layers, strict=True)
    return {
        "Config": blob_path(image.config_digest),
        "RepoTags": [reference.familiar for reference in image.references] or None,
        "Layers": [blob_path(layer.digest) for layer in image.layers],
        "LayerSources": {diff_id: _source(layer) for diff_id, layer in sources} or None,
    }


def _source(layer: Descriptor) -> dict[str, Any]:
    return {"mediaType": layer.media_type, "size": layer.size, "digest": layer.digest}


def _repositories(images: Sequence[SavedImage]) -> dict[str, dict[str, str]]:
    """Each name's tags, and the digits of the topmost layer: what readers of the oldest form look for."""
    made: dict[str, dict[str, str]] = {}
    for image in images:
        for reference in image.references:
            if image.diff_ids:
                made.setdefault(reference.familiar_name, {})[reference.tag] = image.diff_ids[-1].removeprefix("sha256:")
    return {name: dict(sorted(made[name].items())) for name in sorted(made)}


def _json(document: Any) -> bytes:
    return msgspec.json.encode(document) + b"\n"
