"""Layers on disk: shared, counted, and gone with the last who uses them."""

import io
from pathlib import Path

import pytest

from cais.distribution.oci import LAYER_TYPE, digest_of
from cais.errors import InvalidArgument, NotFound
from cais.storage.blobs import BlobStore
from cais.storage.layers import Layer, LayerBlob, LayerStore, chain_id_of, chain_ids
from tests.harness.archives import Archive


class Opened:
    """A layer store in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.temporary = folder / "layers", folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.blobs = BlobStore(folder / "blobs", self.temporary)
        self.blobs.open([])
        self.store = LayerStore(self.root, self.temporary, self.blobs)

    def on_disk(self) -> set[str]:
        assert list(self.temporary.iterdir()) == []
        return {f"sha256:{path.name}" for path in self.root.iterdir()}


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    made = Opened(tmp_path)
    assert made.store.open([]) == []
    return made


ONE = Archive().add("file", b"one").data
TWO = Archive().add("file", b"two").data


def test_a_layer_is_named_by_all_that_is_below_it(opened: Opened) -> None:
    lease = opened.store.lease()
    one = lease.unpack(io.BytesIO(ONE), None)
    two = lease.unpack(io.BytesIO(TWO), one.chain_id)
    alone = lease.unpack(io.BytesIO(TWO), None)
    assert one.chain_id == one.diff_id == digest_of(ONE)
    assert two.diff_id == alone.diff_id == alone.chain_id
    assert two.chain_id == chain_id_of(one.chain_id, two.diff_id) != alone.chain_id
    assert chain_ids([one.diff_id, two.diff_id]) == [one.chain_id, two.chain_id]
    assert opened.store.chain(two.chain_id) == [two, one]
    assert (opened.store.path(two.chain_id) / "file").read_bytes() == b"two"
    assert opened.on_disk() == {one.chain_id, two.chain_id, alone.chain_id}
    lease.close()
    assert opened.on_disk() == set()


def test_what_a_lease_lets_go_stays_while_others_use_it(opened: Opened) -> None:
    first, second = opened.store.lease(), opened.store.lease()
    one = first.unpack(io.BytesIO(ONE), None)
    two = first.unpack(io.BytesIO(TWO), one.chain_id)
    assert second.keep(two.chain_id) == two
    first.close()
    assert opened.on_disk() == {one.chain_id, two.chain_id}
    assert opened.store.retain(one.chain_id) == one
    second.close()
    assert opened.on_disk() == {one.chain_id}
    assert opened.store.release([one.chain_id]) == [one.chain_id]
    assert opened.on_disk() == set()
    assert opened.store.retain(one.chain_id) is None


def test_a_layer_that_is_there_is_used_again(opened: Opened) -> None:
    first, second = opened.store.lease(), opened.store.lease()
    one = first.unpack(io.BytesIO(ONE), None)
    inode = opened.store.path(one.chain_id).stat().st_ino
    assert second.unpack(io.BytesIO(ONE), None) == one
    assert opened.store.path(one.chain_id).stat().st_ino == inode
    first.close()
    assert opened.on_disk() == {one.chain_id}
    second.close()
    assert opened.on_disk() == set()


def test_a_layer_with_another_digest_leaves_nothing(opened: Opened) -> None:
    lease = opened.store.lease()
    with pytest.raises(InvalidArgument, match=f"invalid diffID for layer: expected {digest_of(TWO)}"):
        lease.unpack(io.BytesIO(ONE), None, digest_of(TWO))
    assert opened.on_disk() == set()
    assert lease.unpack(io.BytesIO(ONE), None, digest_of(ONE)).diff_id == digest_of(ONE)
    lease.close()


def test_a_layer_that_is_cut_short_leaves_nothing(opened: Opened) -> None:
    for size in (300, 514):  # in the header, in the content
        with pytest.raises(InvalidArgument, match="unexpected EOF"):
            opened.store.lease().unpack(io.BytesIO(ONE[:size]), None)
    assert opened.on_disk() == set()


def test_a_layer_on_one_that_is_not_there_is_not_found(opened: Opened) -> None:
    with pytest.raises(NotFound):
        opened.store.lease().unpack(io.BytesIO(ONE), digest_of(TWO))
    assert opened.on_disk() == set()


def test_opening_keeps_what_is_listed_and_whole(opened: Opened, tmp_path: Path) -> None:
    lease = opened.store.lease()
    one = lease.unpack(io.BytesIO(ONE), None)
    two = lease.unpack(io.BytesIO(TWO), one.chain_id)
    stray = lease.unpack(io.BytesIO(TWO), None)
    lost = Layer(chain_id_of(two.chain_id, digest_of(b"")), digest_of(b""), two.chain_id, 1)
    above = Layer(chain_id_of(lost.chain_id, digest_of(b"x")), digest_of(b"x"), lost.chain_id, 1)
    (tmp_path / "layers" / "rubbish").mkdir()
    again = Opened(tmp_path)
    assert again.store.open([two, one, above, lost]) == [above, lost]
    assert {f"sha256:{path.name}" for path in again.root.iterdir()} == {one.chain_id, two.chain_id}
    assert len(list(again.temporary.iterdir())) == 2
    assert again.store.unused() == [two.chain_id]
    with pytest.raises(NotFound):
        again.store.get(stray.chain_id)


def test_the_topmost_folder_of_a_layer_can_be_entered_by_all(opened: Opened) -> None:
    lease = opened.store.lease()
    layer = lease.unpack(io.BytesIO(ONE), None)
    assert opened.store.path(layer.chain_id).stat().st_mode & 0o777 == 0o755
    lease.close()


def test_the_blob_of_a_layer_lives_as_long_as_any_layer_of_that_archive(opened: Opened) -> None:
    store, blobs = opened.store, opened.blobs
    lease = store.lease()
    with blobs.writer(None) as writer:
        writer.write(TWO)
        digest = lease.commit(writer)
    blob = LayerBlob(digest, LAYER_TYPE, len(TWO))
    base = lease.unpack(io.BytesIO(ONE), None)
    alone, upon = (lease.unpack(io.BytesIO(TWO), parent) for parent in (None, base.chain_id))
    lease.attach(alone, blob)
    lease.attach(upon, blob)
    assert store.archives(upon.diff_id) == [blob]
    assert store.archives(base.diff_id) == []
    assert store.retain(upon.chain_id)
    lease.close()
    assert blobs.has(digest)
    assert store.release([upon.chain_id]) == [upon.chain_id, base.chain_id]
    assert not blobs.has(digest)
    assert store.archives(upon.diff_id) == []


def test_a_blob_that_is_not_there_is_nobody_s_archive(opened: Opened) -> None:
    lease = opened.store.lease()
    layer = lease.unpack(io.BytesIO(ONE), None)
    with pytest.raises(NotFound):
        lease.attach(layer, LayerBlob(digest_of(ONE), LAYER_TYPE, len(ONE)))
    lease.close()


def test_listed_blobs_are_those_of_listed_layers_when_they_are_on_disk(opened: Opened) -> None:
    lease = opened.store.lease()
    layer = lease.unpack(io.BytesIO(ONE), None)
    blob = LayerBlob(opened.blobs.put(ONE), LAYER_TYPE, len(ONE))
    gone = LayerBlob(digest_of(TWO), LAYER_TYPE, len(TWO))
    again = LayerStore(opened.root, opened.temporary, opened.blobs)
    assert again.open([layer], [(layer.diff_id, blob), (layer.diff_id, gone), (digest_of(TWO), blob)]) == []
    assert again.archives(layer.diff_id) == [blob]
    opened.blobs.discard(blob.digest)
    assert again.archives(layer.diff_id) == []
