"""What each layer of an image adds, changes and removes: the picture that `cais image layers` draws.

A layer is walked where it is unpacked, and each of its entries looked for in the layers below. Its files were written
by somebody else: folders are opened beneath the layer, without following a link (see `changes`). However big a layer
is, only counts and the biggest paths are kept, and after `MOST_ENTRIES` the walk ends and says so. A layer never
changes, so what was found is remembered.
"""

import asyncio
import heapq
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cais.engine.changes import FOLDER, INSIDE, opened, visible_below, visible_names
from cais.engine.image import Image, short_id
from cais.engine.image_store import ImageStore
from cais.engine.work import Stopped, run_blocking
from cais.errors import NotFound
from cais.linux.fs import openat2
from cais.storage.layers import Layer
from cais.storage.overlay import is_opaque, is_whiteout

MOST_ENTRIES: Final = 500_000
SHOWN_PATHS: Final = 10
_SHOWN_IMAGES: Final = 100
_REMEMBERED: Final = 512


@dataclass(frozen=True, slots=True, order=True)
class BigPath:
    """A file of a layer: new in it, or in the place of one below."""

    size_bytes: int
    path: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class LayerContent:
    """What a layer does to those below it.

    added: new paths, folders among them. changed: paths other than folders that were there before. removed: paths that
    a whiteout, or a folder that hides the one below it, takes away; what was inside of them is not counted.
    largest: the biggest files, biggest first. gone: some of what was removed. complete: False when the walk ended
        early.
    """

    added: int
    changed: int
    removed: int
    largest: tuple[BigPath, ...]
    gone: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class LayerStep:
    """A step of an image's history, and the layer that it made, if any. shared_with: names of other images with it."""

    created: str
    created_by: str
    comment: str
    layer: Layer | None = None
    content: LayerContent | None = None
    shared_with: tuple[str, ...] = ()


class LayerReports:
    """Looks into layers, one after the other."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._known: OrderedDict[str, LayerContent] = OrderedDict()
        self._lock = asyncio.Lock()

    async def steps(self, image: Image) -> list[LayerStep]:
        """The steps that made an image, oldest first. Raises: NotFound when the image is removed meanwhile."""
        lease = self._store.layers.lease()
        try:
            if image.top_layer is not None and lease.keep(image.top_layer) is None:
                raise NotFound(f"No such image: {image.id}")
            contents = {chain_id: await self._content(image, index) for index, chain_id in enumerate(image.layers)}
            return [self._step(step, chain_id, contents, image) for step, chain_id in _history(image)]
        finally:
            await asyncio.to_thread(lease.close)

    async def _content(self, image: Image, index: int) -> LayerContent:
        chain_id = image.layers[index]
        async with self._lock:
            found = self._known.get(chain_id)
            if found is None:
                folders = [str(self._store.layers.path(one)) for one in reversed(image.layers[: index + 1])]
                stopped = threading.Event()
                found = await run_blocking(lambda: layer_content(folders, stopped), stopped.set)
                self._known[chain_id] = found
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
            self._known.move_to_end(chain_id)
            return found

    def _step(
        self, step: tuple[str, str, str], chain_id: str | None, contents: dict[str, LayerContent], image: Image
    ) -> LayerStep:
        if chain_id is None:
            return LayerStep(*step)
        others = [one for one in self._store.images() if one.id != image.id and chain_id in one.layers]
        names = sorted(one.references[0] if one.references else short_id(one.id) for one in others)
        layer = self._store.layers.get(chain_id)
        return LayerStep(*step, layer, contents[chain_id], tuple(names[:_SHOWN_IMAGES]))


def _history(image: Image) -> list[tuple[tuple[str, str, str], str | None]]:
    """When, by what and with which comment each step was made, and its layer; layers may be more than steps tell."""
    layers = list(image.layers)
    steps: list[tuple[tuple[str, str, str], str | None]] = []
    for step in image.history:
        chain_id = layers.pop(0) if layers and not step.empty_layer else None
        steps.append(((step.created or "", step.created_by, step.comment), chain_id))
    return steps + [((image.created, "", ""), chain_id) for chain_id in layers]


def layer_content(folders: Sequence[str], stopped: threading.Event) -> LayerContent:
    """Look into the layer in the first of `folders`; those below it follow, topmost first. Blocks: for a thread.

    Raises: OSError when the layer cannot be read; Stopped once `stopped` is set.
    """
    with opened(folders) as layers:
        return _Walk(layers[0], stopped).run(layers[1:])


class _Walk:
    """A walk over one layer, beside what is visible of those below it."""

    def __init__(self, layer: int, stopped: threading.Event) -> None:
        self._layer = layer
        self._stopped = stopped
        self._left = MOST_ENTRIES
        self._complete = True
        self._added = self._changed = self._removed = 0
        self._largest: list[BigPath] = []
        self._gone: list[str] = []
        self._waiting: list[tuple[str, list[int]]] = []

    def run(self, lower: list[int]) -> LayerContent:
        self._waiting.append((".", lower))
        while self._waiting and self._left:
            self._folder(*self._waiting.pop())
        return LayerContent(
            self._added,
            self._changed,
            self._removed,
            tuple(sorted(self._largest, key=lambda big: (-big.size_bytes, big.path))),
            tuple(self._gone),
            self._complete and not self._waiting,
        )

    def _folder(self, path: str, lower: list[int]) -> None:
        try:
            descriptor = openat2(self._layer, path, FOLDER, resolve=INSIDE)
        except OSError:  # nested deeper than a path can say
            self._complete = False
            return
        try:
            hides = path != "." and bool(lower) and is_opaque(descriptor)
            hidden = visible_names(path, lower) if hides else set()
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if self._stopped.is_set():
                        raise Stopped
                    if not self._left:
                        self._complete = False
                        return
                    self._left -= 1
                    hidden.discard(entry.name)
                    self._entry(path, entry, lower)
            for name in sorted(hidden):
                self._remove(f"{path}/{name}")
        finally:
            os.close(descriptor)

    def _entry(self, folder: str, entry: "os.DirEntry[str]", lower: list[int]) -> None:
        path = entry.name if folder == "." else f"{folder}/{entry.name}"
        info = entry.stat(follow_symlinks=False)
        layers, known = visible_below(path, lower)
        if is_whiteout(info):
            if known is not None:
                self._remove(path)
            return
        is_folder = stat.S_ISDIR(info.st_mode)
        if known is None:
            self._added += 1
        elif not is_folder or not stat.S_ISDIR(known.st_mode):
            self._changed += 1
        if is_folder:
            self._waiting.append((path, layers))
        elif stat.S_ISREG(info.st_mode):
            self._weigh(BigPath(info.st_size, f"/{_text(path)}", is_new=known is None))

    def _weigh(self, big: BigPath) -> None:
        if len(self._largest) < SHOWN_PATHS:
            heapq.heappush(self._largest, big)
        elif big > self._largest[0]:
            heapq.heapreplace(self._largest, big)

    def _remove(self, path: str) -> None:
        self._removed += 1
        if len(self._gone) < SHOWN_PATHS:
            self._gone.append(f"/{_text(path)}")


def _text(path: str) -> str:
    """A path as it can be said in JSON, which has no bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
