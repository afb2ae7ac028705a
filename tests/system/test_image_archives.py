"""Images saved as archives and loaded again, by us and by others: `save`, `load`."""

import asyncio
import gzip
import io
import json
import lzma
import os
import resource
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zstandard

from cais.distribution.oci import GZIP_LAYER_TYPE, MANIFEST_TYPE, ZSTD_LAYER_TYPE, digest_of
from cais.distribution.platforms import host_platform
from cais.distribution.reference import parse
from cais.engine.images import Images
from cais.errors import Internal, InvalidArgument, NotFound, Unavailable
from tests.harness.archives import Archive
from tests.harness.stores import opened_images

BASE = Archive().folder("etc").add("etc/name", b"one").add("program", b"x" * 5000, mode=0o755).data
ZEROS = 1 << 28
UPPER = Archive().add("etc/.wh.name").add("etc/more", b"two").data


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    (tmp_path / "one").mkdir()
    async with opened_images(tmp_path / "one") as opened:
        yield opened


@pytest.fixture
async def others(tmp_path: Path) -> AsyncIterator[Images]:
    (tmp_path / "other").mkdir()
    async with opened_images(tmp_path / "other") as opened:
        yield opened


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


async def save(images: Images, *names: str) -> bytes:
    return b"".join([piece async for piece in await images.save(names)])


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {m.name: opened.extractfile(m).read() for m in opened if m.isfile()}  # type: ignore[union-attr]


