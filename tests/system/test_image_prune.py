"""Removing images that nobody needs, with true figures: `image prune`; and what images take: `system df`."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from cais.distribution.oci import digest_of
from cais.distribution.reference import parse
from cais.engine.filters import Filters
from cais.engine.image import Image, ImageUser
from cais.engine.images import Images, Removed
from cais.errors import InvalidArgument
from tests.harness.archives import Archive
from tests.harness.engine import Daemon
from tests.harness.life import create, events, refused
from tests.harness.stores import add_image, opened_images

ONE = Archive().add("one", os.urandom(30_000)).data
TWO = Archive().add("two", os.urandom(20_000)).data


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    async with opened_images(tmp_path) as opened:
        yield opened


async def imported(images: Images, data: bytes, name: str = "", label: str = "a=b") -> Image:
    async def body() -> AsyncIterator[bytes]:
        yield data

    return await images.import_(body(), reference=parse(name) if name else None, changes=[f"LABEL {label}"])


def on_disk(data_root: Path) -> int:
    """The bytes of layers and of their archives; configurations are left out."""
    blobs = [path for path in (data_root / "blobs" / "sha256").iterdir() if path.read_bytes()[:1] != b"{"]
    files = [path for path in (data_root / "layers").rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in [*blobs, *files])


async def test_what_has_no_tag_goes_and_the_figure_is_true(images: Images, tmp_path: Path) -> None:
    kept = await imported(images, ONE, "kept:1")
    gone = await imported(images, TWO)
    before = on_disk(tmp_path)
    assert images.layers_bytes() >= before
    pruned = await images.prune(Filters())
    assert pruned.removed == [Removed(deleted=gone.id), Removed(deleted=gone.layers[0])]
    assert images.select() == [kept]
    assert pruned.freed_bytes == before - on_disk(tmp_path) > 40_000  # its files, and their archive
    assert (await images.prune(Filters())).freed_bytes == 0


async def test_a_shared_layer_is_not_counted_until_it_goes(images: Images) -> None:
    await imported(images, ONE, "kept:1")
    await imported(images, ONE, label="other=label")
    pruned = await images.prune(Filters())
    assert (len(pruned.removed), pruned.freed_bytes) == (1, 0)


async def test_all_that_is_unused_goes_when_asked_with_every_name(images: Images) -> None:
    used = await imported(images, ONE, "used:1")
    await images.tag(used, parse("used:2"))
    image = await imported(images, TWO, "named:1")
    await images.tag(image, parse("named:2"))
    images.users = lambda image_id: [ImageUser("c" * 64, "c", running=False)] if image_id == used.id else []
    pruned = await images.prune(Filters({"dangling": ["false"]}))
    assert pruned.removed == [
        Removed(untagged="named:1"),
        Removed(untagged="named:2"),
        Removed(deleted=image.id),
        Removed(deleted=image.layers[0]),
    ]
    assert images.resolve("used:1").references == ("used:1", "used:2")


async def test_nameless_images_that_others_were_built_on_stay_or_go_with_them(images: Images) -> None:
    base = await add_image(images._store)
    named = await add_image(images._store, "named:1", parent=base.id)
    assert (await images.prune(Filters())).removed == []
    gone = (await images.prune(Filters({"dangling": ["0"]}))).removed
    assert gone == [Removed(untagged="named:1"), Removed(deleted=named.id), Removed(deleted=base.id)]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"label": ["a"]}, ["c=d"]),
        ({"label": ["a=x"]}, ["a=b", "c=d"]),
        ({"label!": ["a=b"]}, ["a=b"]),
        ({"until": ["1h"]}, ["a=b", "c=d"]),
        ({"until": ["0s"]}, []),
        ({"dangling": ["true"], "label": ["c"]}, ["a=b"]),
    ],
)
async def test_filters(images: Images, filters: dict[str, list[str]], left: list[str]) -> None:
    await imported(images, ONE, label="a=b")
    await imported(images, TWO, label="c=d")
    await images.prune(Filters(filters))
    assert sorted(f"{k}={v}" for image in images.select() for k, v in image.labels.items()) == left


async def test_what_an_interrupted_pull_has_left_goes_too(images: Images, tmp_path: Path) -> None:
    store = images._store
    lease = store.layers.lease(spare_blobs=True)
    with store.blobs.writer(digest_of(ONE)) as whole:
        whole.write(ONE)
        lease.commit(whole)
    with store.blobs.writer(digest_of(TWO)) as half:
        half.write(TWO[:1000])
    assert (await images.prune(Filters())).freed_bytes == 1000  # the other is in use
    lease.close()
    assert (await images.prune(Filters())).freed_bytes == len(ONE)
    assert list((tmp_path / "blobs" / "sha256").iterdir()) == []


async def test_filters_that_make_no_sense_are_refused(images: Images) -> None:
    for filters, told in (
        ({"bogus": ["x"]}, "invalid filter 'bogus'"),
        ({"dangling": ["x"]}, "invalid filter 'dangling=[x]'"),
        ({"until": ["1h", "2h"]}, "more than one until filter specified"),
        ({"until": ["x"]}, 'failed to parse value as time or duration: "x"'),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await images.prune(Filters(filters))
        assert caught.value.message == told


def test_prune_by_the_api_and_the_client(caisd: Daemon) -> None:
    create(caisd, "true")
    path = caisd.folder / "archive.tar"
    path.write_bytes(ONE)
    image = caisd.docker_output("import", str(path))
    filters = quote(json.dumps({"dangling": ["true"]}))
    answer = caisd.ask("POST", f"/images/prune?filters={filters}").json
    assert {"Deleted": image} in answer["ImagesDeleted"].value  # type: ignore[operator]
    assert answer["SpaceReclaimed"].number > 30_000
    told = [e for e in events(caisd, type=["image"]) if e["Action"].text == "prune"]
    assert told[-1]["Actor"]["Attributes"]["reclaimed"].text == str(answer["SpaceReclaimed"].number)
    assert "Total reclaimed space: 0B" in caisd.docker_output("image", "prune", "-f")
    assert refused(caisd, "POST", f"/images/prune?filters={quote(json.dumps({'x': ['y']}))}")[0] == 400
    assert caisd.ask("GET", "/images/busybox/json").status == 200


def test_df_tells_what_is_on_the_disk_and_who_shares_it(caisd: Daemon) -> None:
    path = caisd.folder / "archive.tar"
    path.write_bytes(ONE)
    try:
        first = caisd.docker_output("import", str(path), "first:1")
        second = caisd.docker_output("import", "-c", "LABEL x=y", str(path), "second:1")
        container = create(caisd, "true", Image="first:1")
        shown = {item["Id"].text: item for item in caisd.ask("GET", "/system/df").json["Images"].items}
        assert [shown[i]["SharedSize"].number for i in (first, second)] == [30_000, 30_000]
        assert [shown[i]["Containers"].number for i in (first, second)] == [1, 0]
        caisd.docker_output("rm", container)
        before = caisd.ask("GET", "/system/df").json["LayersSize"].number
        caisd.docker_output("rmi", "first:1")
        shared = caisd.ask("GET", "/system/df").json
        assert before - shared["LayersSize"].number < 2000  # a configuration
        assert next(i for i in shared["Images"].items if i["Id"].text == second)["SharedSize"].number == 0
        caisd.docker_output("rmi", "second:1")
        assert before - caisd.ask("GET", "/system/df").json["LayersSize"].number > 60_000
    finally:
        for name in ("first:1", "second:1"):
            caisd.ask("DELETE", f"/images/{name}?force=1")
