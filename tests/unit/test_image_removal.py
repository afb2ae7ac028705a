"""What removing an image means, by Docker's rules."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cais.engine.image import ImageUser
from cais.engine.image_removal import Planner
from cais.engine.image_store import ImageStore
from cais.errors import Conflict, NotFound
from tests.harness.stores import add_image, image_store

DIGEST = "sha256:" + "c" * 64
STOPPED = ImageUser("a1" * 32, "stopped", running=False)
RUNNING = ImageUser("b2" * 32, "running", running=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    async with image_store(tmp_path) as opened:
        yield opened


def plan(
    store: ImageStore, name: str, *users: ImageUser, force: bool = False, prune: bool = True, of: str = ""
) -> list[str]:
    """What goes, as it is told: names, and the ids of images."""
    made = Planner(store, lambda i: users if of in ("", i) else (), force=force, prune=prune).plan(name)
    return [step if isinstance(step, str) else step.familiar for step in made.steps]


async def test_one_name_of_several_goes_alone(store: ImageStore) -> None:
    await add_image(store, "a:1", "a:2")
    assert plan(store, "a:1") == ["a:1"]
    assert plan(store, "a:1", RUNNING) == ["a:1"]


async def test_with_its_last_name_an_image_goes(store: ImageStore) -> None:
    image = await add_image(store, "a:1")
    assert plan(store, "a:1") == ["a:1", image.id]


async def test_the_last_name_of_an_image_in_use_has_to_be_forced(store: ImageStore) -> None:
    image = await add_image(store, "a:1")
    with pytest.raises(Conflict) as caught:
        plan(store, "a:1", STOPPED)
    assert caught.value.message == (
        f'conflict: unable to remove repository reference "a:1" (must force) - container {"a1" * 6} is using its '
        f"referenced image {image.id[7:19]}"
    )
    assert plan(store, "a:1", STOPPED, force=True) == ["a:1", image.id]
    assert plan(store, "a:1", RUNNING, force=True) == ["a:1"]


async def test_layers_stay_while_a_stopped_container_needs_them(store: ImageStore) -> None:
    image = await add_image(store, "a:1")
    made = Planner(store, lambda _: [STOPPED], force=True, prune=True).plan("a:1")
    assert made.images == []
    assert made.hidden == [image.id]


async def test_by_its_id_an_image_goes_with_its_only_name(store: ImageStore) -> None:
    image = await add_image(store, "a:1")
    for name in (image.id, image.id[7:], image.id[7:19]):
        assert plan(store, name) == ["a:1", image.id]


async def test_by_its_id_an_image_of_several_names_has_to_be_forced(store: ImageStore) -> None:
    image = await add_image(store, "a:1", "b:1")
    with pytest.raises(Conflict) as caught:
        plan(store, image.id)
    assert caught.value.message == (
        f"conflict: unable to delete {image.id[7:19]} (must be forced) - image is referenced in multiple repositories"
    )
    assert plan(store, image.id, force=True) == ["a:1", "b:1", image.id]


async def test_by_its_id_an_image_in_use_is_in_the_way(store: ImageStore) -> None:
    image = await add_image(store, "a:1")
    short = image.id[7:19]
    with pytest.raises(Conflict) as stopped:
        plan(store, image.id, STOPPED)
    assert stopped.value.message == (
        f"conflict: unable to delete {short} (must be forced) - image is being used by stopped container {'a1' * 6}"
    )
    assert plan(store, image.id, STOPPED, force=True) == ["a:1", image.id]
    for force in (False, True):
        with pytest.raises(Conflict) as running:
            plan(store, image.id, STOPPED, RUNNING, force=force)
        assert running.value.message == (
            f"conflict: unable to delete {short} (cannot be forced) - "
            f"image is being used by running container {'b2' * 6}"
        )


async def test_digests_go_with_the_last_tag_of_their_repository(store: ImageStore) -> None:
    image = await add_image(store, "a:1", f"a@{DIGEST}")
    assert plan(store, "a:1") == ["a:1", f"a@{DIGEST}", image.id]
    assert plan(store, image.id) == ["a:1", f"a@{DIGEST}", image.id]
    assert plan(store, f"a@{DIGEST}") == [f"a@{DIGEST}"]


async def test_digests_stay_while_their_repository_has_a_tag(store: ImageStore) -> None:
    await add_image(store, "a:1", "a:2", f"a@{DIGEST}")
    assert plan(store, "a:1") == ["a:1"]


async def test_digests_of_another_repository_are_names_of_their_own(store: ImageStore) -> None:
    image = await add_image(store, "a:1", f"b@{DIGEST}")
    assert plan(store, "a:1") == ["a:1"]
    with pytest.raises(Conflict, match="multiple repositories"):
        plan(store, image.id)


async def test_an_image_that_others_were_built_on_is_in_the_way(store: ImageStore) -> None:
    base = await add_image(store, "base:1")
    await add_image(store, "top:1", parent=base.id)
    for force in (False, True):
        with pytest.raises(Conflict, match=r"cannot be forced.*dependent child images"):
            plan(store, base.id, force=force)
    assert plan(store, "base:1") == ["base:1"]


async def test_nameless_parents_go_too_unless_that_was_not_wanted(store: ImageStore) -> None:
    base = await add_image(store, "", created="2026-01-01T00:00:00Z")
    middle = await add_image(store, "", created="2026-01-02T00:00:00Z", parent=base.id)
    top = await add_image(store, "top:1", parent=middle.id)
    assert plan(store, "top:1") == ["top:1", top.id, middle.id, base.id]
    assert plan(store, "top:1", prune=False) == ["top:1", top.id]
    assert plan(store, "top:1", STOPPED, of=middle.id) == ["top:1", top.id]


async def test_parents_with_a_name_or_another_child_stay(store: ImageStore) -> None:
    base = await add_image(store, "base:1")
    shared = await add_image(store, "", parent=base.id)
    top = await add_image(store, "top:1", parent=shared.id)
    await add_image(store, "other:1", parent=shared.id)
    assert plan(store, "top:1") == ["top:1", top.id]


async def test_what_is_not_there_is_not_found(store: ImageStore) -> None:
    with pytest.raises(NotFound, match="No such image: a:1"):
        plan(store, "a:1")