def layout(*images: tuple[str, list[tuple[bytes, str, bytes]]], platform: str = "") -> bytes:
    """An OCI layout: for each image its name, and its layers as (blob, media type, plain archive)."""
    archive = Archive()
    manifests = []

    def blob(data: bytes) -> dict[str, object]:
        archive.add(f"blobs/sha256/{digest_of(data)[7:]}", data)
        return {"digest": digest_of(data), "size": len(data)}

    for name, layers in images:
        architecture = platform or host_platform().architecture
        rootfs = {"type": "layers", "diff_ids": [digest_of(plain) for _, _, plain in layers]}
        config = {"os": "linux", "architecture": architecture, "author": name, "rootfs": rootfs}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                **blob(json.dumps(config).encode()),
            },
            "layers": [{"mediaType": kind, **blob(data)} for data, kind, _ in layers],
        }
        annotations = {"org.opencontainers.image.ref.name": name}
        data = json.dumps(manifest).encode()
        manifests.append({"mediaType": manifest["mediaType"], **blob(data), "annotations": annotations})
    archive.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    return archive.add("index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()).data


async def test_what_is_saved_is_loaded_with_everything(images: Images, others: Images) -> None:
    (image,) = await images.load(body(layout(("a.test/x:1", [(BASE, "", BASE), (UPPER, "", UPPER)]))))
    await images.tag(image, parse("second"))
    saved = await save(images, "a.test/x:1", "second:latest")
    (loaded,) = await others.load(body(saved))
    assert loaded.id == image.id
    assert loaded.references == ("a.test/x:1", "second:latest")
    assert loaded.size_bytes == image.size_bytes
    upper, lower = map(Path, others.lower_dirs(loaded))
    assert (upper / "etc" / "name").is_char_device()
    assert (lower / "etc" / "name").read_bytes() == b"one"
    assert await save(others, "second:latest", "a.test/x:1") == saved


async def test_an_archive_is_an_oci_layout_and_what_old_readers_know(images: Images) -> None:
    image = await images.import_(body(BASE), reference=parse("a/b:c"))
    found = members(await save(images, "a/b:c"))
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (descriptor,) = json.loads(found["index.json"])["manifests"]
    assert descriptor["annotations"] == {
        "io.containerd.image.name": "docker.io/a/b:c",
        "org.opencontainers.image.ref.name": "c",
    }
    manifest = json.loads(found[f"blobs/sha256/{descriptor['digest'][7:]}"])
    (item,) = json.loads(found["manifest.json"])
    assert item["RepoTags"] == ["a/b:c"]
    assert item["Config"] == f"blobs/sha256/{image.id[7:]}"
    assert manifest["config"]["digest"] == image.id
    (layer,) = manifest["layers"]
    assert item["Layers"] == [f"blobs/sha256/{layer['digest'][7:]}"]
    assert item["LayerSources"] == {image.config.diff_ids[0]: layer}
    assert json.loads(found["repositories"]) == {"a/b": {"c": digest_of(BASE)[7:]}}
    assert gzip.decompress(found[item["Layers"][0]]) == BASE
    for name, data in found.items():
        if name.startswith("blobs/"):
            assert digest_of(data) == "sha256:" + name.rpartition("/")[2]


async def test_several_images_share_their_layers_and_a_name_alone_means_all_its_tags(images: Images) -> None:
    layers = [(BASE, "", BASE)]
    await images.load(body(layout(("a.test/x:1", layers), ("a.test/x:2", [*layers, (UPPER, "", UPPER)]))))
    found = members(await save(images, "a.test/x"))
    assert sorted(item["RepoTags"][0] for item in json.loads(found["manifest.json"])) == ["a.test/x:1", "a.test/x:2"]
    assert len([name for name in found if name.startswith("blobs/")]) == 2 + 2 + 2


async def test_an_image_saved_by_its_id_has_no_name(images: Images, others: Images) -> None:
    image = await images.import_(body(BASE), reference=parse("named:1"))
    for name in (image.id, image.id[7:], image.id[7:19]):
        found = members(await save(images, name))
        assert json.loads(found["manifest.json"])[0]["RepoTags"] is None
        assert "repositories" not in found
    (loaded,) = await others.load(body(await save(images, image.id)))
    assert (loaded.id, loaded.references) == (image.id, ())


async def test_an_image_without_layers_is_saved_and_loaded(images: Images, others: Images) -> None:
    (image,) = await images.load(body(layout(("empty:1", []))))
    (loaded,) = await others.load(body(await save(images, "empty:1")))
    assert (loaded.id, loaded.references) == (image.id, ("empty:1",))


@pytest.mark.parametrize(
    ("compress", "media_type"),
    [
        (lambda data: gzip.compress(data, 9), GZIP_LAYER_TYPE),
        (zstandard.ZstdCompressor().compress, ZSTD_LAYER_TYPE),
    ],
    ids=["gzip", "zstd"],
)
async def test_a_compressed_layer_is_saved_as_it_came_and_its_manifest_too(
    images: Images, compress: Callable[[bytes], bytes], media_type: str
) -> None:
    archive = layout(("a.test/x:1", [(compress(BASE), media_type, BASE)]))
    await images.load(body(archive))
    saved, loaded = members(await save(images, "a.test/x:1")), members(archive)
    assert {name for name in loaded if name.startswith("blobs/")} <= saved.keys()
    assert (
        json.loads(saved["index.json"])["manifests"][0]["digest"]
        == (json.loads(loaded["index.json"])["manifests"][0]["digest"])
    )


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress])
async def test_a_compressed_archive_of_compressed_layers_is_loaded(
    images: Images, compress: Callable[[bytes], bytes]
) -> None:
    (image,) = await images.load(body(compress(layout(("a.test/x:1", [(compress(BASE), "", BASE)])))))
    assert image.references == ("a.test/x:1",)
    (blob,) = images._store.layers.archives(digest_of(BASE))
    assert blob.media_type in {GZIP_LAYER_TYPE, ZSTD_LAYER_TYPE}


async def test_what_cannot_be_saved_is_told_in_docker_s_words(images: Images) -> None:
    await images.import_(body(BASE), reference=parse("named:1"))
    for name, told in (
        ("absent", "No such image: absent"),
        ("absent:1", "reference does not exist"),
        ("named:2", "reference does not exist"),
        ("f" * 64, f"No such image: sha256:{'f' * 64}"),
    ):
        with pytest.raises(NotFound) as caught:
            await images.save([name])
        assert caught.value.message == told
    with pytest.raises(InvalidArgument, match="lowercase"):
        await images.save(["UPPER"])


