"""What removing an image means: which names and which images go, and what stands against it. Docker's rules.

Given by a name, the name goes; the image goes with its last one. Given by its id, all its names go, when
they are one in substance. Force overrides containers that are stopped and further names, never a
container that runs, nor images that were built on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cais.distribution.reference import Reference, parse
from cais.engine.image import Image, ImageUser, short_id
from cais.engine.image_store import ImageStore, Removal
from cais.errors import Conflict


@dataclass(slots=True)
class Plan:
    """What will go, in the order in which it is told: names, and ids of images."""

    names: list[Reference] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    steps: list[Reference | str] = field(default_factory=list)

    def untag(self, reference: Reference) -> None:
        self.names.append(reference)
        self.steps.append(reference)

    def delete(self, image_id: str, keep_layers: bool) -> None:
        (self.hidden if keep_layers else self.images).append(image_id)
        self.steps.append(image_id)

    @property
    def deleted(self) -> list[str]:
        """The images that are no longer found, whether or not their layers stay."""
        return self.images + self.hidden

    def removal(self) -> Removal:
        return Removal(tuple(self.names), tuple(self.images), tuple(self.hidden))


class Planner:
    """Plans one removal on the images as they are now. Nothing is changed."""

    def __init__(
        self, store: ImageStore, users: Callable[[str], Sequence[ImageUser]], *, force: bool, prune: bool
    ) -> None:
        self._store = store
        self._users = users
        self._force = force
        self._prune = prune
        self._plan = Plan()

    def plan(self, name: str) -> Plan:
        """Raises: NotFound, InvalidArgument; Conflict in Docker's words."""
        image = self._store.resolve(name)
        if _is_id_of(name, image):
            self._by_id(image)
        else:
            self._by_name(image, name)
        return self._plan

    def _by_name(self, image: Image, name: str) -> None:
        names = self._store.references_of(image.id)
        users = self._users(image.id)
        if not self._force and _is_single(names) and users:
            # without its last name the image would dangle, which somebody has to want
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - container '
                f"{short_id(users[0].container_id)} is using its referenced image {short_id(image.id)}"
            )
        reference = parse(name).with_default_tag()
        if reference.digest:
            reference = reference.with_digest(reference.digest)
        self._untag(names, reference)
        if not reference.digest and not any(n.name == reference.name and not n.digest for n in names):
            for left in [n for n in names if n.name == reference.name]:
                self._untag(names, left)  # a digest alone, of a repository that has no tag here any more
        if not names:
            self._delete(image, names, quiet=True, force=self._force)

    def _by_id(self, image: Image) -> None:
        names = self._store.references_of(image.id)
        if _is_single(names):
            conflict = self._conflict(image, names, hard_only=self._force, count_names=False)
            if conflict is not None:
                raise conflict
            for reference in list(names):
                self._untag(names, reference)
        self._delete(image, names, quiet=False, force=self._force)

    def _untag(self, names: list[Reference], reference: Reference) -> None:
        names.remove(reference)
        self._plan.untag(reference)

    def _delete(self, image: Image, names: list[Reference], *, quiet: bool, force: bool) -> None:
        """Delete an image and, unless that was not wanted, the parents that only it had use for."""
        conflict = self._conflict(image, names, hard_only=force, count_names=True)
        if conflict is not None:
            if quiet and (conflict.used or not self._dangles(image, names)):
                return
            raise conflict
        for reference in list(names):
            self._untag(names, reference)
        self._plan.delete(image.id, keep_layers=bool(self._users(image.id)))
        parent = next((i for i in self._store.images() if i.id == image.parent), None)
        if self._prune and parent is not None:
            self._delete(parent, self._store.references_of(parent.id), quiet=True, force=False)

    def _dangles(self, image: Image, names: list[Reference]) -> bool:
        return not names and not self._children(image)

    def _children(self, image: Image) -> list[str]:
        gone = self._plan.deleted
        return [other.id for other in self._store.images() if other.parent == image.id and other.id not in gone]

    def _conflict(
        self, image: Image, names: list[Reference], *, hard_only: bool, count_names: bool
    ) -> "_InTheWay | None":
        """What stands against deleting the image; only what force cannot override, when `hard_only`."""
        users = self._users(image.id)
        running = next((user for user in users if user.running), None)
        if self._children(image):
            return _InTheWay(image.id, "image has dependent child images", hard=True)
        if running is not None:
            what = f"image is being used by running container {short_id(running.container_id)}"
            return _InTheWay(image.id, what, hard=True, used=True)
        if hard_only:
            return None
        if count_names and names:
            return _InTheWay(image.id, "image is referenced in multiple repositories")
        if users:
            what = f"image is being used by stopped container {short_id(users[0].container_id)}"
            return _InTheWay(image.id, what, used=True)
        return None


class _InTheWay(Conflict):
    """Why an image cannot be deleted. `used`: a container was made from it."""

    def __init__(self, image_id: str, why: str, *, hard: bool = False, used: bool = False) -> None:
        how = "cannot be forced" if hard else "must be forced"
        super().__init__(f"conflict: unable to delete {short_id(image_id)} ({how}) - {why}")
        self.used = used


def _is_id_of(name: str, image: Image) -> bool:
    """Whether the image was asked for by its id, or the beginning of it; a name that looks so comes first."""
    if not image.id.removeprefix("sha256:").startswith(name.removeprefix("sha256:")):
        return False
    reference = None if len(name) >= 64 else parse(name).with_default_tag()
    return reference is None or reference.familiar not in image.references


def _is_single(names: list[Reference]) -> bool:
    """Whether the names are one: at most one tag, and digests of the same repository only."""
    if len(names) <= 1:
        return True
    tags = [name for name in names if not name.digest]
    repositories = {name.name for name in names if name.digest}
    if not tags:
        return len(repositories) == 1
    return len(tags) == 1 and repositories == {tags[0].name}
