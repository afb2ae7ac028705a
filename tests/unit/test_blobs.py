"""Content-addressed blobs."""

from pathlib import Path

import pytest

from cais.distribution.oci import digest_of
from cais.errors import Internal, InvalidArgument, NotFound
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
    store.remove(digest)
    store.remove(digest)
    with pytest.raises(NotFound):
        store.read(digest)


@pytest.mark.parametrize("digest", ["", "sha256:../x", "sha256:" + "A" * 64, "sha512:" + "a" * 64, "a" * 64])
def test_what_is_no_digest_never_becomes_a_path(store: BlobStore, digest: str) -> None:
    for ask in (store.read, store.remove):
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