async def test_a_flipped_bit_ends_a_save_and_loading_again_repairs(images: Images, tmp_path: Path) -> None:
    archive = layout(("a.test/x:1", [(BASE, "", BASE)]))
    await images.load(body(archive))
    whole = await save(images, "a.test/x:1")
    (blob,) = images._store.layers.archives(digest_of(BASE))
    path = tmp_path / "one" / "blobs" / "sha256" / blob.digest[7:]
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(Internal, match="damaged"):
        await save(images, "a.test/x:1")
    with pytest.raises(Unavailable, match="pull or load its image again"):
        await save(images, "a.test/x:1")
    await images.load(body(archive))
    assert await save(images, "a.test/x:1") == whole


async def test_what_is_being_saved_is_sent_whole_though_it_is_removed(images: Images, others: Images) -> None:
    await images.import_(body(BASE), reference=parse("named:1"))
    pieces = await images.save(["named:1"])
    await images.remove("named:1")
    assert images.select() == []
    (loaded,) = await others.load(pieces)
    assert loaded.references == ("named:1",)
    assert images._store.blobs.unused() == []


async def test_a_save_that_nobody_reads_lets_go_of_everything(images: Images, tmp_path: Path) -> None:
    await images.import_(body(BASE), reference=parse("named:1"))
    pieces = await images.save(["named:1"])
    await anext(pieces)
    await images.remove("named:1")
    await pieces.aclose()
    assert list((tmp_path / "one" / "blobs" / "sha256").iterdir()) == []


