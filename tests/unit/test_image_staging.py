"""Members of an archive that are read while they arrive, and layers that are unpacked ahead."""

import json
import threading
from pathlib import Path

import pytest

from cais.distribution.archive import Contents, Member
from cais.distribution.oci import digest_of
from cais.engine.image_staging import Ahead, Arriving, _Following
from cais.errors import InvalidArgument, Unavailable
from cais.storage.layers import chain_id_of
from cais.storage.tarstream import Source


def test_a_member_is_read_while_it_is_written_and_ends_when_it_is_whole(tmp_path: Path) -> None:
    got: list[bytes] = []
    with Arriving(Member(tmp_path / "m", 6)) as arriving:
        following = _Following(arriving)
        reader = threading.Thread(target=lambda: got.extend(iter(lambda: following.read(100), b"")))
        reader.start()
        (tmp_path / "m").write_bytes(b"abc")
        for _ in arriving.told(iter([b"abc", bytes(3)])):  # the zeros are a hole at the end
            pass
        reader.join(0.1)
        assert reader.is_alive()
    reader.join(10)
    assert b"".join(got) == b"abc" + bytes(3)
    following.close()


def test_a_member_that_breaks_off_is_told_to_who_reads_it(tmp_path: Path) -> None:
    arriving = Arriving(Member(tmp_path / "m", 6))
    following = _Following(arriving)
    with pytest.raises(InvalidArgument), arriving:
        raise InvalidArgument("damaged")
    with pytest.raises(Unavailable, match="did not arrive whole"):
        following.read(100)
    following.close()


class Archive:
    """Contents that say what two layers are, and what was unpacked of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers = [b"first", b"second"]
        self.unpacked: list[tuple[bytes, str | None, str]] = []
        self.stopped = threading.Event()
        self.ahead = Ahead(self.unpack, self.stopped)
        self.contents = Contents()
        config = json.dumps({"os": "linux", "rootfs": {"diff_ids": [digest_of(one) for one in self.layers]}}).encode()
        item = {
            "Config": "config",
            "Layers": [f"blobs/sha256/{digest_of(one)[7:]}" for one in self.layers],
        }
        for name, data in (("config", config), ("manifest.json", json.dumps([item]).encode())):
            (folder / name).write_bytes(data)
            self.contents.add_file(name, Member(folder / name, len(data)))

    def unpack(self, source: Source, member: Member, parent: str | None, diff_id: str) -> None:
        data = b"".join(iter(lambda: source.read(100), b""))
        assert digest_of(data) == member.digest
        self.unpacked.append((data, parent, diff_id))

    def arrive(self, data: bytes) -> None:
        digest = digest_of(data)
        with Arriving(Member(self.folder / digest[7:], len(data), digest)) as arriving:
            self.ahead.begin(self.contents, arriving)
            arriving.member.path.write_bytes(data)
            list(arriving.told(iter([data])))


def test_layers_are_unpacked_ahead_in_their_order(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first, second = archive.layers
    archive.arrive(b"of no image")
    archive.arrive(first)
    archive.arrive(second)
    archive.ahead.finish()
    archive.ahead.finish()
    assert archive.unpacked == [
        (first, None, digest_of(first)),
        (second, chain_id_of(None, digest_of(first)), digest_of(second)),
    ]


def test_a_layer_that_comes_before_the_one_below_it_waits_for_the_whole_archive(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first, second = archive.layers
    archive.arrive(second)
    archive.arrive(first)
    archive.ahead.finish()
    assert [data for data, _, _ in archive.unpacked] == [first]


def test_nothing_is_begun_when_it_was_stopped(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.stopped.set()
    archive.arrive(archive.layers[0])
    archive.ahead.finish()
    assert archive.unpacked == []
