"""Images with their layers: imported, loaded, made by cais.local, removed; what fails or is killed leaves nothing."""

import asyncio
import bz2
import gzip
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import zstandard

from cais.distribution.oci import digest_of
from cais.distribution.platforms import host_platform
from cais.distribution.reference import parse
from cais.engine.image import ImageUser
from cais.engine.images import Images, Removed
from cais.engine.progress import Progress
from cais.errors import CaisError, Conflict, InvalidArgument, NotFound, Unavailable
from tests.harness.archives import Archive
from tests.harness.stores import opened_images

PROJECT = Path(__file__).resolve().parent.parent.parent
ROOT = Archive().folder("etc").add("etc/name", b"one").add("program", b"x" * 5000, mode=0o755).data
UPPER = Archive().add("etc/.wh.name").add("etc/more", b"two").data


@pytest.fixture
async def images(tmp_path: Path) -> AsyncIterator[Images]:
    async with opened_images(tmp_path) as opened:
        yield opened


async def body(data: bytes, step: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]
        await asyncio.sleep(0)


async def left(data_root: Path) -> list[str]:
    """What is on disk of images when what was thrown away is deleted."""
    async with asyncio.timeout(10):
        while any((data_root / "tmp/images").iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    found = []
    for folder in ("blobs/sha256", "layers", "tmp/images"):
        found += [f"{folder}/{path.name}" for path in (data_root / folder).iterdir()]
    return found


def saved(
    *layers: bytes, tags: list[str], diff_ids: list[str] | None = None, more: dict[str, bytes] | None = None
) -> bytes:
    """An archive as `docker save` writes it, layers first."""
    config = {
        "os": "linux",
        "architecture": host_platform().architecture,
        "created": "2026-01-02T03:04:05Z",
        "config": {"Cmd": ["/program"], "Labels": {"made": "here"}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest_of(layer) for layer in layers]},
        "history": [{"created_by": f"step {number}"} for number in range(len(layers))],
    }
    archive = Archive()
    for number, layer in enumerate(layers):
        archive.add(f"{number}/layer.tar", layer)
    archive.add("config.json", json.dumps(config).encode())
    for name, content in (more or {}).items():
        archive.add(name, content)
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    return archive.add("manifest.json", json.dumps(manifest).encode()).data


# -- import


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "bzip2", "xz", "zstd"],
)
async def test_an_archive_of_any_compression_becomes_an_image(
    images: Images, compress: Callable[[bytes], bytes]
) -> None:
    image = await images.import_(body(compress(ROOT)), reference=parse("made"), changes=['CMD ["/program"]'])
    assert images.resolve("made:latest") == image
    assert image.config.diff_ids == (digest_of(ROOT),)
    assert image.config.defaults.cmd == ["/program"]
    assert image.config.comment == "Imported from -"
    assert image.config.architecture == host_platform().architecture
    assert image.size_bytes == 5003
    (folder,) = images.lower_dirs(image)
    assert (Path(folder) / "etc" / "name").read_bytes() == b"one"


async def test_an_import_without_a_name_and_without_files(images: Images) -> None:
    image = await images.import_(body(b""), message="nothing", platform=host_platform())
    assert image.references == ()
    assert image.config.comment == "nothing"
    assert images.select() == [image]