async def test_layers_are_unpacked_where_the_file_system_spreads_its_folders(images: Images, tmp_path: Path) -> None:
    listed = subprocess.run(  # noqa: ASYNC221  it is over at once
        ["lsattr", "-d", str(tmp_path / "one" / "tmp" / "images")], check=False, capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("the file system of the tests has no such attribute")
    assert "T" in listed.stdout.split()[0]


# -- hostile archives


async def test_a_blob_whose_content_has_another_digest_is_refused(images: Images, tmp_path: Path) -> None:
    """The layer itself would be right; its archive is not the one that the manifest is about."""
    compressed = gzip.compress(BASE, 9)
    archive = layout(("a.test/x:1", [(compressed, GZIP_LAYER_TYPE, BASE)]))
    other = bytearray(compressed)
    other[9] ^= 1  # which system wrote it, says the header
    assert gzip.decompress(other) == BASE
    with pytest.raises(InvalidArgument, match="another digest"):
        await images.load(body(archive.replace(compressed, bytes(other))))
    assert images.select() == []
    await images._store.trash.empty()
    for folder in ("blobs/sha256", "layers", "tmp/images"):
        assert list((tmp_path / "one" / folder).iterdir()) == []


async def test_what_layers_are_is_said_before_they_come_from_below(images: Images) -> None:
    layers = [(BASE, "", BASE), (UPPER, "", UPPER)]
    (image,) = await images.load(body(layout(("a.test/x:1", layers))))
    found = list(members(await save(images, "a.test/x:1")))
    (item,) = json.loads(members(await save(images, "a.test/x:1"))["manifest.json"])
    assert found[-3:] == [f"blobs/sha256/{image.id[7:]}", *item["Layers"]]


async def test_an_archive_that_is_cut_anywhere_leaves_nothing(images: Images, others: Images, tmp_path: Path) -> None:
    await images.load(body(layout(("a.test/x:1", [(BASE, "", BASE), (UPPER, "", UPPER)]))))
    saved = await save(images, "a.test/x:1")
    for end in range(512, len(saved) - 1536, 512 * 3):
        with pytest.raises(InvalidArgument):
            await others.load(body(saved[:end]))
    assert others.select() == []
    await others._store.trash.empty()
    for folder in ("blobs/sha256", "layers", "tmp/images"):
        assert list((tmp_path / "other" / folder).iterdir()) == []


async def test_a_load_that_is_cancelled_while_layers_are_unpacked_leaves_nothing(
    images: Images, others: Images, tmp_path: Path
) -> None:
    big = Archive().add("big", os.urandom(8 << 20)).data
    await images.import_(body(big), reference=parse("big:1"))
    saved = await save(images, "big:1")

    async def stalled() -> AsyncIterator[bytes]:
        yield saved[: 6 << 20]
        await asyncio.Event().wait()

    task = asyncio.create_task(others.load(stalled()))
    async with asyncio.timeout(10):
        while not list((tmp_path / "other" / "tmp" / "images").glob("layer-*/diff/big")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await others._store.trash.empty()
    for folder in ("blobs/sha256", "layers", "tmp/images"):
        assert list((tmp_path / "other" / folder).iterdir()) == []


async def test_a_layer_that_is_not_what_its_image_says_is_refused(images: Images) -> None:
    for layer in (UPPER, gzip.compress(UPPER)):
        with pytest.raises(InvalidArgument, match="diffID"):
            await images.load(body(layout(("a.test/x:1", [(layer, "", BASE)]))))
    assert images.select() == []
    assert images._store.blobs.unused() == []


@pytest.mark.parametrize("swapped", [True, False])
async def test_a_manifest_about_other_layers_is_not_taken_for_the_image_s(
    images: Images, others: Images, swapped: bool
) -> None:
    """manifest.json says what the image is; the index beside it tells of other layers, which are here too."""
    evil = gzip.compress(UPPER)
    await images.load(body(layout(("evil:1", [(evil, GZIP_LAYER_TYPE, UPPER)]))))
    good = gzip.compress(BASE)
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(BASE)]}}).encode()
    told = [evil] if swapped else [good, evil]
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": digest_of(config), "size": len(config)},
            "layers": [{"digest": digest_of(data), "size": len(data)} for data in told],
        }
    ).encode()
    descriptor = {"mediaType": MANIFEST_TYPE, "digest": digest_of(manifest), "size": len(manifest)}
    archive = Archive().add("index.json", json.dumps({"manifests": [descriptor]}).encode())
    for data in (manifest, config, good):
        archive.add(f"blobs/sha256/{digest_of(data)[7:]}", data)
    paths = {"Config": f"blobs/sha256/{digest_of(config)[7:]}", "Layers": [f"blobs/sha256/{digest_of(good)[7:]}"]}
    archive.add("manifest.json", json.dumps([{**paths, "RepoTags": ["good:1"]}]).encode())
    await images.load(body(archive.data))
    (loaded,) = await others.load(body(await save(images, "good:1")))
    assert loaded.config.diff_ids == (digest_of(BASE),)
    assert images._store.manifests_of(loaded.id) == []


@pytest.mark.parametrize("attack", ["../x", "a/../../x", "./../../../../tmp/x"])
async def test_a_layer_that_reaches_outside_leaves_nothing(images: Images, tmp_path: Path, attack: str) -> None:
    evil = Archive().add(attack, b"evil").data
    with pytest.raises(InvalidArgument, match="outside"):
        await images.load(body(layout(("a.test/x:1", [(BASE, "", BASE), (evil, "", evil)]))))
    assert images.select() == []
    assert list((tmp_path / "one" / "layers").iterdir()) == []
    assert list((tmp_path / "one" / "blobs" / "sha256").iterdir()) == []


def bomb(folder: Path, name: str) -> bytes:
    """A compressed archive of a quarter of a gigabyte of zeros."""
    path = folder / "bomb.tar"
    with open(path, "wb") as file:
        header = tarfile.TarInfo(name)
        header.size = ZEROS
        file.write(header.tobuf())
        file.truncate(512 + header.size + 1024)
    return subprocess.run(["gzip", "-1c", str(path)], check=True, capture_output=True).stdout


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_a_bomb_of_zeros_takes_neither_memory_nor_disk(images: Images, tmp_path: Path) -> None:
    packed = bomb(tmp_path, "zeros")
    before = peak_kilobytes()
    image = await images.import_(body(packed), reference=parse("bomb"))
    assert image.size_bytes == ZEROS
    assert used_kilobytes(tmp_path / "one") < 20_000
    saved = await save(images, "bomb:latest")
    await images.remove("bomb:latest")
    (loaded,) = await images.load(body(saved))
    assert loaded.id == image.id
    assert peak_kilobytes() - before < 60_000


