"""Removing images that nobody has use for: `docker image prune`.

By default the ones without a tag, with `dangling=false` all; never one that a container was made from, nor one that
others were built on, unless those go too. What interrupted pulls have left goes with them.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cais.engine.filters import Filters
from cais.engine.image import Image
from cais.engine.image_store import ImageStore
from cais.engine.times import parse_moment_ns
from cais.errors import InvalidArgument

FILTERS: Final = frozenset({"dangling", "label", "label!", "until"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images a prune is for."""

    filters: Filters
    dangling_only: bool
    until_ns: int | None

    def takes(self, image: Image) -> bool:
        """Whether the image is one of them, when nobody needs it."""
        if self.dangling_only and image.references:
            return False
        if self.until_ns is not None and (not image.created or image.created_ns > self.until_ns):
            return False
        unwanted = self.filters.get("label!")
        return self.filters.labels("label", image.labels) and not any(
            Filters({"x": [text]}).labels("x", image.labels) for text in unwanted
        )


def wanted(filters: Filters) -> Wanted:
    """Raises: InvalidArgument for filters that make no sense."""
    filters.validate(FILTERS)
    until = filters.get("until")
    if len(until) > 1:
        raise InvalidArgument("more than one until filter specified")
    until_ns = parse_moment_ns(until[0], time.time_ns()) if until else None
    return Wanted(filters, filters.boolean("dangling", default=True), until_ns)


def candidates(store: ImageStore, choice: Wanted, used: Callable[[str], bool]) -> list[Image]:
    """The images to remove, in an order in which what was built on others goes before them."""
    images = store.images()
    parents = {image.parent for image in images}
    parent_of = {image.id: image.parent for image in images}
    found = [
        image
        for image in images
        if not used(image.id)
        and choice.takes(image)
        and (image.references or image.repo_digests or image.id not in parents)
    ]
    return sorted(found, key=lambda image: (-_depth(parent_of, image.id), image.id))


def _depth(parent_of: Mapping[str, str], image_id: str) -> int:
    """How many images here this one was built on."""
    depth = 0
    while depth < len(parent_of) and (image_id := parent_of.get(image_id, "")) in parent_of:
        depth += 1
    return depth


class Ledger:
    """What the layers on this machine weigh, for telling how much went with some of them."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._sizes = {layer.chain_id: layer.size_bytes for layer in store.layers.layers()}
        self._blobs = {
            layer.chain_id: {blob.digest: blob.size_bytes for blob in store.layers.archives(layer.diff_id)}
            for layer in store.layers.layers()
        }

    def freed(self, gone: Iterable[str]) -> int:
        """The bytes that the layers of `gone` took, with their blobs, each counted once."""
        layers = set(gone) & self._sizes.keys()
        blobs = {digest: size for chain_id in layers for digest, size in self._blobs[chain_id].items()}
        return sum(self._sizes[chain_id] for chain_id in layers) + sum(
            size for digest, size in blobs.items() if not self._store.blobs.has(digest)
        )