@pytest.mark.parametrize(
    "data",
    [b"rubbish" * 1000, ROOT[:2000], gzip.compress(ROOT)[:-20], os.urandom(2000), Archive().add("../x", b"").data],
)
async def test_an_import_that_fails_leaves_nothing(images: Images, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        await images.import_(body(data), reference=parse("made"))
    assert images.select() == []
    assert await left(tmp_path) == []


async def test_bad_changes_are_refused_before_anything_is_read(images: Images, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="foo is not a valid change command"):
        await images.import_(body(ROOT), changes=["FOO x"])
    with pytest.raises(InvalidArgument, match="digest reference"):
        await images.import_(body(ROOT), reference=parse("a@sha256:" + "a" * 64))
    assert await left(tmp_path) == []


async def test_a_body_that_breaks_off_leaves_nothing(images: Images, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield ROOT[:3000]
        raise ConnectionResetError("gone")

    with pytest.raises(Unavailable, match="gone"):
        await images.import_(broken(), reference=parse("made"))
    assert await left(tmp_path) == []


async def test_a_cancelled_import_leaves_nothing(images: Images, tmp_path: Path) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield ROOT[:3000]
        await asyncio.Event().wait()

    task = asyncio.create_task(images.import_(stalled(), reference=parse("made")))
    await asyncio.sleep(0.1)
    assert any((tmp_path / "tmp/images").iterdir())
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2
    assert await left(tmp_path) == []


async def test_the_loop_is_free_while_an_image_is_unpacked(images: Images) -> None:
    archive = Archive()
    for number in range(2000):
        archive.add(f"d{number % 50}/f{number}", b"x" * 100)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    await images.import_(body(archive.data, 1 << 16), reference=parse("made"))
    watching.cancel()
    assert longest < 0.5


# -- load


async def test_an_archive_is_loaded_with_its_names_and_told(images: Images, tmp_path: Path) -> None:
    told: list[Progress] = []
    data = saved(ROOT, UPPER, tags=["loaded:1", "example.org/loaded:2"])
    (image,) = await images.load(body(data), report=told.append)
    assert image.references == ("example.org/loaded:2", "loaded:1")
    assert image.labels == {"made": "here"}
    upper, lower = map(Path, images.lower_dirs(image))
    assert (upper / "etc" / "name").is_char_device()
    assert (lower / "etc" / "name").read_bytes() == b"one"
    assert [item.created_by for item in images.history(image)] == ["step 1", "step 0"]
    assert [item.size_bytes for item in images.history(image)] == [3, 5003]
    assert [message.stream for message in told if message.stream] == [
        "Loaded image: loaded:1\n",
        "Loaded image: example.org/loaded:2\n",
    ]
    assert {message.status for message in told if not message.stream} == {"Loading layer"}
    assert len(await left(tmp_path)) == 5


async def test_layers_may_be_compressed_and_the_archive_too(images: Images) -> None:
    data = saved(
        gzip.compress(ROOT), zstandard.ZstdCompressor().compress(UPPER), tags=["a:1"],
        diff_ids=[digest_of(ROOT), digest_of(UPPER)],
    )  # fmt: skip
    (image,) = await images.load(body(gzip.compress(data)))
    assert len(images.lower_dirs(image)) == 2


async def test_layers_are_shared(images: Images, tmp_path: Path) -> None:
    imported = await images.import_(body(ROOT), reference=parse("base"))
    (loaded,) = await images.load(body(saved(ROOT, UPPER, tags=["top:1"])))
    assert images.lower_dirs(loaded)[1:] == images.lower_dirs(imported)
    assert images.shared_sizes() == {imported.id: 5003, loaded.id: 5003}
    assert len(list((tmp_path / "layers").iterdir())) == 2
    removed = await images.remove("top:1")
    assert [item.untagged for item in removed if item.untagged] == ["top:1"]
    assert [item.deleted for item in removed if item.deleted] == [loaded.id, loaded.layers[1]]
    assert (Path(images.lower_dirs(imported)[0]) / "program").exists()
    removed = await images.remove("base")
    assert removed == [
        Removed(untagged="base:latest"),
        Removed(deleted=imported.id),
        Removed(deleted=imported.layers[0]),
    ]
    assert await left(tmp_path) == []


async def test_a_name_that_another_image_had_is_told(images: Images) -> None:
    before = await images.import_(body(ROOT), reference=parse("a:1"))
    told: list[Progress] = []
    await images.load(body(saved(ROOT, tags=["a:1"])), report=told.append)
    assert f"renaming the old one with ID {before.id} to empty string" in "".join(message.stream for message in told)
    assert images.get(before.id).references == ()


@pytest.mark.parametrize(
    "data",
    [
        b"rubbish" * 1000,
        b"",
        os.urandom(2000),
        ROOT,
        saved(ROOT, tags=["a:1"])[:9000],
        saved(ROOT, UPPER, tags=["a:1"], diff_ids=[digest_of(ROOT), digest_of(ROOT)]),
        saved(ROOT, tags=["a:1"], diff_ids=[digest_of(UPPER)]),
        saved(ROOT, b"rubbish" * 200, tags=["a:1"]),
        saved(Archive().add("../../x", b"").data, tags=["a:1"]),
        saved(ROOT, tags=["BAD:1"]),
        saved(ROOT, tags=["a:1"], more={"config.json": b"{}"}),
        saved(ROOT, tags=["a:1"], more={"config.json": b'{"os": "windows"}'}),
    ],
    ids=range(12),
)
async def test_an_archive_that_is_wrong_leaves_nothing_and_names_nothing(
    images: Images, tmp_path: Path, data: bytes
) -> None:
    with pytest.raises(CaisError):
        await images.load(body(data))
    assert images.select() == []
    assert await left(tmp_path) == []


async def test_one_bad_image_of_an_archive_stops_all(images: Images, tmp_path: Path) -> None:
    bad = {"Config": "bad.json", "RepoTags": ["bad:1"], "Layers": ["0/layer.tar"]}
    good = {"Config": "config.json", "RepoTags": ["good:1"], "Layers": ["0/layer.tar"]}
    config = json.dumps({"os": "linux", "rootfs": {"diff_ids": [digest_of(UPPER)]}}).encode()
    # the last manifest.json of an archive counts
    data = _followed_by(
        saved(ROOT, tags=[], more={"bad.json": config}), "manifest.json", json.dumps([good, bad]).encode()
    )
    with pytest.raises(InvalidArgument, match="invalid diffID"):
        await images.load(body(data))
    assert images.select() == []
    assert await left(tmp_path) == []


def _followed_by(data: bytes, name: str, content: bytes) -> bytes:
    return data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512) + Archive().add(name, content).data


async def test_a_member_s_name_never_becomes_a_path(images: Images, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    names = {f"../../../..{outside}": b"x", str(outside): b"x", "../../layers/x": b"x"}
    await images.load(body(saved(ROOT, tags=["a:1"], more=names)))
    assert not outside.exists()
    assert not (tmp_path / "layers" / "x").exists()


# -- removal, and containers


async def test_an_image_outlives_its_removal_while_a_container_needs_its_layers(tmp_path: Path) -> None:
    users = [ImageUser("c" * 64, "one", running=False)]
    async with opened_images(tmp_path) as images:
        images.users = lambda _: users
        image = await images.import_(body(ROOT), reference=parse("a:1"))
        with pytest.raises(Conflict):
            await images.remove("a:1")
        removed = await images.remove("a:1", force=True)
        assert removed == [Removed(untagged="a:1"), Removed(deleted=image.id)]
        with pytest.raises(NotFound):
            images.resolve(image.id)
    async with opened_images(tmp_path) as images:
        images.users = lambda _: users
        kept = images.get(image.id)
        assert (Path(images.lower_dirs(kept)[0]) / "program").exists()
        await images.collect()
        assert images.get(image.id) == kept
        users.clear()
        await images.collect()
        with pytest.raises(NotFound):
            images.get(image.id)
    assert await left(tmp_path) == []


async def test_naming_and_removing_at_the_same_time_is_one_after_the_other(images: Images, tmp_path: Path) -> None:
    async def cycle(number: int) -> None:
        for _ in range(5):
            image = await images.import_(body(ROOT), reference=parse(f"own:{number}"))
            await images.tag(image, parse("shared:1"))
            await images.remove(f"own:{number}")

    await asyncio.gather(*(cycle(number) for number in range(8)))
    for image in images.select():
        await images.remove(image.id, force=True)
    assert await left(tmp_path) == []


async def test_an_image_is_held_for_a_container_that_is_being_made(images: Images) -> None:
    image = await images.import_(body(ROOT), reference=parse("a:1"))
    with images.holding(image, ImageUser("c" * 64, "one", running=False)):
        with pytest.raises(Conflict, match=f"container {'c' * 12} is using"):
            await images.remove("a:1")
    removing = asyncio.create_task(images.remove("a:1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises(NotFound), images.holding(image, ImageUser("c" * 64, "one", running=False)):
        pass
    await removing


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_told_leaves_nothing_half_written_and_passes(small_disk: Path) -> None:
    big = Archive().add("big", os.urandom(2 << 20)).data
    async with opened_images(small_disk) as images:
        kept = await images.import_(body(big, 1 << 16), reference=parse("kept:1"))
        before = sorted(await left(small_disk))
        for attempt in (
            images.import_(body(Archive().add("a", os.urandom(5 << 20)).data, 1 << 16)),
            images.load(body(saved(big, big, tags=["a:1"]), 1 << 16)),
        ):
            with pytest.raises(Unavailable, match="No space left on device"):
                await attempt
            assert sorted(await left(small_disk)) == before
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        (small_disk / "filler").write_bytes(bytes(free))
        with pytest.raises(Unavailable):
            await images.import_(body(ROOT), reference=parse("more:1"))
        assert images.resolve("kept:1") == kept
        await images.remove("kept:1")
        assert await left(small_disk) == []
        await images.import_(body(ROOT), reference=parse("again:1"))
    async with opened_images(small_disk) as images:
        assert [image.references for image in images.select()] == [("again:1",)]


# -- cais.local


async def test_busybox_is_made_once_and_then_up_to_date(images: Images) -> None:
    told: list[Progress] = []
    image = await images.pull(parse("cais.local/busybox"), None, told.append)
    statuses = [message.status for message in told]
    assert statuses[0] == "Pulling from busybox"
    assert statuses[-1] == "Status: Downloaded newer image for cais.local/busybox:latest"
    (digest,) = [status.removeprefix("Digest: ") for status in statuses if status.startswith("Digest: ")]
    assert image.repo_digests == (f"cais.local/busybox@{digest}",)
    told.clear()
    assert (await images.pull(parse("cais.local/busybox"), None, told.append)).id == image.id
    assert told[-1].status == "Status: Image is up to date for cais.local/busybox:latest"
    folder = Path(images.lower_dirs(image)[0])
    assert os.readlink(folder / "bin" / "sh") == "busybox"
    assert (folder / "tmp").stat().st_mode & 0o7777 == 0o1777


async def test_two_pulls_of_one_name_share_one_making(images: Images, tmp_path: Path) -> None:
    told: tuple[list[Progress], list[Progress]] = ([], [])
    pulls = [images.pull(parse("cais.local/hello-world"), None, list_.append) for list_ in told]
    first, second = await asyncio.gather(*pulls)
    assert first is second
    assert [m.status for m in told[0]] == [m.status for m in told[1]]
    assert len(list((tmp_path / "layers").iterdir())) == 1


async def test_a_pull_goes_on_for_those_who_still_wait_and_ends_with_the_last(images: Images, tmp_path: Path) -> None:
    name = parse("cais.local/hello-world")
    first, second = (asyncio.create_task(images.pull(name)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    image = await second
    await images.remove(image.id)
    alone = asyncio.create_task(images.pull(name))
    await asyncio.sleep(0)
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    assert images.select() == []
    assert await left(tmp_path) == []


async def test_what_cannot_be_pulled_is_told(images: Images) -> None:
    with pytest.raises(NotFound, match=r"pull access denied for cais\.local/absent"):
        await images.pull(parse("cais.local/absent"))
    with pytest.raises(NotFound, match="manifest unknown"):
        await images.pull(parse("cais.local/busybox:1"))
    with pytest.raises(NotFound, match="no matching manifest for windows/amd64"):
        other = host_platform().__class__("amd64", "windows")
        await images.pull(parse("cais.local/busybox"), other)
    with pytest.raises(Unavailable, match=r'Get "http://localhost:1/v2/": dial tcp .*:1: connect: connection refused'):
        await images.pull(parse("localhost:1/debian"))


# -- survival


KILLED = """
import asyncio, sys
from pathlib import Path
from cais.distribution.reference import parse
from tests.harness.stores import opened_images

async def main() -> None:
    async with opened_images(Path(sys.argv[1])) as images:
        data = Path(sys.argv[2]).read_bytes()
        async def body():
            for start in range(0, len(data), 4096):
                yield data[start : start + 4096]
        print("ready", flush=True)
        while True:
            image = await images.import_(body(), reference=parse("made:1"))
            (loaded,) = await images.load(saved_body())
            await images.remove("made:1")
            await images.remove("loaded:1")

async def saved_body():
    yield Path(sys.argv[3]).read_bytes()

asyncio.run(main())
"""


def _kill_after(seconds: float, arguments: list[str | Path]) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}/src"}
    with subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)


def _sizes(folder: str) -> list[int]:
    return sorted(path.stat().st_size for path in Path(folder).glob("d*/f*"))


async def test_killed_at_any_point_an_image_is_whole_or_absent(tmp_path: Path) -> None:
    archive = Archive()
    for number in range(200):
        archive.add(f"d{number % 7}/f{number}", b"x" * number)
    (tmp_path / "root.tar").write_bytes(archive.data)
    (tmp_path / "saved.tar").write_bytes(saved(archive.data, UPPER, tags=["loaded:1"]))
    data_root = tmp_path / "data"
    data_root.mkdir()
    arguments: list[str | Path] = [
        sys.executable,
        "-c",
        KILLED,
        data_root,
        tmp_path / "root.tar",
        tmp_path / "saved.tar",
    ]
    for attempt in range(12):
        await asyncio.to_thread(_kill_after, 0.01 + attempt * 0.013, arguments)
        async with opened_images(data_root) as images:
            for image in images.select():
                assert image.references in (("made:1",), ("loaded:1",), ("loaded:1", "made:1"), ())
                assert _sizes(images.lower_dirs(image)[-1]) == list(range(200))
            diff_ids = {diff_id for image in images.select() for diff_id in image.config.diff_ids}
            archives = {blob.digest for diff_id in diff_ids for blob in images._store.layers.archives(diff_id)}
            assert len(archives) == len(diff_ids)
            for digest in archives:
                with images._store.blobs.reader(digest) as reader:
                    assert b"".join(iter(partial(reader.read, 4096), b""))
            listed = {f"sha256:{path.name}" for path in (data_root / "blobs" / "sha256").iterdir()}
            listed -= set(images._store.blobs.unused())  # of an image that was just removed: they wait for a prune
            assert listed == archives | {image.id for image in images.select()}
        expected = {layer for image in images.select() for layer in image.layers}
        assert {f"sha256:{path.name}" for path in (data_root / "layers").iterdir()} == expected
        assert list((data_root / "tmp" / "images").iterdir()) == []