async def test_an_archive_that_is_a_bomb_itself_takes_neither_memory_nor_disk(images: Images, tmp_path: Path) -> None:
    packed = bomb(tmp_path, "manifest.json.big")
    before = peak_kilobytes()
    with pytest.raises(InvalidArgument, match=r"neither manifest\.json nor index\.json"):
        await images.load(body(packed))
    assert peak_kilobytes() - before < 60_000
    await images._store.trash.empty()
    assert list((tmp_path / "one" / "tmp" / "images").iterdir()) == []


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 100_000,
        b'{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}',
        b'{"schemaVersion":2,"manifests":[],"manifests":[]}',
        b'{"schemaVersion":2,"manifests":[{"digest":"sha256:../x","mediaType":"application/vnd.oci.image.index.v1+json"}]}',
    ],
    ids=["deep", "both", "twice", "path"],
)
async def test_an_index_that_is_wrong_or_ambiguous_is_refused(images: Images, document: bytes) -> None:
    archive = Archive().add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}').add("index.json", document)
    with pytest.raises(InvalidArgument):
        await images.load(body(archive.data))
    good = [{"Config": "c", "Layers": [], "RepoTags": ["a:1"]}]
    archive = Archive().add("c", b'{"os":"linux"}').add("index.json", document)
    with pytest.raises(InvalidArgument):
        await images.load(body(archive.add("manifest.json", json.dumps(good).encode()).data))
    assert images.select() == []


def used_kilobytes(folder: Path) -> int:
    return int(subprocess.run(["du", "-sk", str(folder)], check=True, capture_output=True).stdout.split()[0])


# -- others


def skopeo(*arguments: str) -> str:
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("source", ["oci-archive:{}:1", "docker-archive:{}:a.test/x:1"])
async def test_skopeo_reads_what_we_save(images: Images, tmp_path: Path, source: str) -> None:
    (image,) = await images.load(body(layout(("a.test/x:1", [(BASE, "", BASE), (UPPER, "", UPPER)]))))
    path = tmp_path / "saved.tar"
    path.write_bytes(await save(images, "a.test/x:1"))
    name = source.format(path)
    assert json.loads(skopeo("inspect", "--config", name))["author"] == "a.test/x:1"
    skopeo("copy", name, f"dir:{tmp_path / 'copied'}")
    manifest = json.loads((tmp_path / "copied" / "manifest.json").read_text())
    assert manifest["config"]["digest"] == image.id
    plain = [(tmp_path / "copied" / layer["digest"][7:]).read_bytes() for layer in manifest["layers"]]
    assert [data if data in {BASE, UPPER} else gzip.decompress(data) for data in plain] == [BASE, UPPER]


@pytest.mark.parametrize("target", ["oci-archive:{}:a.test/x:2", "docker-archive:{}:a.test/x:2"])
async def test_what_skopeo_writes_is_loaded(images: Images, others: Images, tmp_path: Path, target: str) -> None:
    (image,) = await images.load(body(layout(("a.test/x:1", [(BASE, "", BASE), (UPPER, "", UPPER)]))))
    path, copied = tmp_path / "saved.tar", tmp_path / "copied.tar"
    path.write_bytes(await save(images, "a.test/x:1"))
    skopeo("copy", f"docker-archive:{path}:a.test/x:1", target.format(copied))
    (loaded,) = await others.load(body(copied.read_bytes()))
    assert loaded.references == ("a.test/x:2",)
    assert loaded.config.diff_ids == image.config.diff_ids
