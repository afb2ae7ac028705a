"""The images of an engine: found, named, stored for good. Their layers are tested with the system."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cais.distribution.oci import MANIFEST_TYPE, digest_of
from cais.distribution.reference import parse
from cais.engine.image_store import ImageManifest, ImageStore, NewImage, Removal
from cais.errors import InvalidArgument, NotFound
from cais.storage.layers import Lease
from tests.harness.stores import add_image, image_store

NOW = "2026-05-01T00:00:00Z"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ImageStore]:
    async with image_store(tmp_path) as opened:
        yield opened


async def test_no_image_is_called_as_a_digest_begins(store: ImageStore) -> None:
    image = await add_image(store, "named:1")
    ambiguous = "refusing to create an ambiguous tag using digest algorithm as name"
    with pytest.raises(InvalidArgument, match=ambiguous):
        await store.add_references(image.id, [parse("sha256:abc")], NOW)
    with pytest.raises(InvalidArgument, match=ambiguous):
        await add_image(store, "sha256:latest")
    assert store.get(image.id).references == ("named:1",)


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


async def with_manifest(store: ImageStore, manifest: bytes) -> str:
    image = await add_image(store, "a:1")
    new = NewImage(store.blobs.read(image.id), image.config, manifest=manifest, manifest_type=MANIFEST_TYPE)
    return (await store.store(new, NOW)).id


async def test_manifests_of_an_image_are_kept_with_it_the_latest_last(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        image_id = await with_manifest(first, b"one")
        for manifest in (b"two", b"one"):
            await with_manifest(first, manifest)
        expected = [ImageManifest(digest_of(m), MANIFEST_TYPE) for m in (b"two", b"one")]
        assert first.manifests_of(image_id) == expected
    async with image_store(tmp_path) as second:
        assert second.manifests_of(image_id) == expected
        assert second.blobs.read(expected[1].digest) == b"one"
        await second.change(lambda: Removal(names=(parse("a:1"),), images=(image_id,)))
        assert second.manifests_of(image_id) == []
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []
    assert rows(tmp_path, "blobs") == rows(tmp_path, "image_manifests") == []


async def test_what_an_interrupted_pull_has_received_waits_for_the_next_one(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        lease = first.layers.lease(spare_blobs=True)
        kept, unlisted = (received(first, lease, content) for content in (b"listed", b"not listed"))
        await first.list_blob(kept)
        lease.close()
        assert first.blobs.has(unlisted)
    async with image_store(tmp_path) as second:
        assert not second.blobs.has(unlisted)
        lease = second.layers.lease(spare_blobs=True)
        assert lease.keep_blob(kept)
        assert not lease.keep_blob(unlisted)
        assert await second.drop_unused_blobs() == 0
        lease.close()
        assert await second.drop_unused_blobs() == len(b"listed")
        assert not second.blobs.has(kept)
    assert rows(tmp_path, "blobs") == []


async def test_what_nobody_has_come_back_for_in_a_day_goes(tmp_path: Path) -> None:
    async with image_store(tmp_path) as first:
        lease = first.layers.lease(spare_blobs=True)
        digest = received(first, lease, b"old")
        await first.list_blob(digest)
        lease.close()
    with sqlite3.connect(tmp_path / "cais.db") as connection:
        connection.execute("UPDATE blobs SET added = ?", (time.time() - 25 * 3600,))
    connection.close()
    async with image_store(tmp_path) as second:
        assert not second.blobs.has(digest)
    assert rows(tmp_path, "blobs") == []


async def test_what_a_lease_receives_goes_with_it_unless_it_is_to_be_spared(store: ImageStore) -> None:
    lease = store.layers.lease()
    digest = received(store, lease, b"content")
    assert store.blobs.has(digest)
    lease.close()
    assert not store.blobs.has(digest)


def received(store: ImageStore, lease: Lease, content: bytes) -> str:
    with store.blobs.writer(None) as writer:
        writer.write(content)
        return lease.commit(writer)


def rows(data_root: Path, table: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(data_root / "cais.db")
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  the tests' own names
    finally:
        connection.close()
