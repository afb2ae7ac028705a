"""The images of an engine: found, listed, made, named, removed.

What is asked is answered from memory, at once. Every change is awaited, and is whole or not at all, also when
it is cancelled.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cais.distribution.archive import MAX_LAYERS
from cais.distribution.oci import ContainerConfig, Platform
from cais.distribution.platforms import host_platform
from cais.distribution.reference import Reference
from cais.distribution.registry_auth import NOBODY, Credentials
from cais.distribution.registry_settings import RegistrySettings
from cais.engine import image_filters, image_prune, image_save
from cais.engine.filters import Filters
from cais.engine.image import Image, ImageUser
from cais.engine.image_archives import ImportRequest, import_root, leased, load_archive
from cais.engine.image_changes import apply_changes
from cais.engine.image_commit import Draft, committed_image, new_layer
from cais.engine.image_filters import HistoryItem
from cais.engine.image_pull import Puller
from cais.engine.image_removal import Planner
from cais.engine.image_store import Events, ImageStore, Removal
from cais.engine.layer_contents import LayerReports
from cais.engine.models import timestamp
from cais.engine.progress import Report, silent
from cais.engine.registries import Registries
from cais.engine.registry_push import RegistryPusher
from cais.errors import Conflict, InvalidArgument, NotFound
from cais.storage.database import Database
from cais.storage.layers import Layer

__all__ = ["HistoryItem", "Image", "ImageUser", "Images", "PrunedImages", "Removed"]


@dataclass(frozen=True, slots=True)
class Removed:
    """One thing that a removal took away: a name, or the id of an image or layer."""

    untagged: str = ""
    deleted: str = ""


@dataclass(frozen=True, slots=True)
class PrunedImages:
    """What a prune took away, and the bytes on the disk that this has freed."""

    removed: list[Removed]
    freed_bytes: int


class Images:
    """All images. `users` tells which containers were made from an image; whoever has containers sets it."""

    users: Callable[[str], Sequence[ImageUser]]

    def __init__(
        self, database: Database, data_root: Path, events: Events, registries: RegistrySettings | None = None
    ) -> None:
        settings = registries or RegistrySettings()
        self.users = lambda _: ()
        self._store = ImageStore(database, data_root)
        self._events = events
        self._puller = Puller(self._store, events, settings)
        self._pusher = RegistryPusher(self._store, events, settings)
        self.registries = Registries(settings)
        self.layer_reports = LayerReports(self._store)
        self._held: list[tuple[str, ImageUser]] = []
        self._pruning = False

    async def open(self) -> None:
        """Read the images, and sweep what a crash has left of making or removing one."""
        await self._store.open()

    async def close(self) -> None:
        """Stop what is being pulled."""
        await self._puller.close()
        await self._store.close()

    # -- questions

    def resolve(self, name: str) -> Image:
        """The image of that name, id, or beginning of an id. Raises: NotFound, InvalidArgument, in Docker's words."""
        return self._store.resolve(name)

    def get(self, image_id: str) -> Image:
        """The image with this whole id, also one that was removed while a container used it. Raises: NotFound."""
        return self._store.get(image_id)

    def folders_of(self, image_id: str) -> tuple[str, ...]:
        """The folders of an image's layers, topmost first. Raises: NotFound."""
        return tuple(self.lower_dirs(self.get(image_id)))

    def lower_dirs(self, image: Image) -> list[str]:
        """The folders of the image's layers as overlayfs takes them, absolute, topmost first."""
        return [self._store.layers.folder(chain_id) for chain_id in reversed(image.layers)]

    def select(self, filters: Filters | None = None, *, everything: bool = False) -> list[Image]:
        """The images that pass the filters, newest first; with `everything` also nameless ones others build on.

        Raises: InvalidArgument, NotFound for filters that make no sense.
        """
        return image_filters.select(self._store, filters or Filters(), everything)

    @property
    def store(self) -> ImageStore:
        """Where images and layers are: for builds, which make both."""
        return self._store

    def history(self, image: Image) -> list[HistoryItem]:
        """The steps that made an image, newest first."""
        return image_filters.history(self._store, image)

    def layers_of(self, image: Image) -> list[tuple[Layer, str]]:
        """The image's layers, topmost first, each with what made it where the image says so."""
        return image_filters.layers(self._store, image)

    def check_pull(self, reference: Reference, platform: Platform | None = None) -> None:
        """Raises what `pull` would before it begins: NotFound, Unavailable."""
        self._puller.check(reference.with_default_tag(), platform)

    def shared_sizes(self) -> dict[str, int]:
        """For each image's id, the bytes of its layers that another image has too."""
        return image_filters.shared_sizes(self._store)

    def layers_bytes(self) -> int:
        """The bytes of all images on the disk, with the archives of their layers; what they share counts once."""
        return image_filters.layers_bytes(self._store)

    @contextmanager
    def holding(self, image: Image, user: ImageUser) -> Iterator[None]:
        """Count a container that is being made as a user of an image, until `users` tells of it.

        Raises: NotFound when the image was removed meanwhile.
        """
        if self._store.get(image.id).hidden:
            raise NotFound(f"No such image: {image.id}")
        held = (image.id, user)
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)

    # -- changes

    async def pull(
        self,
        reference: Reference,
        platform: Platform | None = None,
        report: Report = silent,
        credentials: Credentials = NOBODY,
    ) -> Image:
        """Bring an image here. Without a tag, "latest". Raises: NotFound, InvalidArgument, Unavailable."""
        return await self._puller.pull(reference, platform, report, credentials)

    async def pull_all(
        self,
        reference: Reference,
        platform: Platform | None = None,
        report: Report = silent,
        credentials: Credentials = NOBODY,
    ) -> list[Image]:
        """Bring the images of all tags of a repository here. Raises like `pull`."""
        return await self._puller.pull_all(reference, platform, report, credentials)

    async def push(
        self,
        reference: Reference,
        platform: Platform | None = None,
        report: Report = silent,
        credentials: Credentials = NOBODY,
    ) -> None:
        """Send an image to the registry of its name; without a tag, all tags of the repository.

        Raises: NotFound, InvalidArgument, Unavailable.
        """
        await self._pusher.push(reference, platform, credentials, report)

    async def import_(
        self,
        body: AsyncIterator[bytes],
        *,
        reference: Reference | None = None,
        changes: Sequence[str] = (),
        message: str = "",
        source: str = "-",
        platform: Platform | None = None,
    ) -> Image:
        """Make an image of the archive of a root file system, plain or compressed.

        changes: Dockerfile instructions for its configuration. message: its comment; "Imported from SOURCE" else.
        Raises: InvalidArgument; Unavailable when the body breaks off or the disk is full.
        """
        if reference is not None:
            reference = _tagged(reference)
        request = ImportRequest(
            config=apply_changes(ContainerConfig(), changes),
            platform=platform or host_platform(),
            created=_now(),
            comment=message or f"Imported from {source}",
            reference=reference,
        )
        image = await import_root(self._store, request, body)
        if reference is not None:
            self._tell("tag", image, reference.familiar)
        self._tell("import", image)
        return image

    async def load(
        self, body: AsyncIterator[bytes], platform: Platform | None = None, report: Report = silent
    ) -> list[Image]:
        """Take in the images of an archive that `save` wrote, or of an OCI layout, with their names.

        Raises: InvalidArgument, NotFound; Unavailable when the body breaks off or the disk is full.
        """
        images = await load_archive(self._store, body, platform, _now(), report)
        for image in images:
            self._tell("load", image)
        return images

    async def save(self, names: Sequence[str], platform: Platform | None = None) -> AsyncGenerator[bytes, None]:
        """The images of those names or ids as an archive, in pieces: what `load` takes, and `docker load`.

        A name without a tag stands for all tags of its repository.
        Raises: InvalidArgument, NotFound; Unavailable when the archive of a layer is not here any more.
        """
        chosen = image_save.choose(self._store, names, platform)
        pieces = image_save.save(self._store, chosen)
        await anext(pieces)
        for item in chosen:
            self._tell("save", item.image)
        return pieces

    async def commit(self, draft: Draft, base: Image, upper: Path, check: Callable[[], None]) -> Image:
        """Make an image upon `base` of a container's read-write layer `upper`.

        check: raises when what was read of the layer is of no use, since the container was being removed.
        Raises: Internal when the layer cannot be read; Unavailable when the disk is full; Conflict for too many layers.
        """
        if len(base.layers) >= MAX_LAYERS:
            raise Conflict("max depth exceeded")
        async with leased(self._store) as lease:
            layer = await new_layer(lease, upper, base)
            check()
            now = _now()
            return await self._store.store(committed_image(draft, base, layer, now), now)

    async def tag(self, image: Image, reference: Reference) -> Image:
        """Give an image one more name; another image loses it. Raises: InvalidArgument; NotFound when it is gone."""
        reference = _tagged(reference)
        named = await self._store.add_references(image.id, [reference], _now())
        self._tell("tag", named, reference.familiar)
        return named

    async def remove(self, name: str, *, force: bool = False, prune: bool = True) -> list[Removed]:
        """Take away a name, and the image with its last one; by Docker's rules, see `image_removal`.

        prune: also the nameless images it was built on, and nothing else has use for.
        Returns: what went, in order. Raises: NotFound, InvalidArgument; Conflict for what stands against it.
        """
        steps: list[Reference | str] = []
        labels: dict[str, dict[str, str]] = {}
        owner = ""

        def decide() -> Removal:
            nonlocal owner
            owner = self._store.resolve(name).id
            plan = Planner(self._store, self._users_of, force=force, prune=prune).plan(name)
            steps.extend(plan.steps)
            labels.update({image_id: self._store.get(image_id).labels for image_id in (owner, *plan.deleted)})
            return plan.removal()

        removal = await self._store.change(decide)
        removed: list[Removed] = []
        for step in steps:
            if isinstance(step, Reference):
                removed.append(Removed(untagged=step.familiar))
                self._events.emit("image", "untag", owner, {"name": owner, **labels[owner]})
                continue
            removed.append(Removed(deleted=step))
            removed.extend(Removed(deleted=layer) for layer in removal.layers.get(step, ()))
            self._events.emit("image", "delete", step, {"name": step, **labels[step]})
        await self.collect()
        return removed

    async def prune(self, filters: Filters) -> PrunedImages:
        """Remove the images that nobody needs and that the filters let through, see `image_prune`.

        Raises: InvalidArgument; Conflict while another prune runs.
        """
        choice = image_prune.wanted(filters)
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        try:
            ledger = image_prune.Ledger(self._store)
            removed: list[Removed] = []
            for image in image_prune.candidates(self._store, choice, lambda i: bool(self._users_of(i))):
                removed += await self._prune_one(image)
            freed = ledger.freed(item.deleted for item in removed) + await self._store.drop_unused_blobs()
        finally:
            self._pruning = False
        self._events.emit("image", "prune", "", {"reclaimed": str(freed)})
        return PrunedImages(removed, freed)

    async def _prune_one(self, image: Image) -> list[Removed]:
        """Remove an image with all its names; nothing more of it once somebody begins to use it."""
        removed: list[Removed] = []
        for name in [*(reference.familiar for reference in self._store.references_of(image.id)), image.id]:
            try:
                removed += await self.remove(name)
            except (Conflict, NotFound):  # it is gone with its last name; or used, or named, since
                break
        return removed

    async def collect(self) -> None:
        """Let go of images that were removed by force, and whose last container is gone now."""
        if self._store.hidden():
            await self._store.change(
                lambda: Removal(images=tuple(i.id for i in self._store.hidden() if not self._users_of(i.id)))
            )

    def _users_of(self, image_id: str) -> list[ImageUser]:
        return [*self.users(image_id), *(user for held, user in self._held if held == image_id)]

    def _tell(self, action: str, image: Image, name: str = "") -> None:
        self._events.emit("image", action, image.id, {"name": name or image.id, **image.labels})


def _tagged(reference: Reference) -> Reference:
    """The reference with a tag. Raises: InvalidArgument for a digest, which is not given but computed."""
    if reference.digest:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    return reference.with_default_tag()


def _now() -> str:
    return timestamp(time.time_ns())
