"""Content-addressed blobs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cais.distribution.oci import digest_of
from cais.errors import Internal, InvalidArgument, NotFound, Unavailable
from cais.storage.blobs import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    (tmp_path / "tmp").mkdir()
    made = BlobStore(tmp_path / "blobs" / "sha256", tmp_path / "tmp")
    made.open([])
    return made


def test_a_blob_is_found_by_its_digest(store: BlobStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    assert digest == digest_of(b"content")
    assert store.read(digest) == b"content"
    assert store.put(b"content") == digest
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_flipped_bit_is_found_and_repaired_by_putting_again(store: BlobStore, tmp_path: Path) -> None:
    digest = store.put(b"content")
    (tmp_path / "blobs" / "sha256" / digest[7:]).write_bytes(b"Content")
    with pytest.raises(Internal, match="damaged"):
        store.read(digest)
    store.put(b"content")
    assert store.read(digest) == b"content"


def test_what_is_not_there_is_not_found(store: BlobStore) -> None:
    digest = store.put(b"content")
    assert store.has(digest) and store.size(digest) == 7
    assert store.remove_unused(digest) == 7
    assert store.remove_unused(digest) == 0
    assert not store.has(digest)
    for ask in (store.read, store.reader, store.size):
        with pytest.raises(NotFound):
            ask(digest)


@pytest.mark.parametrize("digest", ["", "sha256:../x", "sha256:" + "A" * 64, "sha512:" + "a" * 64, "a" * 64])
def test_what_is_no_digest_never_becomes_a_path(store: BlobStore, digest: str) -> None:
    for ask in (store.read, store.reader, store.writer):
        with pytest.raises(InvalidArgument):
            ask(digest)


def test_opening_removes_what_is_not_to_be_kept(store: BlobStore, tmp_path: Path) -> None:
    kept, swept = store.put(b"kept"), store.put(b"swept")
    (tmp_path / "blobs" / "sha256" / "stray").write_bytes(b"x")
    store.open([kept])
    assert store.read(kept) == b"kept"
    assert [path.name for path in (tmp_path / "blobs" / "sha256").iterdir()] == [kept[7:]]
    with pytest.raises(NotFound):
        store.read(swept)


CONTENT = bytes(range(256)) * 40
DIGEST = digest_of(CONTENT)


def test_a_blob_is_written_in_pieces_and_read_verified(store: BlobStore, tmp_path: Path) -> None:
    with store.writer(DIGEST) as writer:
        for start in range(0, len(CONTENT), 1000):
            assert writer.offset == start
            writer.write(CONTENT[start : start + 1000])
        assert not store.has(DIGEST)
        assert writer.commit() == DIGEST
    assert list((tmp_path / "tmp").iterdir()) == []
    with store.reader(DIGEST) as reader:
        assert reader.size_bytes == len(CONTENT)
        assert b"".join(iter(lambda: reader.read(700), b"")) == CONTENT


def test_a_blob_of_another_digest_is_refused_and_thrown_away(store: BlobStore, tmp_path: Path) -> None:
    writer = store.writer(DIGEST)
    writer.write(CONTENT[:-1] + b"x")
    with pytest.raises(InvalidArgument, match="unexpected digest"):
        writer.commit()
    assert not store.has(DIGEST)
    assert store.partial(DIGEST) == 0
    for folder in ("tmp", "blobs/sha256"):
        assert list((tmp_path / folder).iterdir()) == []


@pytest.mark.parametrize("change", [lambda d: b"X" + d[1:], lambda d: d[:-1], lambda d: d[:-1] + b"x"])
def test_a_damaged_blob_is_never_given_whole_and_is_gone_then(
    store: BlobStore, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    store.put(CONTENT)
    (tmp_path / "blobs" / "sha256" / DIGEST[7:]).write_bytes(change(CONTENT))
    with store.reader(DIGEST) as reader, pytest.raises(Internal, match="damaged"):
        while reader.read(512):
            pass
    assert not store.has(DIGEST)
    store.put(CONTENT)
    assert store.read(DIGEST) == CONTENT


def test_an_interrupted_writer_is_gone_on_with(store: BlobStore, tmp_path: Path) -> None:
    with store.writer(DIGEST) as first:
        first.write(CONTENT[:3000])
    assert store.partial(DIGEST) == 3000
    with store.writer(DIGEST) as second:
        assert second.offset == 3000
        assert store.partial(DIGEST) == 0
        with store.writer(DIGEST) as beside:  # at the same time: in a file of its own
            assert beside.offset == 0
            beside.write(CONTENT)
            beside.commit()
        second.write(CONTENT[3000:])
        second.commit()
    assert store.read(DIGEST) == CONTENT
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_writer_that_starts_again_needs_no_range(store: BlobStore) -> None:
    with store.writer(DIGEST) as first:
        first.write(b"y" * 20_000)
    with store.writer(DIGEST) as second:
        second.restart()
        assert second.offset == 0
        second.write(CONTENT)
        second.commit()
    assert store.read(DIGEST) == CONTENT
    assert store.size(DIGEST) == len(CONTENT)


def test_the_longest_of_what_interrupted_writers_left_is_kept_until_it_is_forgotten(
    store: BlobStore, tmp_path: Path
) -> None:
    with store.writer(DIGEST) as one, store.writer(DIGEST) as other:
        one.write(CONTENT[:100])
        other.write(CONTENT[:50])
    assert store.partial(DIGEST) == 100
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    assert store.forget_partial() == 100
    assert list((tmp_path / "tmp").iterdir()) == []
    with store.writer(None) as unknown:
        unknown.write(b"nobody can go on with this")
    with store.writer(DIGEST) as aborted:
        aborted.write(CONTENT)
        aborted.abort()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_blob_is_followed_while_it_is_written(store: BlobStore) -> None:
    read: list[bytes] = []
    with store.writer(DIGEST) as writer, writer.follow() as following:
        thread = threading.Thread(target=lambda: read.extend(iter(lambda: following.read(999), b"")))
        thread.start()
        for start in range(0, len(CONTENT), 1024):
            writer.write(CONTENT[start : start + 1024])
            time.sleep(0.001)
        assert thread.is_alive()  # the end is told by the commit alone
        writer.commit()
        thread.join(10)
    assert b"".join(read) == CONTENT


def test_who_follows_learns_of_a_writer_that_gives_up(store: BlobStore) -> None:
    writer = store.writer(DIGEST)
    with writer.follow() as following:
        writer.write(CONTENT[:10])
        assert following.read(100) == CONTENT[:10]
        writer.close()
        with pytest.raises(Unavailable, match="not received whole"):
            following.read(100)


def test_who_follows_can_be_interrupted(store: BlobStore) -> None:
    with store.writer(DIGEST) as writer, writer.follow() as following:
        timer = threading.Timer(0.05, following.interrupt)
        timer.start()
        with pytest.raises(Unavailable, match="stopped"):
            following.read(100)
        timer.join()


def test_a_blob_goes_with_the_last_who_needs_it(store: BlobStore) -> None:
    digest = store.put(b"content", retain=True)
    assert store.retain(digest)
    assert store.unused() == []
    assert store.remove_unused(digest) == 0
    assert not store.release(digest)
    assert store.has(digest)
    assert store.release(digest)
    assert not store.has(digest)
    assert not store.retain(digest)


def test_a_spared_blob_is_unused_but_there(store: BlobStore) -> None:
    digest = store.put(b"content", retain=True)
    assert not store.release(digest, spare=True)
    assert store.unused() == [digest]
    assert store.remove_unused(digest) == 7


def test_a_verified_file_becomes_a_blob(store: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    digest = digest_of(b"content")
    store.adopt(file, digest, retain=True)
    store.adopt(file, digest)
    assert store.read(digest) == b"content"
    assert store.size(digest) == 7
    store.release(digest)
    assert not store.has(digest)
    with pytest.raises(Unavailable, match="No such file"):
        store.adopt(tmp_path / "absent", digest)
