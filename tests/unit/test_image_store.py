"""The images of an engine: found, named, stored for good. Their layers are tested with the system."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cais.distribution.reference import parse
from cais.engine.image_store import ImageStore, Removal
from cais.errors import InvalidArgument, NotFound
from tests.harness.stores import add_image, image_store

NOW = "2026-05-01T00:00:00Z"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    async with image_store(tmp_path) as opened:
        yield opened


async def test_an_image_is_found_by_every_name_and_by_its_id(store: ImageStore) -> None:
    image = await add_image(store, "busybox:latest", "example.org/a:b")
    assert image.references == ("busybox:latest", "example.org/a:b")
    for name in (
        "busybox",
        "busybox:latest",
        "docker.io/library/busybox",
        "example.org/a:b",
        image.id,
        image.id[7:],
        image.id[7:19],
        image.id[:12],
    ):
        assert store.resolve(name) == image
    assert store.get(image.id) is image


async def test_what_is_not_there_is_told_with_its_whole_name(store: ImageStore) -> None:
    await add_image(store, "a:1")
    for name, told in (
        ("absent", "No such image: absent:latest"),
        ("a", "No such image: a:latest"),
        ("x/y:z", "No such image: x/y:z"),
        ("docker.io/library/q", "No such image: q:latest"),
        ("f" * 64, f"No such image: sha256:{'f' * 64}"),
        ("sha256:" + "f" * 64, f"No such image: sha256:{'f' * 64}"),
    ):
        with pytest.raises(NotFound) as caught:
            store.resolve(name)
        assert caught.value.message == told
    with pytest.raises(InvalidArgument, match="must be lowercase"):
        store.resolve("UPPER")


async def test_the_beginning_of_several_ids_is_no_name(store: ImageStore) -> None:
    images = [await add_image(store, f"a:{number}") for number in range(30)]
    shared = next(i.id[7] for i in images if sum(other.id[7] == i.id[7] for other in images) > 1)
    with pytest.raises(NotFound):
        store.resolve(shared)
    with pytest.raises(InvalidArgument):
        store.resolve("sha256:")


async def test_a_name_given_to_another_image_is_taken_from_the_first(store: ImageStore) -> None:
    first = await add_image(store, "first:1", "shared:1")
    second = await add_image(store, "second:1", "shared:1")
    assert store.resolve("shared:1").id == second.id
    assert store.get(first.id).references == ("first:1",)
    await store.add_references(first.id, [parse("shared:1")], NOW)
    assert store.get(first.id).references == ("first:1", "shared:1")
    assert store.get(first.id).last_tagged == NOW
    assert store.get(second.id).references == ("second:1",)


async def test_naming_what_is_gone_is_not_found(store: ImageStore) -> None:
    with pytest.raises(NotFound):
        await store.add_references("sha256:" + "a" * 64, [parse("a:1")], NOW)


async def test_digests_are_names_too(store: ImageStore) -> None:
    digest = "sha256:" + "c" * 64
    image = await add_image(store, "a:1", f"a@{digest}")
    assert image.references == ("a:1",)
    assert image.repo_digests == (f"a@{digest}",)
    assert store.resolve(f"a@{digest}") == image
    assert store.resolve(f"a:other@{digest}") == image


async def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        one = await add_image(first, "a:1", labels={"k": "v"})
        two = await add_image(first, "b:1", parent=one.id)
        await first.change(lambda: Removal(names=(parse("b:1"),), hidden=(two.id,)))
        before = [first.get(one.id), first.get(two.id)]
    async with image_store(tmp_path) as second:
        assert [second.get(one.id), second.get(two.id)] == before
        assert second.resolve("a:1") == before[0]
        assert second.get(two.id).hidden
        assert second.images() == [before[0]]
        with pytest.raises(NotFound):
            second.resolve(two.id)


async def test_an_image_stored_again_is_shown_again(store: ImageStore) -> None:
    image = await add_image(store, "a:1")
    await store.change(lambda: Removal(names=(parse("a:1"),), hidden=(image.id,)))
    assert store.images() == []
    assert (await add_image(store, "a:1")).id == image.id
    assert store.resolve("a:1").id == image.id


async def test_what_is_removed_is_gone_for_good(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        image = await add_image(first, "a:1")
        await first.change(lambda: Removal(names=(parse("a:1"),), images=(image.id,)))
        assert first.images() == []
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []
    async with image_store(tmp_path) as second:
        assert second.images() == []


async def test_blobs_and_folders_that_nobody_lists_are_swept(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        image = await add_image(first, "a:1")
    (tmp_path / "blobs" / "sha256" / ("a" * 64)).write_bytes(b"stray")
    (tmp_path / "layers" / ("b" * 64) / "diff").mkdir(parents=True)
    (tmp_path / "tmp" / "images" / "load-x").mkdir()
    async with image_store(tmp_path) as second:
        assert [i.id for i in second.images()] == [image.id]
    assert [path.name for path in (tmp_path / "blobs" / "sha256").iterdir()] == [image.id[7:]]
    assert list((tmp_path / "layers").iterdir()) == []
    assert list((tmp_path / "tmp" / "images").iterdir()) == []


async def test_a_damaged_configuration_takes_only_its_image(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        image = await add_image(first, "a:1")
        await add_image(first, "b:1")
    path = tmp_path / "blobs" / "sha256" / image.id[7:]
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    async with image_store(tmp_path) as second:
        assert [i.references for i in second.images()] == [("b:1",)]
        assert (await add_image(second, "a:1")).id == image.id


async def test_a_cancelled_change_is_whole_in_memory_and_on_disk(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        task = asyncio.create_task(add_image(first, "a:1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seen = [image.id for image in first.images()]
    async with image_store(tmp_path) as second:
        assert [image.id for image in second.images()] == seen


async def test_changes_at_the_same_time_leave_one_holder_of_a_name(store: ImageStore) -> None:
    images = await asyncio.gather(*(add_image(store, f"own:{number}", "shared:1") for number in range(20)))
    holders = [image.id for image in store.images() if "shared:1" in image.references]
    assert holders == [store.resolve("shared:1").id]
    assert len({image.id for image in images}) == 20
