"""Which images a list shows, and in which order."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cais.distribution.reference import Reference
from cais.engine.filters import Filters
from cais.engine.gopath import pattern
from cais.engine.image import Image
from cais.engine.image_store import ImageStore
from cais.engine.times import parse_moment_ns
from cais.storage.layers import Layer

ACCEPTED: Final = frozenset({"before", "dangling", "label", "reference", "since", "until"})


def select(store: ImageStore, filters: Filters, everything: bool) -> list[Image]:
    """The images that pass the filters, newest first.

    everything: also those without a name that others were built on. With a filter for names, an image shows
        only the names that match.
    Raises: InvalidArgument for a filter that makes no sense; NotFound for an image that a filter names.
    """
    filters.validate(ACCEPTED)
    tests = _tests(store, filters)
    patterns = [pattern(text) for text in filters.get("reference")]
    images = store.images()
    parents = {image.parent for image in images}
    chosen = []
    for image in images:
        if not (everything or image.references or image.repo_digests) and image.id in parents:
            continue
        if not all(test(image) for test in tests):
            continue
        shown = _with_matching_names(image, store.references_of(image.id), patterns) if patterns else image
        if shown is not None:
            chosen.append(shown)
    return sorted(chosen, key=lambda image: (-image.created_ns, image.id))


def _tests(store: ImageStore, filters: Filters) -> list[Callable[[Image], bool]]:
    tests: list[Callable[[Image], bool]] = []
    if filters.get("dangling"):
        wanted = filters.boolean("dangling", default=False)
        tests.append(lambda image: wanted == (not image.references and not image.repo_digests))
    if filters.get("label"):
        tests.append(lambda image: filters.labels("label", image.labels))
    if before := [store.resolve(name).created_ns for name in filters.get("before")]:
        tests.append(lambda image: image.created_ns < min(before))
    if since := [store.resolve(name).created_ns for name in filters.get("since")]:
        tests.append(lambda image: image.created_ns > max(since))
    if until := [parse_moment_ns(text, time.time_ns()) for text in filters.get("until")]:
        tests.append(lambda image: image.created_ns < min(until))
    return tests


def _with_matching_names(image: Image, names: Sequence[Reference], patterns: Sequence[re.Pattern[str]]) -> Image | None:
    matching = [
        name for name in names if any(p.fullmatch(name.familiar) or p.fullmatch(name.familiar_name) for p in patterns)
    ]
    if not matching:
        return None
    return replace(
        image,
        references=tuple(sorted(name.familiar for name in matching if not name.digest)),
        repo_digests=tuple(sorted(name.familiar for name in matching if name.digest)),
    )


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One step of an image's history, newest first in a list; the newest has the image's id and names."""

    id: str
    created: str
    created_by: str
    comment: str
    size_bytes: int
    tags: tuple[str, ...] = ()


def history(store: ImageStore, image: Image) -> list[HistoryItem]:
    """The steps that made an image, newest first."""
    layers = iter(image.layers)
    items = []
    for step in image.history:
        chain_id = None if step.empty_layer else next(layers, None)
        size_bytes = store.layers.get(chain_id).size_bytes if chain_id else 0
        items.append(HistoryItem("<missing>", step.created or "", step.created_by, step.comment, size_bytes))
    if not items:
        items.append(HistoryItem("<missing>", image.created, "", "", image.size_bytes))
    items.reverse()
    items[0] = replace(items[0], id=image.id, tags=image.references)
    return items


def layers(store: ImageStore, image: Image) -> list[tuple[Layer, str]]:
    """The layers of an image, topmost first, each with what made it where the image says so."""
    steps = [step.created_by for step in image.history if not step.empty_layer]
    steps += [""] * (len(image.layers) - len(steps))
    return [(store.layers.get(chain_id), step) for chain_id, step in zip(image.layers, steps, strict=False)][::-1]


def layers_bytes(store: ImageStore) -> int:
    """The bytes of all images on the disk: each layer once, and the blobs that are kept beside them."""
    return sum(layer.size_bytes for layer in store.layers.layers()) + store.blobs.total_bytes()


def shared_sizes(store: ImageStore) -> dict[str, int]:
    """For each image, the bytes of its layers that another image has too."""
    users: dict[str, int] = {}
    for image in store.images():
        for chain_id in image.layers:
            users[chain_id] = users.get(chain_id, 0) + 1
    return {
        image.id: sum(store.layers.get(c).size_bytes for c in image.layers if users[c] > 1) for image in store.images()
    }
